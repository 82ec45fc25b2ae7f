// The decode loop: look at the inbox, schedule, compute, draw, send. One thread.
#pragma once

#include <cstdint>
#include <map>

#include "base/clock.h"
#include "base/result.h"
#include "engine/model.h"
#include "scheduler/scheduler.h"
#include "worker/calls.h"
#include "worker/link.h"
#include "worker/options.h"

namespace deepmoat::worker {

class Service {
 public:
  Service(engine::Model& model, const scheduler::Config& config, std::uint32_t step_ms,
          const Clock& clock, Inbox& inbox, Outbox& outbox);

  // Returns after a drain, when the last call has ended, or with the reason why it cannot go on.
  [[nodiscard]] Result<> run();

 private:
  scheduler::Inputs look();
  void admit(PreparedCall prepared, scheduler::Inputs& inputs);
  void tell(const scheduler::Plan& plan);
  void finish(std::uint64_t call_id, bool cancelled);
  Result<> compute(const scheduler::Plan& plan);
  [[nodiscard]] std::uint32_t budget() const;
  void note_speed(const scheduler::Plan& plan, MonoNanos spent_ns);
  void send_stats(bool now);

  engine::Model& model_;
  scheduler::State state_;
  std::uint32_t step_ms_;
  const Clock& clock_;
  Inbox& inbox_;
  Outbox& outbox_;
  std::map<std::uint64_t, Call> calls_;
  std::vector<scheduler::Sampled> sampled_;
  bool draining_ = false;
  bool idle_told_ = false;
  double rows_per_ms_ = 0;  // of steps with prompts, smoothed
  MonoNanos stats_ns_ = 0;
  std::uint64_t prompt_computed_ = 0;
  std::uint64_t prompt_cached_ = 0;
  std::uint64_t generated_ = 0;
};

}  // namespace deepmoat::worker
