// The audit log as the server has it: with its Merkle trees, and beside it a checkpointer that
// signs, writes tiles and takes each checkpoint to a second folder.
#pragma once

#include <filesystem>
#include <memory>

#include "audit/checkpointer.h"
#include "audit/log.h"
#include "transparency/note.h"

namespace deepmoat::audit {

struct ProductLogOptions {
  std::filesystem::path folder;  // gets the log and, beside it, the place of its checkpoints
  bool sm = false;               // as `audit.sm`: the SM3 tree, and checkpoints signed by SM2 too
};

// The log outlives its checkpointer; the signer both.
class ProductLog {
 public:
  // Makes the log, or goes on with the one that is there.
  static Result<std::unique_ptr<ProductLog>> open(const ProductLogOptions& options,
                                                  const Clock& clock);

  [[nodiscard]] Log& log() { return *log_; }
  [[nodiscard]] Checkpointer& checkpointer() { return *checkpointer_; }

 private:
  explicit ProductLog(transparency::NoteSigner signer) : signer_(std::move(signer)) {}

  transparency::NoteSigner signer_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Checkpointer> checkpointer_;
};

}  // namespace deepmoat::audit
