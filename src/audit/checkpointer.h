// Signs checkpoints of the log as it grows, at most one second behind it, and takes them to the
// places that keep them.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "audit/checkpoint_place.h"
#include "audit/log.h"
#include "base/clock.h"
#include "transparency/note.h"

namespace deepmoat::audit {

inline constexpr const char* kCheckpointFile = "checkpoint";
inline constexpr const char* kCheckpointFolder = "checkpoints";

// What the log must continue: the checkpoint in its own folder and those of `places`. A note that
// is not signed by `signer` is no checkpoint of this log: Code::corrupt, which names the place.
// Code::unavailable for a place that cannot be asked.
[[nodiscard]] Result<std::vector<KnownCheckpoint>> known_checkpoints(
    const std::filesystem::path& log_directory,
    const std::vector<std::unique_ptr<CheckpointPlace>>& places,
    const transparency::NoteSigner& signer);

// The keys that check this log's checkpoints, one a line, for auditors.
[[nodiscard]] std::string verifier_keys(const transparency::NoteSigner& signer);

struct PlaceHealth {
  std::string place;
  std::uint64_t size = 0;  // of the newest checkpoint that it has taken
  std::string error;       // of the last attempt; empty: it took it
};

// Thread-safe. The log and the signer must outlive it.
class Checkpointer {
 public:
  Checkpointer(Log& log, const transparency::NoteSigner& signer,
               std::vector<std::unique_ptr<CheckpointPlace>> places, const Clock& clock);
  ~Checkpointer();  // makes a last one
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // The newest signed note; empty before the first.
  [[nodiscard]] std::string newest() const;
  // One of at least `size` records; made now if there is none yet. Blocks, for milliseconds as a
  // rule. Code::invalid_argument when the log has fewer, Code::unavailable when none could be made.
  [[nodiscard]] Result<std::string> covering(std::uint64_t size);

  [[nodiscard]] std::vector<PlaceHealth> places() const;
  [[nodiscard]] const transparency::NoteSigner& signer() const { return signer_; }

 private:
  void run();
  void note_attempt(Result<> made);
  Result<> make();
  Result<> write(const TreeSnapshot& snapshot, const std::string& note);
  void take_to_places(bool last);

  Log& log_;
  const transparency::NoteSigner& signer_;
  const Clock& clock_;
  const std::vector<std::unique_ptr<CheckpointPlace>> places_;  // the thread's own

  mutable std::mutex mutex_;
  std::condition_variable wanted_;
  std::condition_variable made_;
  std::string newest_;
  std::uint64_t newest_size_ = 0;
  std::uint64_t attempts_ = 0;
  std::optional<Error> error_;  // of the last attempt
  std::vector<PlaceHealth> health_;
  bool now_ = false;
  bool stopping_ = false;

  // The thread's own.
  std::int64_t history_day_ = -1;
  std::uint64_t edge_size_ = 0;  // whose right edge is on the disk
  std::thread thread_;
};

}  // namespace deepmoat::audit
