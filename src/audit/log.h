// The append-only audit log: preallocated segments, a hash chain, one fdatasync a batch.
// The bytes on disk are specified in docs/formats/audit.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "audit/record.h"
#include "base/clock.h"
#include "base/result.h"

namespace deepmoat::audit {

struct LogOptions {
  std::filesystem::path directory;
  // Of segments made from now on; a multiple of 4096 from 8 KiB to 1 GiB.
  std::uint64_t segment_bytes = 64ULL * 1024 * 1024;
  // Records that wait for the disk; an append over it fails with Code::audit_unavailable.
  std::size_t queue_records_max = 16 * 1024;
};

// Called on the log's own thread once the record is durable, or with the error when it is not; on
// the appending thread, before append() returns, when the log refuses the record at once. Must be
// quick (the next commit waits for it), must not throw and must not destroy the log.
using AppendDone = std::move_only_function<void(Result<std::uint64_t> sequence)>;

// Thread-safe. One process at a time holds a log's directory.
class Log {
 public:
  // Recovers what a crash left: a torn tail is cut off and said, anything valid after a bad
  // frame is tampering and refuses to open (Code::corrupt). Code::already_exists when another
  // process holds the directory, Code::invalid_argument for bad options, Code::io.
  static Result<std::unique_ptr<Log>> open(LogOptions options, const Clock& clock);
  ~Log();  // commits what is queued

  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Queues a record and returns at once. After the first I/O error every append fails with
  // Code::audit_unavailable until the process is started again: a failed fsync is never retried.
  // `unix_ms` and `mono_ns` are set here; texts that are too long are cut. Records of one thread
  // keep their order.
  void append(Record record, AppendDone done);

  // Blocks until the record is durable.
  Result<std::uint64_t> append_and_wait(Record record);

  // False after an I/O error: the gateway then answers 503 audit_unavailable.
  [[nodiscard]] bool healthy() const;

 private:
  class Impl;
  explicit Log(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace deepmoat::audit
