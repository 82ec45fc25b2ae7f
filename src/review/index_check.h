// Whether an index says what the log says. It is a file that whoever has the machine can edit, and
// receipts, exports, questions and reports find their records by it.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "review/audit_index.h"

namespace deepmoat::review {

struct IndexDifference {
  std::uint64_t records = 0;         // that are not as in the log, are missing or are too many
  std::uint64_t first_sequence = 0;  // of the first of them
  bool form = false;                 // the table, a view or an index is another one

  [[nodiscard]] bool none() const { return records == 0 && !form; }
};

// `fresh` has just been made from the log; what came behind its last record does not count.
// REQUIRES: `index` was brought up to the log's end after that.
[[nodiscard]] Result<IndexDifference> compare_index(AuditIndex& index, AuditIndex& fresh);

}  // namespace deepmoat::review
