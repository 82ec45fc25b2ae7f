// What is measured on a log that the writers have left: its bytes, its proofs, its checkpoints and
// how fast the independent verifier reads it. Prints lines.
#pragma once

#include "base/result.h"
#include "product_log.h"

namespace deepmoat::audit {

// Bytes a record, proofs, a receipt, and the time of a checkpoint. Appends some records.
[[nodiscard]] Result<> describe_log(ProductLog& product);

// The verifier over a log that nobody writes to, from the page cache, with one thread and with its
// defaults. `signer`: whose checkpoints it must be.
[[nodiscard]] Result<> measure_verifier(const std::filesystem::path& folder, bool sm);

}  // namespace deepmoat::audit
