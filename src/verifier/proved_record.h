// One record with its inclusion proof, as receipts and exports have them.
#pragma once

#include <cstdint>
#include <string>

#include "verifier/body.h"
#include "verifier/merkle.h"
#include "verifier/note.h"
#include "verifier/strict_json.h"

namespace deepmoat::verifier {

struct ProvedRecord {
  ProvedRecord() = default;
  ProvedRecord(const ProvedRecord&) = delete;
  ProvedRecord& operator=(const ProvedRecord&) = delete;

  std::uint64_t sequence = 0;
  std::int64_t unix_ms = 0;
  std::string leaf_data;
  BodyFacts facts;  // points into leaf_data
  Json body;
};

// Whether `entry` (`sequence`, `leaf`, `proof`, perhaps `record`) is in the tree of `checkpoint`
// and its `record` is what its leaf data says. Returns nullptr and fills `record`, or says what is
// wrong. One thread at a time for each `hasher`.
[[nodiscard]] const char* check_entry(const Json& entry, const Checkpoint& checkpoint,
                                      const TreeHasher& hasher, ProvedRecord& record);

// Whether `entry` (`sequence`, `leaf_hash`, `proof`) shows the place of a record whose text was
// deleted by retention. As check_entry().
[[nodiscard]] const char* check_deleted_entry(const Json& entry, const Checkpoint& checkpoint,
                                              const TreeHasher& hasher, std::uint64_t& sequence);

// Reads the checkpoint in a receipt or an export and checks who signed it. Returns nullptr and
// fills both, or says what is wrong.
[[nodiscard]] const char* check_signed_checkpoint(const Json& object,
                                                  std::span<const VerifierKey> keys,
                                                  Checkpoint& checkpoint, SignatureFacts& facts);

}  // namespace deepmoat::verifier
