// audit_bench FOLDER [SECONDS]: durable records a second and latency of the audit log beside SQLite
// (WAL, synchronous=FULL, group commit by one writer thread), each writer blocking until its record
// is durable; then what the verifier reads a second. Prints a table. FOLDER must be on the disk to
// measure and is used up: give a new one.
#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "audit/log.h"
#include "audit/record_json.h"
#include "verifier/log.h"

namespace deepmoat::audit {
namespace {

using Time = std::chrono::steady_clock;

double seconds_since(Time::time_point start) {
  return std::chrono::duration<double>(Time::now() - start).count();
}

// A record as a chat call leaves it.
Record call_record() {
  Record record;
  record.phase = Phase::result;
  record.outcome = Outcome::success;
  record.request_id = "req_0123456789abcdef0123456789abcdef";
  record.intent_sequence = 123456;
  record.tenant = "radiology";
  record.operator_id = "radiology";
  record.key_id = "key_0123456789abcdef01234567";
  record.role = "user";
  record.authentication = "api_key";
  record.ip_address = "10.20.30.40";
  record.action = "chat.completions";
  record.resource = "smollm2-135m-instruct";
  record.route = "local";
  record.data_class = "internal";
  record.model = "smollm2-135m-instruct";
  record.tokens_in = 512;
  record.tokens_out = 128;
  record.duration_ms = 900;
  record.status = 200;
  return record;
}

// The opponent: a queue, one thread, one transaction for all that waits.
class SqliteLog {
 public:
  explicit SqliteLog(const std::string& path) {
    ok_ = sqlite3_open(path.c_str(), &database_) == SQLITE_OK && run("PRAGMA journal_mode=WAL") &&
          run("PRAGMA synchronous=FULL") &&
          run("CREATE TABLE log(sequence INTEGER PRIMARY KEY, body BLOB)") &&
          sqlite3_prepare_v2(database_, "INSERT INTO log(body) VALUES(?)", -1, &insert_, nullptr) ==
              SQLITE_OK;
    thread_ = std::thread([this] { commit_loop(); });
  }
  ~SqliteLog() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    queued_.notify_one();
    thread_.join();
    sqlite3_finalize(insert_);
    sqlite3_close(database_);
  }
  SqliteLog(const SqliteLog&) = delete;
  SqliteLog& operator=(const SqliteLog&) = delete;

  bool append_and_wait(const Record& record) {
    std::string body = encode_record(record);
    std::uint64_t ticket = 0;
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(body));
      ticket = ++tickets_;
    }
    queued_.notify_one();
    for (;;) {
      const std::uint32_t seen = commits_.load();
      if (durable_.load() >= ticket) {
        return ok_;
      }
      commits_.wait(seen);
    }
  }

 private:
  bool run(const char* sql) {
    return sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
  }

  void commit_loop() {
    std::vector<std::string> batch;
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        queued_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) {
          return;
        }
        batch.swap(queue_);
      }
      bool good = run("BEGIN IMMEDIATE");
      for (const std::string& body : batch) {
        sqlite3_bind_blob(insert_, 1, body.data(), static_cast<int>(body.size()), SQLITE_STATIC);
        good = good && sqlite3_step(insert_) == SQLITE_DONE;
        sqlite3_reset(insert_);
      }
      ok_ = run("COMMIT") && good && ok_;
      durable_ += batch.size();
      ++commits_;
      commits_.notify_all();
      batch.clear();
    }
  }

  sqlite3* database_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  std::atomic<bool> ok_ = true;
  std::mutex mutex_;
  std::condition_variable queued_;
  std::vector<std::string> queue_;
  std::uint64_t tickets_ = 0;
  bool stopping_ = false;
  std::atomic<std::uint64_t> durable_ = 0;
  std::atomic<std::uint32_t> commits_ = 0;
  std::thread thread_;
};

// Runs `writers` threads for `seconds` and prints rate and latency.
bool measure(std::string_view name, unsigned writers, double seconds,
             const std::function<bool(const Record&)>& append) {
  std::vector<std::vector<float>> waits_ms(writers);
  std::atomic<bool> good = true;
  const Time::time_point start = Time::now();
  std::vector<std::thread> threads;
  for (unsigned w = 0; w < writers; ++w) {
    threads.emplace_back([&, w] {
      const Record record = call_record();
      while (good && seconds_since(start) < seconds) {
        const Time::time_point before = Time::now();
        if (!append(record)) {
          good = false;
        }
        waits_ms[w].push_back(static_cast<float>(seconds_since(before) * 1e3));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const double elapsed = seconds_since(start);
  std::vector<float> all;
  for (const std::vector<float>& waits : waits_ms) {
    all.insert(all.end(), waits.begin(), waits.end());
  }
  std::ranges::sort(all);
  fmt::print("{:<12} {:>7} {:>12.0f} {:>9.3f} {:>9.3f} {:>9.3f}\n", name, writers,
             static_cast<double>(all.size()) / elapsed, all[all.size() / 2],
             all[all.size() * 99 / 100], all.back());
  std::fflush(stdout);
  return good;
}

bool measure_log(const std::filesystem::path& folder, unsigned writers, double seconds) {
  const SystemClock clock;
  auto log = Log::open({.directory = folder}, clock);
  if (!log) {
    fmt::print(stderr, "{}\n", log.error().message);
    return false;
  }
  return measure("audit log", writers, seconds,
                 [&](const Record& record) { return (*log)->append_and_wait(record).has_value(); });
}

bool measure_sqlite(const std::filesystem::path& folder, unsigned writers, double seconds) {
  SqliteLog log((folder / fmt::format("sqlite-{}.db", writers)).string());
  return measure("SQLite WAL", writers, seconds,
                 [&](const Record& record) { return log.append_and_wait(record); });
}

bool measure_verify(const std::filesystem::path& folder) {
  const Time::time_point start = Time::now();
  const auto report = verifier::verify_log(folder);
  const double elapsed = seconds_since(start);
  if (!report || !report->intact()) {
    return false;
  }
  fmt::print("verify: {} records, {:.0f} records/s\n", report->records,
             static_cast<double>(report->records) / elapsed);
  return true;
}

bool run(const std::filesystem::path& folder, double seconds) {
  fmt::print("body: {} bytes\n{:<12} {:>7} {:>12} {:>9} {:>9} {:>9}\n",
             encode_record(call_record()).size(), "", "writers", "records/s", "p50 ms", "p99 ms",
             "max ms");
  for (const unsigned writers : {1U, 8U, 64U}) {
    if (!measure_log(folder / "audit", writers, seconds) ||
        !measure_sqlite(folder, writers, seconds)) {
      return false;
    }
  }
  return measure_verify(folder / "audit");
}

}  // namespace
}  // namespace deepmoat::audit

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "use: audit_bench FOLDER [SECONDS]\n");
    return 64;
  }
  double seconds = 3;
  if (argc > 2) {
    const std::string_view text = argv[2];
    std::from_chars(text.data(), text.data() + text.size(), seconds);
  }
  std::error_code error;
  std::filesystem::create_directories(argv[1], error);
  return !error && deepmoat::audit::run(argv[1], seconds) ? 0 : 1;
}
