#include "worker/service.h"

#include <algorithm>
#include <utility>

namespace deepmoat::worker {

namespace {

constexpr std::uint32_t kIdleWaitMs = 1000;
constexpr std::uint32_t kUnsentWaitMs = 5;  // the gateway has not read all yet
constexpr MonoNanos kStatsEveryNs = 1'000'000'000;
constexpr std::uint32_t kStepTokensMin = 64;  // the kernels' tiles want as many rows
constexpr double kSmoothing = 0.2;

}  // namespace

Service::Service(engine::Model& model, const scheduler::Config& config, std::uint32_t step_ms,
                 const Clock& clock, Inbox& inbox, Outbox& outbox)
    : model_(model),
      state_(config),
      step_ms_(step_ms),
      clock_(clock),
      inbox_(inbox),
      outbox_(outbox) {}

Result<> Service::run() {
  for (;;) {
    scheduler::Inputs inputs = look();
    const scheduler::Plan plan = scheduler::step(state_, inputs);
    tell(plan);
    CHECK_OK(compute(plan));
    send_stats(false);
    CHECK_OK(outbox_.flush());
    if (draining_ && calls_.empty()) {
      send_stats(true);
      outbox_.flush_and_wait();
      return {};
    }
  }
}

scheduler::Inputs Service::look() {
  const bool idle = calls_.empty() && sampled_.empty();
  std::uint32_t wait_ms = 0;
  if (idle) {
    if (!std::exchange(idle_told_, true)) {
      send_stats(true);
      (void)outbox_.flush();
    }
    wait_ms = outbox_.empty() ? kIdleWaitMs : kUnsentWaitMs;
  }
  Inbound inbound = inbox_.take(wait_ms);
  scheduler::Inputs inputs;
  draining_ = draining_ || inbound.drain;
  inputs.draining = draining_;
  inputs.sampled = std::exchange(sampled_, {});
  for (const wire::Refused& refused : inbound.refused) {
    wire::FromWorker frame;
    *frame.mutable_refused() = refused;
    outbox_.put(frame);
  }
  for (PreparedCall& prepared : inbound.calls) {
    const auto cancel = std::ranges::find(inbound.cancels, prepared.request.call_id());
    if (cancel == inbound.cancels.end()) {
      admit(std::move(prepared), inputs);
      continue;
    }
    wire::FromWorker frame;  // it came and went between two steps
    frame.mutable_finished()->set_call_id(prepared.request.call_id());
    frame.mutable_finished()->set_cancelled(true);
    outbox_.put(frame);
  }
  inputs.cancels = std::move(inbound.cancels);
  inputs.step_tokens = budget();
  return inputs;
}

void Service::admit(PreparedCall prepared, scheduler::Inputs& inputs) {
  const std::uint64_t id = prepared.request.call_id();
  Result<Call> call = make_call(model_, prepared);
  if (!call || calls_.contains(id)) {
    wire::FromWorker frame;
    wire::Refused& refused = *frame.mutable_refused();
    refused.set_call_id(id);
    refused.set_kind(call ? wire::Refused::INTERNAL : wire::Refused::INVALID);
    refused.set_message(call ? "the call's id is in use" : call.error().message);
    refused.set_param(refused.message().substr(0, refused.message().find(':')));
    outbox_.put(frame);
    return;
  }
  inputs.arrivals.push_back({.call = id,
                             .salt = prepared.request.tenant_salt(),
                             .prompt = std::move(prepared.prompt.tokens),
                             .max_tokens = prepared.request.max_tokens(),
                             .choices = static_cast<std::uint32_t>(call->choices.size())});
  calls_.emplace(id, *std::move(call));
  idle_told_ = false;
}

void Service::tell(const scheduler::Plan& plan) {
  for (const scheduler::Refusal& refusal : plan.refused) {
    wire::FromWorker frame;
    *frame.mutable_refused() = to_frame(refusal, state_.config.queue_max);
    outbox_.put(frame);
    calls_.erase(refusal.call);
  }
  for (const std::uint64_t id : plan.cancelled) {
    finish(id, true);
  }
  for (const std::uint64_t id : plan.finished) {
    finish(id, false);
  }
  for (const scheduler::Admission& admission : plan.admitted) {
    Call& call = calls_.at(admission.call);
    call.usage.set_cached_tokens(admission.cached_tokens);
    call.usage.set_queue_us(
        static_cast<std::uint64_t>((clock_.mono_ns() - call.arrived_ns) / 1000));
    prompt_cached_ += admission.cached_tokens;
  }
}

void Service::finish(std::uint64_t id, bool cancelled) {
  const auto call = calls_.find(id);
  std::uint32_t tokens = 0;
  std::uint32_t reasoning = 0;
  for (const Choice& choice : call->second.choices) {
    tokens += choice.answer.tokens();
    reasoning += choice.answer.reasoning_tokens();
  }
  call->second.usage.set_completion_tokens(tokens);
  call->second.usage.set_reasoning_tokens(reasoning);
  wire::FromWorker frame;
  wire::Finished& finished = *frame.mutable_finished();
  finished.set_call_id(id);
  *finished.mutable_usage() = call->second.usage;
  finished.set_cancelled(cancelled);
  outbox_.put(frame);
  calls_.erase(call);
}

Result<> Service::compute(const scheduler::Plan& plan) {
  for (const scheduler::MemoryOp& op : plan.memory) {
    switch (op.kind) {
      case scheduler::MemoryOp::Kind::copy:
        model_.copy(op.from, op.to, op.tokens);
        break;
      case scheduler::MemoryOp::Kind::cut:
        model_.cut(op.from, op.tokens);
        break;
      case scheduler::MemoryOp::Kind::drop:
        model_.drop(op.from);
        break;
      case scheduler::MemoryOp::Kind::save:
      case scheduler::MemoryOp::Kind::restore:
      case scheduler::MemoryOp::Kind::forget:
        return fail(Code::internal, "saved states are off, and the plan has one");
    }
  }
  if (plan.batch.empty()) {
    return {};
  }
  CHECK_OK(outbox_.flush());  // what is known already must not wait for the batch
  std::vector<engine::Rows> batch;
  for (const scheduler::Chunk& chunk : plan.batch) {
    batch.push_back({.sequence = chunk.sequence,
                     .position = chunk.position,
                     .tokens = chunk.tokens,
                     .logits = chunk.samples > 0});
  }
  const MonoNanos start_ns = clock_.mono_ns();
  CHECK_OK(model_.decode(batch));
  for (std::size_t i = 0; i < plan.batch.size(); ++i) {
    const scheduler::Chunk& chunk = plan.batch[i];
    prompt_computed_ += chunk.decode ? 0 : chunk.tokens.size();
    for (std::uint32_t k = 0; k < chunk.samples; ++k) {
      Call& call = calls_.at(chunk.call);
      sampled_.push_back(draw(call, chunk.call, chunk.choice + k, model_.logits(i), outbox_));
      ++generated_;
      if (call.usage.first_token_us() == 0) {
        call.usage.set_first_token_us(
            static_cast<std::uint64_t>((clock_.mono_ns() - call.arrived_ns) / 1000));
      }
    }
  }
  note_speed(plan, clock_.mono_ns() - start_ns);
  return {};
}

// As many rows as this machine computes in step_ms_, while an answer runs that they would hold up.
std::uint32_t Service::budget() const {
  const bool answering = std::ranges::any_of(state_.running, [](const scheduler::Branch& branch) {
    return branch.tokens.size() > branch.prompt_tokens;
  });
  if (!answering || step_ms_ == 0 || rows_per_ms_ <= 0) {
    return 0;
  }
  const auto rows = static_cast<std::uint32_t>(std::min(rows_per_ms_ * step_ms_, 65536.0));
  return std::max(rows, kStepTokensMin);
}

void Service::note_speed(const scheduler::Plan& plan, MonoNanos spent_ns) {
  std::size_t rows = 0;
  for (const scheduler::Chunk& chunk : plan.batch) {
    rows += chunk.tokens.size();
  }
  if (rows < kStepTokensMin || spent_ns <= 0) {
    return;
  }
  const double speed = static_cast<double>(rows) * 1e6 / static_cast<double>(spent_ns);
  rows_per_ms_ = rows_per_ms_ <= 0 ? speed : rows_per_ms_ + kSmoothing * (speed - rows_per_ms_);
}

void Service::send_stats(bool now) {
  const MonoNanos time_ns = clock_.mono_ns();
  if (!now && time_ns - stats_ns_ < kStatsEveryNs) {
    return;
  }
  stats_ns_ = time_ns;
  wire::FromWorker frame;
  wire::Stats& stats = *frame.mutable_stats();
  stats.set_running(static_cast<std::uint32_t>(state_.running.size()));
  stats.set_waiting(static_cast<std::uint32_t>(state_.waiting.size()));
  stats.set_cells_used(state_.pool.pinned());
  stats.set_cells_total(state_.pool.total());
  stats.set_prompt_tokens_computed(prompt_computed_);
  stats.set_prompt_tokens_cached(prompt_cached_);
  stats.set_tokens_generated(generated_);
  stats.set_steps(state_.steps);
  outbox_.put(frame);
}

}  // namespace deepmoat::worker
