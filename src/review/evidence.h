// What proves a record to somebody who does not trust us: receipts and exports, records with their
// inclusion proofs in a signed checkpoint (docs/formats/audit.md, "Receipts and exports").
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "crypto/digest.h"
#include "review/audit_index.h"
#include "review/leaf_reader.h"
#include "review/query.h"
#include "transparency/note.h"
#include "transparency/tile_store.h"

namespace deepmoat::review {

// A signed checkpoint, and the tree that it speaks of or a later state of it. What `tree` reads
// its tiles from must outlive it.
struct SignedTree {
  std::string note;
  transparency::Checkpoint checkpoint;
  transparency::TreeView tree;
};

// Code::corrupt for a note that is no checkpoint, or of more records than the tree has. The
// signature is not looked at.
[[nodiscard]] Result<SignedTree> signed_tree(std::string note, transparency::TreeView tree);

// The newest checkpoint of a log's folder with its tree, beside a running server if there is one.
class StoredTree {
 public:
  // Code::not_found while there is no checkpoint; Code::corrupt, Code::io.
  [[nodiscard]] static Result<std::unique_ptr<StoredTree>> open(
      const std::filesystem::path& log_folder);

  [[nodiscard]] const SignedTree& get() const { return *tree_; }

 private:
  explicit StoredTree(const std::filesystem::path& log_folder);

  transparency::TileStore tiles_;
  std::unique_ptr<SignedTree> tree_;
};

// Makes inclusion proofs in one checkpoint's tree; the next record's costs little after that of
// its neighbour. A few MiB. One thread at a time.
class Prover {
 public:
  explicit Prover(SignedTree tree) : tree_(std::move(tree)) {}

  [[nodiscard]] const SignedTree& tree() const { return tree_; }

  // Hashes from the leaf up. Code::invalid_argument for a record behind the checkpoint;
  // Code::corrupt when it is not the record that the checkpoint holds: the log was altered.
  [[nodiscard]] Result<std::vector<transparency::Digest>> prove(std::uint64_t sequence,
                                                                std::string_view leaf);

 private:
  Result<transparency::Digest> node(unsigned level, std::uint64_t index);

  SignedTree tree_;
  std::unordered_map<std::uint64_t, transparency::Digest> nodes_;
};

// A caller may choose the ids of his requests, and use one for many.
inline constexpr std::uint64_t kRecordsOfReceiptMax = 1000;

// The receipt of a request. `records`: all that the receipt is to be about, in their order, one at
// least, kRecordsOfReceiptMax at most. `keys`: as audit::verifier_keys() has them. Code::not_found
// when the text of one was deleted by retention, Code::invalid_argument when the checkpoint does
// not cover one.
[[nodiscard]] Result<std::string> receipt_json(const std::filesystem::path& log_folder,
                                               std::string_view request_id,
                                               const std::vector<RequestRecord>& records,
                                               SignedTree tree, std::string_view keys);

// An export that is handed out piece by piece. One thread at a time.
class Export {
 public:
  struct Parts {
    std::unique_ptr<AuditIndex> index;  // it has come at least as far as the checkpoint
    std::filesystem::path log_folder;
    SignedTree tree;
    // Whose checkpoint it is. Must outlive this.
    const transparency::NoteSigner& signer;
    UnixMillis made_ms = 0;
  };

  Export(const Export&) = delete;
  Export& operator=(const Export&) = delete;

  // Of the records up to the checkpoint that fit the filter, whose `limit` and order do not count.
  // Where nothing but a span of time is asked for, all records from the first to the last of that
  // time are in it, without a gap: after the clock was set a few of another time too.
  // Code::unavailable while the index lacks records; as query() otherwise.
  [[nodiscard]] static Result<std::unique_ptr<Export>> begin(Parts parts, Filter filter);

  // Appends the next piece, some 100 KB, to `bytes`. False: that was the last one. An error in the
  // middle, such as retention at the same time: what was handed out is no export.
  [[nodiscard]] Result<bool> next(std::string& bytes);

  [[nodiscard]] std::uint64_t records() const { return records_; }

 private:
  Export(Parts parts, Filter filter);
  Result<> find_span();
  [[nodiscard]] bool in_time(UnixMillis unix_ms) const;
  [[nodiscard]] std::string header() const;
  Result<std::string> record_line(const IndexRow& row);
  Result<std::string> last_line();

  Parts parts_;
  Filter wanted_;
  Prover prover_;
  LeafReader leaves_;
  crypto::Sha256 hash_;
  std::uint64_t after_ = 0;  // pages go on behind this record
  std::uint64_t last_ = 0;   // and end with this one
  bool whole_ = false;       // no gap between them
  bool thinned_ = false;     // retention has deleted records between them
  bool begun_ = false;
  std::uint64_t records_ = 0;
};

using OnBytes = std::function<Result<>(std::string_view)>;

// All of it. Says how many records are in it.
[[nodiscard]] Result<std::uint64_t> write_export(Export::Parts parts, Filter filter,
                                                 const OnBytes& on_bytes);

}  // namespace deepmoat::review
