// An SQL index of the audit log, for questions that the log alone answers too slowly. Derived data
// in a file of its own: it may be deleted at any time, and is then made again from the log. What
// counts as proof is the log; a receipt is made from the log's bytes, which a row tells where to
// find.
//
// Several processes may open one index. They take turns in writing; readers wait for nobody and
// see the index as it was when their statement began.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "audit/record.h"
#include "base/result.h"

namespace deepmoat::review {

class IndexSession;

// Records that one transaction of catch_up() adds at most.
inline constexpr std::size_t kIndexBatch = 2000;

// How far an index has come.
struct IndexState {
  std::uint64_t last_sequence = 0;  // of the last record that was indexed; 0: none was
  // False from when the index is begun until the end of the log is reached for the first time:
  // answers are about a part of the log, and slow.
  bool complete = false;
};

// A record of a request: what a receipt needs to find its bytes.
struct RequestRecord {
  std::uint64_t sequence = 0;
  std::uint64_t segment = 0;
  std::uint64_t frame_offset = 0;  // when it was indexed: another one once a segment is rewritten
};

// Told after each transaction: how many records have been added so far.
using IndexProgress = std::function<void(std::uint64_t added)>;

// One thread at a time; threads that work side by side open one each.
class AuditIndex {
 public:
  // Opens or creates the file (mode 0600). A file that is no database, is damaged or has the form
  // of another version of this program is begun anew, and log::warn says so. Code::io.
  static Result<std::unique_ptr<AuditIndex>> open(const std::filesystem::path& path);
  ~AuditIndex();
  AuditIndex(const AuditIndex&) = delete;
  AuditIndex& operator=(const AuditIndex&) = delete;

  // Adds the log's records that it lacks, up to the log's present end, and says how many those
  // were. A log that does not continue what was indexed (it was rolled back, or is another one)
  // makes it start over, and log::warn says so. Ends early once `stop` is set. Code::not_found
  // without the log's folder, Code::corrupt when the log is, Code::unavailable when another process
  // writes the index for more than ten seconds, Code::io.
  Result<std::uint64_t> catch_up(const std::filesystem::path& log_folder,
                                 const std::atomic<bool>* stop, const IndexProgress& progress = {});

  // Forgets everything; the next catch_up() begins with the log's first record.
  Result<> rebuild();

  // Deletes rows whose records' bodies were deleted from the log; says how many were there. The
  // pages that held them are overwritten, the write-ahead log too unless a reader still needs it.
  Result<std::uint64_t> forget(const std::vector<std::uint64_t>& sequences);

  // In the log's order; empty when there is none.
  Result<std::vector<RequestRecord>> find_request(std::string_view request_id);

  Result<IndexState> state();

  // For the other files of this folder.
  [[nodiscard]] IndexSession& session() { return *session_; }

 private:
  explicit AuditIndex(std::unique_ptr<IndexSession> session);

  std::unique_ptr<IndexSession> session_;
};

// Code::unavailable while the index is not complete: for answers that must be about all of the log.
Result<> require_complete(AuditIndex& index);

}  // namespace deepmoat::review
