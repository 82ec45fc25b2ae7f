// The body of a record: canonical JSON, read in one pass.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace deepmoat::verifier {

// What the verifier needs of a body.
struct BodyFacts {
  bool intent = false;                // or a result
  std::uint64_t intent_sequence = 0;  // 0: none
  std::string_view request_id;        // in its spelling, points into the body
};

// Whether `body` is the one spelling of a record that docs/formats/audit.md ("Body") allows for a
// body of this version, 1 or 2. Returns nullptr and fills `facts`, or says what is wrong. Any
// thread.
[[nodiscard]] const char* read_body(std::string_view body, std::uint16_t version, BodyFacts& facts);

}  // namespace deepmoat::verifier
