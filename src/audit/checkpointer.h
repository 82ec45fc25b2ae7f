// Signs checkpoints of the log as it grows, at most one second behind it, and takes them to the
// places that keep them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "audit/checkpoint_place.h"
#include "audit/log.h"
#include "audit/place_keeper.h"
#include "base/clock.h"
#include "transparency/note.h"

namespace deepmoat::audit {

inline constexpr const char* kCheckpointFile = "checkpoint";
inline constexpr const char* kCheckpointFolder = "checkpoints";
inline constexpr const char* kPlacesFile = "places";

// What the log must continue: the checkpoint in its own folder and those of `places`.
// Code::corrupt, which names the place, for a note that is not signed by `signer`, and for a place
// without a note where there was one before, as a share that is not mounted:
// `kPlacesFile` has the names of those, one a line. Code::unavailable for a place that cannot be
// asked.
[[nodiscard]] Result<std::vector<KnownCheckpoint>> known_checkpoints(
    const std::filesystem::path& log_directory,
    const std::vector<std::unique_ptr<CheckpointPlace>>& places,
    const transparency::NoteSigner& signer);

// The keys that check this log's checkpoints, one a line, for auditors.
[[nodiscard]] std::string verifier_keys(const transparency::NoteSigner& signer);

// Thread-safe. The log and the signer must outlive it.
class Checkpointer {
 public:
  Checkpointer(Log& log, const transparency::NoteSigner& signer,
               std::vector<std::unique_ptr<CheckpointPlace>> places, const Clock& clock);
  ~Checkpointer();  // stops, and waits for every place, however long that takes
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Makes a last one, and takes it to the places. False: one of them has not come back from that
  // within `patience`, each.
  [[nodiscard]] bool stop(std::chrono::milliseconds patience);

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
  void look_at_places();

  Log& log_;
  const transparency::NoteSigner& signer_;
  const Clock& clock_;
  std::vector<std::unique_ptr<PlaceKeeper>> keepers_;

  mutable std::mutex mutex_;
  std::condition_variable wanted_;
  std::condition_variable made_;
  std::string newest_;
  std::uint64_t newest_size_ = 0;
  std::uint64_t attempts_ = 0;
  std::optional<Error> error_;  // of the last attempt
  bool now_ = false;
  bool stopping_ = false;

  // The thread's own.
  std::int64_t history_day_ = -1;
  std::uint64_t edge_size_ = 0;         // whose right edge is on the disk
  std::set<const PlaceKeeper*> known_;  // have a line in kPlacesFile
  std::thread thread_;
};

}  // namespace deepmoat::audit
