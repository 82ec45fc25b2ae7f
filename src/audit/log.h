// The append-only audit log: preallocated segments, a hash chain, a Merkle tree, one fdatasync a
// batch. The bytes on disk are specified in docs/formats/audit.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "audit/disk.h"
#include "audit/log_tree.h"
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
  // A commit that takes longer is a stall: what waits fails, and so does what comes, until the disk
  // has answered.
  std::int64_t stall_ms = 2000;
  // After which a file that the full disk did not take is tried again.
  std::int64_t retry_ms = 5000;
  bool sm3_tree = false;
  // What the log must continue, from every place that keeps checkpoints.
  std::vector<KnownCheckpoint> known_checkpoints;
  Disk* disk = &system_disk();
};

// Who may use what is left when the disk is full.
enum class Lane : std::uint8_t {
  calls,           // refused then, but for the results of calls that have their intent
  administration,  // goes on in the spare segment
};

enum class LogState : std::uint8_t {
  writing,
  disk_full,  // administration goes on; everything does once there is space
  stalled,    // the disk does not answer; everything goes on once it does
  failed,     // until the server is started again
};

// "writing", "disk_full", ...
[[nodiscard]] std::string_view log_state_name(LogState state);

// Called on the log's own thread once the record is durable, or with the error when it is not; on
// the appending thread, before append() returns, when the log refuses the record at once. Must be
// quick (the next commit waits for it), must not throw and must not destroy the log.
using AppendDone = std::move_only_function<void(Result<std::uint64_t> sequence)>;

// Thread-safe. One process at a time holds a log's directory.
class Log {
 public:
  // Recovers what a crash left: a torn tail is cut off and said, anything valid after a bad
  // frame is tampering and refuses to open (Code::corrupt), as does a log that does not continue
  // its known checkpoints. Code::already_exists when another process holds the directory,
  // Code::invalid_argument for bad options, Code::io.
  static Result<std::unique_ptr<Log>> open(LogOptions options, const Clock& clock);
  ~Log();  // commits what is queued

  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Queues a record and returns at once. After the first I/O error every append fails with
  // Code::audit_unavailable until the process is started again: a failed fsync is never retried.
  // After a stall a record that was refused may be there all the same. `unix_ms` and `mono_ns` are
  // set here; texts that are too long are cut. Records of one thread keep their order.
  void append(Record record, AppendDone done, Lane lane = Lane::administration);

  // Blocks until the record is durable.
  Result<std::uint64_t> append_and_wait(Record record, Lane lane = Lane::administration);

  [[nodiscard]] LogState state() const;
  // Calls are served; otherwise the gateway answers them 503 audit_unavailable.
  [[nodiscard]] bool healthy() const { return state() == LogState::writing; }

  // As new as the last commit.
  [[nodiscard]] LogTree& tree();
  [[nodiscard]] const std::filesystem::path& directory() const;

 private:
  class Impl;
  explicit Log(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace deepmoat::audit
