// links: deepmoat_incident
// Any bytes as the file of an incident record: nothing crashes, nothing verifies but what was
// signed, and what is read has one spelling.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "incident/record.h"

namespace {

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using deepmoat::Secret;
  using deepmoat::crypto::SigningKey;
  static const SigningKey key = *SigningKey::from_seed(Secret(std::string(32, 'k')));
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto incident = deepmoat::incident::read_unverified(text);
  const auto verified = deepmoat::incident::verify(text, key.public_key());
  must(!verified || incident);
  if (verified) {
    // Signing is deterministic, so the signed text can only be this one.
    must(*deepmoat::incident::sign(*verified, key) == text);
  }
  return 0;
}
