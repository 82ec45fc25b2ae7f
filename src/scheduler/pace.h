// How fast work gets done, so that a caller who is refused can be told when to come again.
#pragma once

#include <cstdint>

namespace deepmoat::scheduler {

// Work is counted like service (tenants.h). Not thread-safe.
class Pace {
 public:
  // A step begins; `work` was planned by the one before it. A clock that stands or goes back is
  // left out, and so is time without work.
  void note(std::uint64_t now_ms, double work);
  void note_answer(std::uint32_t tokens);

  // 0 while unknown.
  [[nodiscard]] std::uint64_t ms_for(double work) const;
  // What an answer that may have `max` tokens is likely to have.
  [[nodiscard]] double likely_answer(std::uint32_t max) const;

 private:
  std::uint64_t last_ms_ = 0;
  double work_ = 0;  // of the time below
  double ms_ = 0;    // the last seconds of work
  double answer_tokens_ = 0;
  bool answered_ = false;
};

}  // namespace deepmoat::scheduler
