// The append side of the audit log. Callers encode and queue; the commit thread numbers, chains,
// writes and syncs whole batches (segment_writer.h); the supply makes files ahead of their use
// (segment_supply.h); the watching thread sees to it that nobody waits for a disk that has stopped.
#include "audit/log.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "audit/event_count.h"
#include "audit/format.h"
#include "audit/record_json.h"
#include "audit/recovery.h"
#include "audit/segment.h"
#include "audit/segment_supply.h"
#include "audit/segment_writer.h"
#include "base/file.h"
#include "base/log.h"

namespace deepmoat::audit {

namespace {

constexpr auto kWatchPeriod = std::chrono::milliseconds(100);
// A step of the clock that is worth a record: no network time daemon does that to a clock that was
// right.
constexpr std::int64_t kClockStepMs = 60LL * 60 * 1000;

// What append_and_wait() blocks on. Whoever completes it touches nothing of it after `done`.
struct Waiter {
  Result<std::uint64_t> sequence = 0;
  std::atomic<bool> done = false;
};

struct Pending {
  std::string body;
  UnixMillis unix_ms = 0;
  bool only_administration = false;  // not refused when the disk is full
  AppendDone done;                   // or
  Waiter* waiter = nullptr;
};

void complete(Pending& pending, Result<std::uint64_t> sequence) {
  if (pending.waiter != nullptr) {
    Waiter& waiter = *std::exchange(pending.waiter, nullptr);
    waiter.sequence = std::move(sequence);
    waiter.done.store(true, std::memory_order_release);
  } else if (pending.done) {
    std::exchange(pending.done, nullptr)(std::move(sequence));
  }
}

// Every answer waits for this thread: on a busy machine it would else wait for its time slice after
// each sync. Best effort: it needs CAP_SYS_NICE or a limit that permits it (LimitNICE).
void raise_priority() {
  constexpr int kNice = -10;
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);
}

Error unavailable(std::string why) {
  return {Code::audit_unavailable, "the audit log: " + std::move(why)};
}

Record clock_step_record(std::int64_t step_ms) {
  Record record;
  record.phase = Phase::result;
  record.operation = Operation::write;
  record.outcome = Outcome::success;
  record.tenant = "default";
  record.operator_id = "deepmoat";
  record.authentication = "none";
  record.action = "audit.clock_step";
  record.resource = "clock";
  record.reason = fmt::format("{:+} s", step_ms / 1000);
  return record;
}

}  // namespace

std::string_view log_state_name(LogState state) {
  constexpr std::array<std::string_view, 4> kNames{"writing", "disk_full", "stalled", "failed"};
  return kNames[static_cast<std::size_t>(state)];
}

class Log::Impl {
 public:
  Impl(LogOptions options, const Clock& clock, UniqueFd lock, SegmentWriter writer,
       std::uint64_t segments, std::unique_ptr<LogTree> tree)
      : options_(std::move(options)),
        clock_(clock),
        lock_(std::move(lock)),
        tree_(std::move(tree)),
        writer_(std::move(writer)),
        segment_(writer_.segment()),
        supply_(options_.directory, options_.segment_bytes, segments,
                std::chrono::milliseconds(options_.retry_ms), *options_.disk),
        commit_thread_([this] { run(); }),
        watch_thread_([this] { watch(); }) {
    if (!writer_.blank()) {
      supply_.want(segment_ + 1);
    }
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    queued_.notify_one();
    commit_thread_.join();
    {
      const std::lock_guard lock(mutex_);
      stop_watching_ = true;
    }
    watching_.notify_one();
    watch_thread_.join();
  }

  // Why the record was refused; then it has not been completed.
  Result<> enqueue(Record& record, Lane lane, Pending& pending) {
    pending.only_administration = lane == Lane::administration || record.intent_sequence != 0;
    pending.unix_ms = clock_.unix_ms();
    record.mono_ns = clock_.mono_ns();
    pending.body = encode_record(record);
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      CHECK_OK(admit(pending));
      note_clock(pending.unix_ms, record.mono_ns);
      queue_.push_back(std::move(pending));
      wake = std::exchange(commit_thread_sleeps_, false);
    }
    if (wake) {
      queued_.notify_one();
    }
    return {};
  }

  void wait(const Waiter& waiter) {
    for (;;) {
      const std::uint32_t seen = completions_.count();
      if (waiter.done.load(std::memory_order_acquire)) {
        return;
      }
      completions_.wait(seen);
    }
  }

  [[nodiscard]] LogState state() const {
    if (failed_.load(std::memory_order_acquire)) {
      return LogState::failed;
    }
    if (stalled_.load(std::memory_order_acquire)) {
      return LogState::stalled;
    }
    return supply_.is_last(segment_.load(std::memory_order_acquire)) ? LogState::disk_full
                                                                     : LogState::writing;
  }

  [[nodiscard]] LogTree& tree() { return *tree_; }
  [[nodiscard]] const std::filesystem::path& directory() const { return options_.directory; }

 private:
  // Under mutex_.
  Result<> admit(const Pending& pending) const {
    if (failure_) {
      return std::unexpected(*failure_);
    }
    const LogState now = state();
    if (now == LogState::stalled) {
      return std::unexpected(unavailable("the disk does not answer"));
    }
    if (now == LogState::disk_full && !pending.only_administration) {
      return std::unexpected(
          unavailable("the disk is full; what is left is for administrators, so free space on it"));
    }
    if (queue_.size() >= options_.queue_records_max) {
      return std::unexpected(
          unavailable(fmt::format("{} records wait for the disk already", queue_.size())));
    }
    return {};
  }

  // Under mutex_. A clock that was set goes on record: later times in the log mean something else
  // from there on.
  void note_clock(UnixMillis unix_ms, MonoNanos mono_ns) {
    const std::int64_t offset_ms = unix_ms - (mono_ns / 1'000'000);
    const std::int64_t step_ms = clock_offset_ms_ ? offset_ms - *clock_offset_ms_ : 0;
    clock_offset_ms_ = offset_ms;
    if (std::abs(step_ms) < kClockStepMs) {
      return;
    }
    log::warn("the clock was set, or the machine slept, while the server ran",
              {{"step_s", step_ms / 1000}});
    Record record = clock_step_record(step_ms);
    record.mono_ns = mono_ns;
    queue_.push_back({.body = encode_record(record),
                      .unix_ms = unix_ms,
                      .only_administration = true,
                      .done = nullptr});
  }

  void run() {
    raise_priority();
    while (take_queue()) {
      std::vector<NewRecord> records;
      records.reserve(batch_.size());
      for (const Pending& pending : batch_) {
        records.push_back({.body = pending.body, .unix_ms = pending.unix_ms});
      }
      std::size_t done = 0;
      while (done < records.size()) {
        if (!writer_.fits(records[done].body.size())) {
          if (auto entered = timed([this] { return enter_next(); }); !entered) {
            refuse_batch(done, unavailable(entered.error().message));
            break;
          }
        }
        const std::uint64_t first = writer_.chain().next_sequence;
        const auto committed = commit(std::span(records).subspan(done));
        if (!committed) {
          fail_closed(committed.error(), done);
          return;
        }
        announce(done, *committed, first);
        done += *committed;
      }
    }
  }

  // Blocks until there is something to write; false when the log closes and nothing is left.
  bool take_queue() {
    std::unique_lock lock(mutex_);
    batch_.clear();
    while (queue_.empty()) {
      if (stopping_) {
        return false;
      }
      commit_thread_sleeps_ = true;
      queued_.wait(lock);
    }
    commit_thread_sleeps_ = false;
    batch_.swap(queue_);
    return true;
  }

  Result<> enter_next() {
    CHECK_OK(supply_.wait_for(writer_.segment() + 1));
    CHECK_OK(writer_.enter_next());
    segment_.store(writer_.segment(), std::memory_order_release);
    return {};
  }

  Result<std::size_t> commit(std::span<const NewRecord> records) {
    const bool first_in_segment = writer_.blank();
    auto committed = timed([&] {
      return writer_.commit(records, clock_.unix_ms(),
                            [this](std::string_view leaf_data) { tree_->append(leaf_data); });
    });
    if (committed && first_in_segment) {
      // Only now: never more than one blank segment, whenever we are killed.
      supply_.want(writer_.segment() + 1);
    }
    return committed;
  }

  // What may wait for the disk, under the eyes of the watching thread.
  template <class Work>
  std::invoke_result_t<const Work&> timed(const Work& work) {
    commit_began_ns_.store(clock_.mono_ns(), std::memory_order_release);
    auto done = work();
    bool was_stalled = false;
    {
      // Under the mutex, as watch() sets it: a stall that is noticed now is over.
      const std::lock_guard lock(mutex_);
      commit_began_ns_.store(kIdle, std::memory_order_release);
      was_stalled = stalled_.exchange(false, std::memory_order_acq_rel);
    }
    if (was_stalled) {
      log::info("audit log: the disk answers again", {});
    }
    return done;
  }

  // Completions are taken under the mutex, because a stall completes them too, and run outside it.
  std::vector<Pending> take_batch(std::size_t first, std::size_t end) {
    const std::lock_guard lock(mutex_);
    std::vector<Pending> taken(end - first);
    for (std::size_t i = first; i < end; ++i) {
      taken[i - first].done = std::exchange(batch_[i].done, nullptr);
      taken[i - first].waiter = std::exchange(batch_[i].waiter, nullptr);
    }
    return taken;
  }

  void complete_all(std::vector<Pending>& taken, const Error& error) {
    for (Pending& pending : taken) {
      complete(pending, std::unexpected(error));
    }
    completions_.advance();
  }

  void announce(std::size_t first, std::size_t count, std::uint64_t first_sequence) {
    std::vector<Pending> taken = take_batch(first, first + count);
    for (Pending& pending : taken) {
      if (pending.waiter != nullptr) {
        complete(pending, first_sequence + static_cast<std::uint64_t>(&pending - taken.data()));
      }
    }
    // One wake-up for all of a batch, before the callbacks.
    completions_.advance();
    for (std::size_t i = 0; i < count; ++i) {
      complete(taken[i], first_sequence + i);
    }
  }

  void refuse_batch(std::size_t first, const Error& error) {
    std::vector<Pending> taken = take_batch(first, batch_.size());
    complete_all(taken, error);
  }

  // After the first I/O error nobody knows what is on the disk: everything that waits fails, and
  // so does everything that comes, until a new process has recovered the log.
  void fail_closed(const Error& cause, std::size_t first) {
    const std::string name = segment_name(writer_.segment());
    const Error error = unavailable(
        fmt::format("{}: {}; nothing is answered until the disk is repaired and the server started "
                    "again",
                    name, cause.message));
    log::error("audit log: cannot write; every call is refused from now on",
               {{"segment", name}, {"error", cause.message}});
    std::vector<Pending> taken = take_batch(first, batch_.size());
    {
      const std::lock_guard lock(mutex_);
      failure_ = error;
      std::ranges::move(queue_, std::back_inserter(taken));
      queue_.clear();
    }
    failed_.store(true, std::memory_order_release);
    complete_all(taken, error);
    mark_tail_unknown(options_.directory, *options_.disk);  // last: that disk may not answer
  }

  void watch() {
    std::unique_lock lock(mutex_);
    while (!watching_.wait_for(lock, kWatchPeriod, [this] { return stop_watching_; })) {
      const MonoNanos began_ns = commit_began_ns_.load(std::memory_order_acquire);
      if (began_ns == kIdle || stalled_.load(std::memory_order_acquire) ||
          clock_.mono_ns() - began_ns < options_.stall_ms * 1'000'000) {
        continue;
      }
      stalled_.store(true, std::memory_order_release);
      std::vector<Pending> taken;
      for (Pending& pending : batch_) {
        taken.push_back({.body = {},
                         .done = std::exchange(pending.done, nullptr),
                         .waiter = std::exchange(pending.waiter, nullptr)});
      }
      std::ranges::move(queue_, std::back_inserter(taken));
      queue_.clear();
      lock.unlock();
      log::error("audit log: the disk does not answer; calls are refused until it does", {});
      complete_all(taken, unavailable("the disk does not answer"));
      lock.lock();
    }
  }

  static constexpr MonoNanos kIdle = -1;

  const LogOptions options_;
  const Clock& clock_;
  const UniqueFd lock_;
  const std::unique_ptr<LogTree> tree_;

  // The commit thread's own.
  SegmentWriter writer_;

  std::atomic<std::uint64_t> segment_;  // that writer_ is in
  std::atomic<MonoNanos> commit_began_ns_ = kIdle;
  std::atomic<bool> stalled_ = false;
  std::atomic<bool> failed_ = false;
  EventCount completions_;  // what append_and_wait() watches

  // Shared, under mutex_.
  std::mutex mutex_;
  std::condition_variable queued_;
  std::condition_variable watching_;
  std::vector<Pending> queue_;
  std::vector<Pending> batch_;  // the commit thread's; `done` and `waiter` of it are shared
  std::optional<Error> failure_;
  std::optional<std::int64_t> clock_offset_ms_;
  bool commit_thread_sleeps_ = false;
  bool stopping_ = false;
  bool stop_watching_ = false;

  SegmentSupply supply_;
  std::thread commit_thread_;
  std::thread watch_thread_;
};

Result<std::unique_ptr<Log>> Log::open(LogOptions options, const Clock& clock) {
  if (options.segment_bytes < kSegmentBytesMin || options.segment_bytes > kSegmentBytesMax ||
      options.segment_bytes % kSegmentPageBytes != 0) {
    return fail(
        Code::invalid_argument,
        fmt::format("audit segment_bytes is {}; use a multiple of {} from {} to {}",
                    options.segment_bytes, kSegmentPageBytes, kSegmentBytesMin, kSegmentBytesMax));
  }
  CHECK_OK(make_directory(options.directory, 0700));
  TRY(UniqueFd lock, lock_file(options.directory / "lock"));
  Disk& disk = *options.disk;
  CHECK_OK(remove_unfinished_segments(options.directory, disk));
  TRY(WritePosition position, recover(options.directory, disk));
  auto tree = std::make_unique<LogTree>(options.directory, options.sm3_tree);
  CHECK_OK(tree->load(position.chain.next_sequence - 1, options.known_checkpoints));
  if (position.segments == 0) {
    CHECK_OK(prepare_segment(options.directory, 1, options.segment_bytes, disk));
    position.segments = 1;
  }
  TRY(SegmentWriter writer, SegmentWriter::open(options.directory, position, disk));
  return std::unique_ptr<Log>(
      new Log(std::make_unique<Impl>(std::move(options), clock, std::move(lock), std::move(writer),
                                     position.segments, std::move(tree))));
}

Log::Log(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Log::~Log() = default;

void Log::append(Record record, AppendDone done, Lane lane) {
  Pending pending;
  pending.done = std::move(done);
  if (auto queued = impl_->enqueue(record, lane, pending); !queued) {
    complete(pending, std::unexpected(std::move(queued).error()));
  }
}

Result<std::uint64_t> Log::append_and_wait(Record record, Lane lane) {
  Waiter waiter;
  Pending pending;
  pending.waiter = &waiter;
  CHECK_OK(impl_->enqueue(record, lane, pending));
  impl_->wait(waiter);
  return std::move(waiter.sequence);
}

LogState Log::state() const {
  return impl_->state();
}

LogTree& Log::tree() {
  return impl_->tree();
}

const std::filesystem::path& Log::directory() const {
  return impl_->directory();
}

}  // namespace deepmoat::audit
