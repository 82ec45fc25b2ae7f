// A witness keeps the newest checkpoint of other logs and takes the next one only with a proof that
// the log has grown and nothing else: so that who holds a log, and its keys, cannot replace it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "transparency/note.h"

namespace deepmoat::transparency {

// What a witness is asked: the body of C2SP tlog-witness's add-checkpoint.
struct NextCheckpoint {
  std::uint64_t old_size = 0;  // of the checkpoint that the witness should have; 0: none
  std::vector<Digest> proof;   // of consistency, RFC 6962, 2.1.2; empty for old_size 0
  std::string note;
};

[[nodiscard]] std::string next_checkpoint_body(const NextCheckpoint& next);
// Code::invalid_argument.
[[nodiscard]] Result<NextCheckpoint> parse_next_checkpoint(std::string_view body);

enum class WitnessVerdict : std::uint8_t {
  taken,
  unknown_log,   // its key is not among ours
  not_signed,    // by the log's key
  other_size,    // we have a checkpoint of another size than `old_size`, or a larger one
  inconsistent,  // the proof does not hold: the log is another one than before
};

struct WitnessAnswer {
  WitnessVerdict verdict = WitnessVerdict::taken;
  std::string origin;
  std::uint64_t size = 0;  // of the checkpoint that the witness has now; 0: none
};

// "deepmoat_5f0c9a1e77b2d340.checkpoint": a file's name for a log's origin.
[[nodiscard]] std::string checkpoint_file_name(std::string_view origin);

// Thread-safe.
class Witness {
 public:
  // One file a log in `folder`, which is made. `logs`: whose checkpoints are taken.
  // Code::invalid_argument when two of them have one name, or one file.
  [[nodiscard]] static Result<std::unique_ptr<Witness>> open(std::filesystem::path folder,
                                                             std::vector<NoteVerifier> logs);

  // Durable when it says `taken`. Code::io, and Code::corrupt for a file of ours that is damaged:
  // then nothing is taken.
  [[nodiscard]] Result<WitnessAnswer> add(const NextCheckpoint& next);
  // The newest note; none: there is none yet. Code::not_found for a log that is not known.
  [[nodiscard]] Result<std::optional<std::string>> newest(std::string_view origin);

 private:
  Witness(std::filesystem::path folder, std::vector<NoteVerifier> logs)
      : folder_(std::move(folder)), logs_(std::move(logs)) {}
  [[nodiscard]] const NoteVerifier* log_of(std::string_view origin) const;
  [[nodiscard]] Result<std::optional<std::string>> read(const NoteVerifier& log) const;

  const std::filesystem::path folder_;
  const std::vector<NoteVerifier> logs_;
  std::mutex mutex_;
};

}  // namespace deepmoat::transparency
