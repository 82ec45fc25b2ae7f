// The load of the audit benchmarks: threads that each wait for one record, or one call, before they
// send the next, and what they found.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "audit/record.h"

namespace deepmoat::audit {

using Time = std::chrono::steady_clock;

[[nodiscard]] double seconds_since(Time::time_point start);

// CPU time of this process so far, user and system, in seconds.
[[nodiscard]] double cpu_seconds();

// A record as a chat call leaves it.
[[nodiscard]] Record call_record();

struct Figures {
  double per_s = 0;
  double p50_ms = 0;
  double p99_ms = 0;
  double max_ms = 0;
  double cpu_s_per_1000 = 0;  // of the whole process, these threads included
};

struct Load {
  unsigned threads = 1;
  double seconds = 3;
  int pause_ms = 0;  // that a thread rests after each
};

// Does one and waits for it; false when it failed.
using Act = std::function<bool()>;

// `make_act` is called once on each thread. Nothing when one failed.
[[nodiscard]] std::optional<Figures> run_load(const Load& load,
                                              const std::function<Act()>& make_act);

// Begins one and returns; `done` is called from any thread.
using Begin = std::function<void(std::function<void(bool good)> done)>;

// As many at once as `load.threads` says, but shared by `loops` threads that each wait for whatever
// is done first, as an event loop does.
[[nodiscard]] std::optional<Figures> run_loops(const Load& load, unsigned loops,
                                               const Begin& begin);

// Each figure's own median. REQUIRES: not empty.
[[nodiscard]] Figures median(std::span<const Figures> rounds);

// "writers", "records/s" or what else is counted.
void print_header(std::string_view threads, std::string_view rate);
void print_row(std::string_view name, unsigned threads, const Figures& figures);

}  // namespace deepmoat::audit
