#include "gateway/request_id.h"

#include <algorithm>

#include "base/hex.h"
#include "base/limits.h"
#include "base/random.h"

namespace deepmoat::gateway {

namespace {
bool is_safe(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}
}  // namespace

Result<RequestId> choose_request_id(std::string_view from_client) {
  if (!from_client.empty() && from_client.size() <= limits::kRequestIdBytesMax &&
      std::ranges::all_of(from_client, is_safe)) {
    return RequestId(std::string(from_client));
  }
  TRY(const std::string bytes, random_bytes(16));
  return RequestId(to_hex(bytes));
}

}  // namespace deepmoat::gateway
