// The decode loop: look at the inbox, schedule, compute, draw, send. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/model.h"
#include "scheduler/scheduler.h"
#include "worker/adapters.h"
#include "worker/calls.h"
#include "worker/draw_pool.h"
#include "worker/link.h"
#include "worker/step_cost.h"
#include "worker/tally.h"

namespace deepmoat::worker {

struct ServiceOptions {
  std::uint32_t step_ms = 0;       // what a step may take while answers run; 0: no limit
  std::uint32_t draw_threads = 0;  // beside the decode thread
};

class Service {
 public:
  Service(engine::Model& model, const scheduler::Config& config, const ServiceOptions& options,
          const Clock& clock, Inbox& inbox, Outbox& outbox);

  // Returns after a drain, when the last call has ended, or with the reason why it cannot go on.
  [[nodiscard]] Result<> run();

 private:
  // Beside Call, which knows the text: what the loop must remember of it.
  struct Track {
    bool heavy = false;                   // drawing takes long: more than one pass over the logits
    std::uint32_t losses = 0;             // how often its cells were lost
    std::vector<MonoNanos> last_draw_ns;  // a choice; 0: none, or its end
  };

  scheduler::Inputs look();
  void admit(PreparedCall prepared, scheduler::Inputs& inputs);
  void refuse(std::uint64_t call_id, wire::Refused::Kind kind, const Error& error);
  void count(const PreparedCall& prepared);
  void tell(const scheduler::Plan& plan);
  void finish(std::uint64_t call_id, bool cancelled);
  Result<> compute(const scheduler::Plan& plan);
  void carry_out(std::span<const scheduler::MemoryOp> memory);
  // Decodes the chunks whose sequences are sound; returns those that were computed.
  Result<std::vector<const scheduler::Chunk*>> decode(const scheduler::Plan& plan);
  void lose(const scheduler::Chunk& chunk);
  void draw_all(const std::vector<const scheduler::Chunk*>& computed);
  void note_draw(const scheduler::Sampled& drawn, MonoNanos now_ns);
  [[nodiscard]] std::uint32_t step_ms() const;
  void set_budget(scheduler::Inputs& inputs) const;
  void send_stats(bool now);

  engine::Model& model_;
  scheduler::State state_;
  ServiceOptions options_;
  const Clock& clock_;
  Inbox& inbox_;
  Outbox& outbox_;
  DrawPool draw_pool_;
  AdapterTable adapters_;
  std::map<std::uint64_t, Call> calls_;
  std::map<std::uint64_t, Track> tracks_;  // of the same calls
  // For the next step.
  std::vector<scheduler::Sampled> sampled_;
  std::vector<scheduler::Saved> saved_;
  std::vector<scheduler::SequenceId> lost_;
  std::vector<std::uint64_t> broken_;  // calls that were refused on the way
  bool draining_ = false;
  bool idle_told_ = false;
  bool did_nothing_ = false;  // the last step
  StepCost cost_;
  MonoNanos newcomer_ns_ = 0;  // when a tenant last came that had nothing running beside others
  Tally tally_;
  MonoNanos stats_ns_ = 0;
};

}  // namespace deepmoat::worker
