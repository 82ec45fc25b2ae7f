// The body of a record: canonical JSON, read in one pass.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace deepmoat::verifier {

// What the verifier needs of a body. Texts are in their spelling there, which is printable ASCII,
// and point into it.
struct BodyFacts {
  bool intent = false;                // or a result
  std::uint64_t intent_sequence = 0;  // 0: none
  std::string_view operation;
  std::string_view outcome;
  std::string_view request_id;  // empty: none
  std::string_view action;      // empty: none
  std::int32_t status = 0;      // 0: none
};

// Whether `body` is the one spelling of a record that docs/formats/audit.md ("Body") allows for a
// body of this version, 1 or 2. Returns nullptr and fills `facts`, or says what is wrong. Any
// thread.
[[nodiscard]] const char* read_body(std::string_view body, std::uint16_t version, BodyFacts& facts);

}  // namespace deepmoat::verifier
