// Receipts and exports: records with their inclusion proofs in a signed checkpoint
// (docs/formats/audit.md, "Receipts and exports").
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verifier/note.h"
#include "verifier/result.h"

namespace deepmoat::verifier {

// What one record of a receipt says. Texts are spelled as in its body: printable ASCII.
struct ReceiptRecord {
  std::uint64_t sequence = 0;
  std::int64_t unix_ms = 0;
  bool intent = false;                // or a result
  std::uint64_t intent_sequence = 0;  // 0: none
  std::string operation;
  std::string outcome;
  std::string action;       // empty: none
  std::int32_t status = 0;  // 0: none
};

struct ProofReport {
  std::string why;         // what is wrong; empty: nothing is
  std::uint64_t line = 0;  // of an export: where; else 0
  std::string origin;
  std::uint64_t tree_size = 0;  // records up to the checkpoint
  std::uint64_t records = 0;    // that were proved
  std::uint64_t deleted = 0;    // of these: whose text was deleted by retention
  std::uint64_t first_sequence = 0;
  std::uint64_t last_sequence = 0;
  bool sm2_checked = false;  // beside Ed25519: a key of SM2 was given and has signed too
  bool whole = false;        // of an export: nothing but a span of time was filtered by
  // Of a receipt: the call, spelled as in its body, and the records that were proved.
  std::string request_id;
  std::vector<ReceiptRecord> of_call;

  [[nodiscard]] bool intact() const { return why.empty(); }
};

inline constexpr std::size_t kReceiptBytesMax = 64U * 1024 * 1024;

// Whether each record of a receipt is in the tree that one of `keys`, which the caller had before,
// has signed. Which records of the call are in it is for who reads it: one may have been left out.
// The `key` in the receipt is not looked at. Any thread.
[[nodiscard]] ProofReport check_receipt(std::string_view text, std::span<const VerifierKey> keys);

// The same for an export, line by line in bounded memory, and that it is what its last line has
// signed. Fault::not_there, Fault::unreadable: it could not be read. Any thread.
[[nodiscard]] Result<ProofReport> check_export(const std::filesystem::path& path,
                                               std::span<const VerifierKey> keys);

// For a person; `what` is "receipt" or "export". No line end at the end.
[[nodiscard]] std::string describe(std::string_view what, const ProofReport& report);

}  // namespace deepmoat::verifier
