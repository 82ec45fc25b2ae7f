// The append side of the audit log. Three kinds of thread: callers encode and queue; the commit
// thread numbers, chains, writes and syncs whole batches; the preparing thread makes the next
// segment ahead of its use.
#include "audit/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "audit/format.h"
#include "audit/record_json.h"
#include "audit/recovery.h"
#include "audit/segment.h"
#include "base/file.h"
#include "base/log.h"

namespace deepmoat::audit {

namespace {

// One pwrite takes at most this much, so that a full queue does not delay its first records.
constexpr std::size_t kCommitBytesMax = 1024 * 1024;

struct Pending {
  std::string body;
  UnixMillis unix_ms = 0;
  AppendDone done;  // empty: somebody waits on `durable_` instead
};

// Makes segments ahead of their use on a thread of its own.
class Preparer {
 public:
  Preparer(const LogOptions& options, std::uint64_t ready_up_to)
      : options_(options), ready_(ready_up_to), wanted_(ready_up_to), thread_([this] { run(); }) {}
  ~Preparer() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  // Asks for segment `number` to be made; returns at once.
  void want(std::uint64_t number) {
    {
      const std::lock_guard lock(mutex_);
      wanted_ = std::max(wanted_, number);
      error_.reset();
    }
    changed_.notify_all();
  }

  // Blocks until segment `number` is there. Asks once more when making it failed before: the
  // failed file is gone, so this repeats no fsync, and the disk may have room again.
  Result<> wait_for(std::uint64_t number) {
    want(number);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ready_ >= number || error_.has_value(); });
    return ready_ >= number ? Result<>{} : std::unexpected(*error_);
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stopping_ || (ready_ < wanted_ && !error_); });
      if (stopping_) {
        return;
      }
      const std::uint64_t number = ready_ + 1;
      lock.unlock();
      Result<> made = prepare_segment(options_.directory, number, options_.segment_bytes);
      lock.lock();
      if (made) {
        ready_ = number;
      } else {
        log::error("audit log: could not prepare the next segment; free space before it is needed",
                   {{"segment", number}, {"error", made.error().message}});
        error_ = std::move(made).error();
      }
      changed_.notify_all();
    }
  }

  const LogOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t ready_;  // segments 1..ready_ exist
  std::uint64_t wanted_;
  std::optional<Error> error_;
  bool stopping_ = false;
  std::thread thread_;
};

Result<UniqueFd> open_segment(const std::filesystem::path& directory, std::uint64_t number) {
  return open_file(directory / segment_name(number), O_WRONLY | O_NOFOLLOW);
}

}  // namespace

class Log::Impl {
 public:
  Impl(LogOptions options, const Clock& clock, UniqueFd lock, UniqueFd segment,
       std::uint64_t segment_bytes, const WritePosition& position)
      : options_(std::move(options)),
        clock_(clock),
        lock_(std::move(lock)),
        segment_(std::move(segment)),
        segment_bytes_(segment_bytes),
        segment_number_(position.segment),
        offset_(position.offset),
        chain_(position.chain),
        next_queued_(position.chain.next_sequence),
        durable_(position.chain.next_sequence - 1),
        preparer_(options_, position.segments),
        commit_thread_([this] { run(); }) {
    if (offset_ != 0) {
      preparer_.want(segment_number_ + 1);
    }
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    queued_.notify_one();
    commit_thread_.join();
  }

  // The record's sequence, or why it was refused; then `done` is left as it was.
  Result<std::uint64_t> enqueue(Record& record, AppendDone& done) {
    Pending pending;
    pending.unix_ms = clock_.unix_ms();
    record.mono_ns = clock_.mono_ns();
    pending.body = encode_record(record);
    bool wake = false;
    std::uint64_t sequence = 0;
    {
      const std::lock_guard lock(mutex_);
      if (failure_) {
        return std::unexpected(*failure_);
      }
      if (queue_.size() >= options_.queue_records_max) {
        return fail(
            Code::audit_unavailable,
            fmt::format("the audit log: {} records wait for the disk already", queue_.size()));
      }
      pending.done = std::move(done);
      queue_.push_back(std::move(pending));
      sequence = next_queued_++;
      wake = std::exchange(commit_thread_sleeps_, false);
    }
    if (wake) {
      queued_.notify_one();
    }
    return sequence;
  }

  Result<std::uint64_t> wait_until_durable(std::uint64_t sequence) {
    for (;;) {
      const std::uint32_t seen = commits_.load(std::memory_order_acquire);
      if (durable_.load(std::memory_order_acquire) >= sequence) {
        return sequence;
      }
      if (failed_.load(std::memory_order_acquire)) {
        const std::lock_guard lock(mutex_);
        return std::unexpected(*failure_);
      }
      commits_.wait(seen, std::memory_order_acquire);
    }
  }

  [[nodiscard]] bool healthy() const { return !failed_.load(std::memory_order_acquire); }

 private:
  void run() {
    std::vector<Pending> batch;
    while (take_queue(batch)) {
      std::size_t done = 0;
      while (done < batch.size()) {
        const std::size_t first = done;
        if (auto committed = commit_some(batch, done); !committed) {
          fail_closed(std::move(committed).error(), batch, first);
          return;
        }
        announce(batch, first, done);
      }
      batch.clear();
    }
  }

  // Blocks until there is something to write; false when the log closes and nothing is left.
  bool take_queue(std::vector<Pending>& batch) {
    std::unique_lock lock(mutex_);
    while (queue_.empty()) {
      if (stopping_) {
        return false;
      }
      commit_thread_sleeps_ = true;
      queued_.wait(lock);
    }
    commit_thread_sleeps_ = false;
    batch.swap(queue_);
    return true;
  }

  // Makes batch[done..] durable as far as one write in the current segment takes it, moves `done`.
  Result<> commit_some(const std::vector<Pending>& batch, std::size_t& done) {
    if (room() < kFrameBytesMin + batch[done].body.size()) {
      CHECK_OK(switch_segment());
    }
    buffer_.clear();
    ChainState chain = chain_;
    if (offset_ == 0) {
      SegmentHeader header{.number = segment_number_,
                           .segment_bytes = segment_bytes_,
                           .first_sequence = chain.next_sequence,
                           .created_unix_ms = clock_.unix_ms(),
                           .previous_hash = chain.last_hash};
      buffer_ = encode_segment_header(header);
      chain.last_hash = header.hash;
    }
    std::uint32_t batch_index = 0;
    std::size_t next = done;
    for (; next < batch.size() && buffer_.size() < kCommitBytesMax; ++next) {
      const Pending& pending = batch[next];
      if (segment_bytes_ - offset_ - buffer_.size() < kFrameBytesMin + pending.body.size()) {
        break;
      }
      chain.last_hash = append_frame(buffer_, chain.next_sequence, pending.unix_ms, batch_index++,
                                     chain.last_hash, pending.body);
      ++chain.next_sequence;
    }
    CHECK_OK(write_all_at(segment_.get(), buffer_, static_cast<off_t>(offset_)));
    if (::fdatasync(segment_.get()) != 0) {
      return fail_errno(Code::io, "fdatasync");
    }
    if (offset_ == 0) {  // only now: never more than one blank segment, whenever we are killed
      preparer_.want(segment_number_ + 1);
    }
    offset_ += buffer_.size();
    chain_ = chain;
    done = next;
    return {};
  }

  // Bytes that frames can still take in the current segment.
  [[nodiscard]] std::uint64_t room() const {
    return segment_bytes_ - std::max<std::uint64_t>(offset_, kSegmentHeaderBytes);
  }

  Result<> switch_segment() {
    const std::uint64_t number = segment_number_ + 1;
    CHECK_OK(preparer_.wait_for(number));
    TRY(const SegmentFile made, SegmentFile::open(options_.directory, number));
    TRY(segment_, open_segment(options_.directory, number));
    segment_bytes_ = made.bytes();
    segment_number_ = number;
    offset_ = 0;
    return {};
  }

  void announce(std::vector<Pending>& batch, std::size_t first, std::size_t end) {
    const std::uint64_t first_sequence = chain_.next_sequence - (end - first);
    durable_.store(chain_.next_sequence - 1, std::memory_order_release);
    commits_.fetch_add(1, std::memory_order_release);
    commits_.notify_all();
    for (std::size_t i = first; i < end; ++i) {
      if (batch[i].done) {
        batch[i].done(first_sequence + (i - first));
      }
    }
  }

  // After the first I/O error nobody knows what is on the disk: everything that waits fails, and
  // so does everything that comes, until a new process has recovered the log.
  void fail_closed(Error cause, std::vector<Pending>& batch, std::size_t first) {
    const Error error{Code::audit_unavailable,
                      fmt::format("the audit log: {}: {}; nothing is answered until the disk "
                                  "is repaired and the server started again",
                                  segment_name(segment_number_), cause.message)};
    log::error("audit log: cannot write; every call is refused from now on",
               {{"segment", segment_name(segment_number_)}, {"error", cause.message}});
    std::vector<Pending> waiting;
    {
      const std::lock_guard lock(mutex_);
      failure_ = error;
      waiting.swap(queue_);
    }
    segment_.reset();
    failed_.store(true, std::memory_order_release);
    commits_.fetch_add(1, std::memory_order_release);
    commits_.notify_all();
    for (std::size_t i = first; i < batch.size(); ++i) {
      if (batch[i].done) {
        batch[i].done(std::unexpected(error));
      }
    }
    for (Pending& pending : waiting) {
      if (pending.done) {
        pending.done(std::unexpected(error));
      }
    }
  }

  const LogOptions options_;
  const Clock& clock_;
  const UniqueFd lock_;

  // The commit thread's own.
  UniqueFd segment_;
  std::uint64_t segment_bytes_;
  std::uint64_t segment_number_;
  std::uint64_t offset_;  // 0: the header is still to be written
  ChainState chain_;
  std::string buffer_;

  // Shared, under mutex_.
  std::mutex mutex_;
  std::condition_variable queued_;
  std::vector<Pending> queue_;
  std::uint64_t next_queued_;
  std::optional<Error> failure_;
  bool commit_thread_sleeps_ = false;
  bool stopping_ = false;

  // What append_and_wait() watches: one wake-up for all of a batch. 32 bits, as futexes are.
  std::atomic<std::uint32_t> commits_ = 0;
  std::atomic<std::uint64_t> durable_;
  std::atomic<bool> failed_ = false;

  Preparer preparer_;
  std::thread commit_thread_;
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
  CHECK_OK(remove_unfinished_segments(options.directory));
  TRY(WritePosition position, recover(options.directory));
  if (position.segments == 0) {
    CHECK_OK(prepare_segment(options.directory, 1, options.segment_bytes));
    position.segments = 1;
  }
  TRY(const SegmentFile current, SegmentFile::open(options.directory, position.segment));
  TRY(UniqueFd segment, open_segment(options.directory, position.segment));
  return std::unique_ptr<Log>(new Log(std::make_unique<Impl>(
      std::move(options), clock, std::move(lock), std::move(segment), current.bytes(), position)));
}

Log::Log(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Log::~Log() = default;

void Log::append(Record record, AppendDone done) {
  if (auto queued = impl_->enqueue(record, done); !queued && done) {
    done(std::unexpected(std::move(queued).error()));
  }
}

Result<std::uint64_t> Log::append_and_wait(Record record) {
  AppendDone nobody;
  TRY(const std::uint64_t sequence, impl_->enqueue(record, nobody));
  return impl_->wait_until_durable(sequence);
}

bool Log::healthy() const {
  return impl_->healthy();
}

}  // namespace deepmoat::audit
