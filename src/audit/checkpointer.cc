#include "audit/checkpointer.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "base/file.h"
#include "base/log.h"

namespace deepmoat::audit {

namespace {

constexpr auto kLook = std::chrono::milliseconds(100);
constexpr auto kCoveringWait = std::chrono::seconds(5);
constexpr auto kHoweverLong = std::chrono::hours(1000);
constexpr MonoNanos kPeriodNs = 1'000'000'000;
constexpr std::uint64_t kRecordsMax = 10'000;  // sooner, when that many have come
constexpr std::size_t kNoteBytesMax = 64 * 1024;

// 0 for bytes that are no checkpoint.
std::uint64_t size_of(std::string_view bytes) {
  const auto note = transparency::parse_note(bytes);
  const auto checkpoint =
      note ? transparency::parse_checkpoint(note->text) : fail(Code::corrupt, "no note");
  return checkpoint ? checkpoint->size : 0;
}

// The places that have had a checkpoint.
class KnownPlaces {
 public:
  static Result<KnownPlaces> open(const std::filesystem::path& log_directory) {
    KnownPlaces places(log_directory / kPlacesFile);
    auto lines = read_file(places.path_, kNoteBytesMax);
    if (lines) {
      places.lines_ = "\n" + *std::move(lines);
    } else if (lines.error().code != Code::not_found) {
      return std::unexpected(std::move(lines).error());
    }
    return places;
  }
  Result<> add(const std::string& place) {
    std::error_code error;
    if (knows(place) || !std::filesystem::is_directory(path_.parent_path(), error)) {
      return {};  // without its folder the log is refused anyway
    }
    lines_ += place + '\n';
    return write_file_atomic(path_, std::string_view(lines_).substr(1), 0600);
  }
  [[nodiscard]] Result<> check_new(const std::string& place) const {
    return knows(place)
               ? fail(Code::corrupt,
                      fmt::format("{} has no audit checkpoint any more, and had one: is it "
                                  "mounted? To begin anew there, take its line out of {}",
                                  place, path_.string()))
               : Result<>();
  }

 private:
  explicit KnownPlaces(std::filesystem::path path) : path_(std::move(path)) {}
  [[nodiscard]] bool knows(const std::string& place) const {
    return lines_.contains("\n" + place + "\n");
  }

  std::filesystem::path path_;
  std::string lines_ = "\n";  // each between line ends
};

}  // namespace

Result<std::vector<KnownCheckpoint>> known_checkpoints(
    const std::filesystem::path& log_directory,
    const std::vector<std::unique_ptr<CheckpointPlace>>& places,
    const transparency::NoteSigner& signer) {
  std::vector<KnownCheckpoint> known;
  const auto take = [&](const std::string& place, std::string_view bytes) -> Result<> {
    const auto note = signer.open(bytes);
    if (!note) {
      return fail(Code::corrupt,
                  fmt::format("the audit checkpoint in {}: {}", place, note.error().message));
    }
    TRY(Checkpoint checkpoint, transparency::parse_checkpoint(note->text));
    known.push_back({.place = place, .checkpoint = std::move(checkpoint)});
    return {};
  };
  const std::filesystem::path own = log_directory / kCheckpointFile;
  if (const auto note = read_file(own, kNoteBytesMax); note) {
    CHECK_OK(take(own.string(), *note));
  } else if (note.error().code != Code::not_found) {
    return std::unexpected(note.error());
  }
  TRY(KnownPlaces known_places, KnownPlaces::open(log_directory));
  for (const auto& place : places) {
    log::info("audit log: asking a second place for the newest checkpoint",
              {{"place", place->name()}});
    TRY(const std::optional<std::string> note, place->newest());
    if (note) {
      CHECK_OK(take(place->name(), *note));
      CHECK_OK(known_places.add(place->name()));
    } else {
      CHECK_OK(known_places.check_new(place->name()));
    }
  }
  return known;
}

std::string verifier_keys(const transparency::NoteSigner& signer) {
  const auto sm2 = signer.sm2_verifier_key();
  return signer.verifier_key() + '\n' + (sm2 ? *sm2 + '\n' : "");
}

Checkpointer::Checkpointer(Log& log, const transparency::NoteSigner& signer,
                           std::vector<std::unique_ptr<CheckpointPlace>> places, const Clock& clock)
    : log_(log), signer_(signer), clock_(clock) {
  for (auto& place : places) {
    place->attach(log_.tree());
    keepers_.push_back(std::make_unique<PlaceKeeper>(std::move(place), clock_));
  }
  if (const auto note = read_file(log_.directory() / kCheckpointFile, kNoteBytesMax); note) {
    edge_size_ = size_of(*note);
  }
  thread_ = std::thread([this] { run(); });
}

Checkpointer::~Checkpointer() {
  (void)stop(kHoweverLong);
}

bool Checkpointer::stop(std::chrono::milliseconds patience) {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
  for (const auto& keeper : keepers_) {
    keeper->finish();
  }
  bool all = true;
  for (const auto& keeper : keepers_) {
    all = keeper->finished(patience) && all;
  }
  look_at_places();
  return all;
}

std::string Checkpointer::newest() const {
  const std::lock_guard lock(mutex_);
  return newest_;
}

std::vector<PlaceHealth> Checkpointer::places() const {
  std::vector<PlaceHealth> all;
  for (const auto& keeper : keepers_) {
    all.push_back(keeper->health());
  }
  return all;
}

Result<std::string> Checkpointer::covering(std::uint64_t size) {
  if (size > log_.tree().size()) {
    return fail(Code::invalid_argument, fmt::format("the log has fewer than {} records", size));
  }
  std::unique_lock lock(mutex_);
  // The attempt that is under way may have looked before our record came; the one after it has not.
  const std::uint64_t last_attempt = attempts_ + 2;
  while (newest_size_ < size) {
    if (attempts_ >= last_attempt || stopping_) {
      return error_ ? std::unexpected(*error_)
                    : fail(Code::unavailable, "no checkpoint could be made");
    }
    now_ = true;
    wanted_.notify_one();
    const bool late = made_.wait_for(lock, kCoveringWait) == std::cv_status::timeout;
    if (late && newest_size_ < size) {
      return fail(Code::unavailable, "the next checkpoint takes too long: the disk is slow");
    }
  }
  return newest_;
}

void Checkpointer::run() {
  MonoNanos last_ns = clock_.mono_ns() - kPeriodNs;
  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.wait_for(lock, kLook, [this] { return now_ || stopping_; });
    const bool stop = stopping_;
    const std::uint64_t behind = log_.tree().size() - newest_size_;
    const bool period_over = clock_.mono_ns() - last_ns >= kPeriodNs;
    const bool due =
        behind > 0 && (now_ || stop || newest_size_ == 0 || behind >= kRecordsMax || period_over);
    const bool asked = std::exchange(now_, false);
    if (due || asked) {
      lock.unlock();
      Result<> made = due ? make() : Result<>();
      lock.lock();
      note_attempt(std::move(made));
      made_.notify_all();
    }
    if (stop) {
      return;
    }
    if (due || period_over) {
      last_ns = clock_.mono_ns();
      lock.unlock();
      look_at_places();
      lock.lock();
    }
  }
}

// On the thread, and once it has ended.
void Checkpointer::look_at_places() {
  for (const auto& keeper : keepers_) {
    keeper->report();
    if (!keeper->has_one_to_find() || known_.contains(keeper.get())) {
      continue;
    }
    auto places = KnownPlaces::open(log_.directory());
    const Result<> added =
        places ? places->add(keeper->health().place) : std::unexpected(std::move(places).error());
    if (added) {
      known_.insert(keeper.get());
    } else {
      log::error("audit log: a second place cannot be noted", {{"error", added.error().message}});
    }
  }
}

// Under the mutex.
void Checkpointer::note_attempt(Result<> made) {
  ++attempts_;
  const bool was_well = !error_;
  error_ = made ? std::nullopt : std::optional(std::move(made).error());
  if (error_ && was_well) {
    log::error("audit log: no checkpoint can be made", {{"error", error_->message}});
  }
}

// This and what follows: on the thread, without the mutex.
Result<> Checkpointer::make() {
  const TreeSnapshot snapshot = log_.tree().snapshot();
  const Checkpoint checkpoint = snapshot.checkpoint(signer_.name());
  TRY(const std::string note, signer_.sign(transparency::checkpoint_text(checkpoint)));
  CHECK_OK(write(snapshot, note));
  {
    const std::lock_guard lock(mutex_);
    newest_size_ = snapshot.size();
    newest_ = note;
  }
  for (const auto& keeper : keepers_) {
    keeper->offer(note, snapshot.size());
  }
  log_.tree().remove_edge(std::exchange(edge_size_, snapshot.size()), snapshot.size());
  return {};
}

// The tiles first: whoever reads a checkpoint finds the tree that it speaks of.
Result<> Checkpointer::write(const TreeSnapshot& snapshot, const std::string& note) {
  CHECK_OK(log_.tree().write_tiles(snapshot));
  CHECK_OK(write_file_atomic(log_.directory() / kCheckpointFile, note, 0600));
  const std::int64_t day = clock_.unix_ms() / kDayMs;
  if (day != history_day_) {
    const std::filesystem::path folder = log_.directory() / kCheckpointFolder;
    CHECK_OK(make_directory(folder, 0700));
    CHECK_OK(write_file_atomic(folder / fmt::format("{:020}", snapshot.size()), note, 0600));
    history_day_ = day;
  }
  return {};
}

}  // namespace deepmoat::audit
