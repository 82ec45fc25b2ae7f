// links: deepmoat_audit deepmoat_verifier deepmoat_base
// Bytes as the body of a record. The server's reader and the independent verifier, which share no
// code, take and refuse the same ones.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "audit/record_json.h"
#include "verifier/body.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  static deepmoat::audit::RecordDecoder decoder;
  deepmoat::verifier::BodyFacts facts;
  const auto record = decoder.decode(body);
  const bool verified = deepmoat::verifier::read_body(body, 2, facts) == nullptr;
  if (record.has_value() != verified) {
    std::abort();
  }
  if (record && facts.request_id.empty() != record->request_id.empty()) {
    std::abort();
  }
  return 0;
}
