#include "load.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

namespace deepmoat::audit {

double seconds_since(Time::time_point start) {
  return std::chrono::duration<double>(Time::now() - start).count();
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + (static_cast<double>(time.tv_usec) * 1e-6);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

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

namespace {

using Waits = std::vector<float>;

// Runs `work` on `threads` threads and sums up the waits that they return, in milliseconds.
std::optional<Figures> measure_threads(unsigned threads,
                                       const std::function<bool(unsigned thread, Waits&)>& work) {
  std::vector<Waits> waits_ms(threads);
  std::atomic<bool> good = true;
  const double cpu_before = cpu_seconds();
  const Time::time_point start = Time::now();
  std::vector<std::thread> running;
  for (unsigned i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      if (!work(i, waits_ms[i])) {
        good = false;
      }
    });
  }
  for (std::thread& thread : running) {
    thread.join();
  }
  const double elapsed = seconds_since(start);
  const double cpu = cpu_seconds() - cpu_before;
  Waits all;
  for (const Waits& waits : waits_ms) {
    all.insert(all.end(), waits.begin(), waits.end());
  }
  if (!good || all.empty()) {
    return std::nullopt;
  }
  std::ranges::sort(all);
  const auto count = static_cast<double>(all.size());
  return Figures{.per_s = count / elapsed,
                 .p50_ms = all[all.size() / 2],
                 .p99_ms = all[all.size() * 99 / 100],
                 .max_ms = all.back(),
                 .cpu_s_per_1000 = cpu / count * 1000};
}

// One thread that has many under way.
class Loop {
 public:
  Loop(std::size_t slots, const Begin& begin) : begin_(begin), began_(slots) {}

  bool run(double seconds, Waits& waits_ms) {
    const Time::time_point start = Time::now();
    for (std::size_t slot = 0; slot < began_.size(); ++slot) {
      start_one(slot);
    }
    std::vector<std::size_t> done;
    for (std::size_t open = began_.size(); open > 0;) {
      take(done);
      for (const std::size_t slot : done) {
        waits_ms.push_back(static_cast<float>(seconds_since(began_[slot]) * 1e3));
        if (good_ && seconds_since(start) < seconds) {
          start_one(slot);
        } else {
          --open;
        }
      }
    }
    return good_;
  }

 private:
  void start_one(std::size_t slot) {
    began_[slot] = Time::now();
    begin_([this, slot](bool good) {
      bool first = false;
      {
        const std::lock_guard lock(mutex_);
        good_ = good_ && good;
        first = done_.empty();
        done_.push_back(slot);
      }
      if (first) {
        changed_.notify_one();
      }
    });
  }

  void take(std::vector<std::size_t>& done) {
    done.clear();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !done_.empty(); });
    done.swap(done_);
  }

  const Begin& begin_;
  std::vector<Time::time_point> began_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::size_t> done_;
  std::atomic<bool> good_ = true;
};

}  // namespace

std::optional<Figures> run_load(const Load& load, const std::function<Act()>& make_act) {
  return measure_threads(load.threads, [&](unsigned /*thread*/, Waits& waits_ms) {
    const Act act = make_act();
    const Time::time_point start = Time::now();
    bool good = true;
    while (good && seconds_since(start) < load.seconds) {
      const Time::time_point before = Time::now();
      good = act();
      waits_ms.push_back(static_cast<float>(seconds_since(before) * 1e3));
      if (load.pause_ms > 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(load.pause_ms));
      }
    }
    return good;
  });
}

std::optional<Figures> run_loops(const Load& load, unsigned loops, const Begin& begin) {
  return measure_threads(loops, [&](unsigned thread, Waits& waits_ms) {
    Loop loop((load.threads + loops - 1 - thread) / loops, begin);
    return loop.run(load.seconds, waits_ms);
  });
}

Figures median(std::span<const Figures> rounds) {
  const auto middle = [&](double Figures::* field) {
    std::vector<double> values;
    for (const Figures& one : rounds) {
      values.push_back(one.*field);
    }
    std::ranges::sort(values);
    return values[values.size() / 2];
  };
  return {.per_s = middle(&Figures::per_s),
          .p50_ms = middle(&Figures::p50_ms),
          .p99_ms = middle(&Figures::p99_ms),
          .max_ms = middle(&Figures::max_ms),
          .cpu_s_per_1000 = middle(&Figures::cpu_s_per_1000)};
}

void print_header(std::string_view threads, std::string_view rate) {
  fmt::print("{:<20} {:>11} {:>10} {:>9} {:>9} {:>9} {:>12}\n", "", threads, rate, "p50 ms",
             "p99 ms", "max ms", "CPU s/1,000");
}

void print_row(std::string_view name, unsigned threads, const Figures& figures) {
  fmt::print("{:<20} {:>11} {:>10.0f} {:>9.3f} {:>9.3f} {:>9.3f} {:>12.5f}\n", name, threads,
             figures.per_s, figures.p50_ms, figures.p99_ms, figures.max_ms, figures.cpu_s_per_1000);
  std::fflush(stdout);
}

}  // namespace deepmoat::audit
