#include "worker/service.h"

#include <algorithm>
#include <utility>

namespace deepmoat::worker {

namespace {

constexpr std::uint32_t kIdleWaitMs = 1000;
constexpr std::uint32_t kUnsentWaitMs = 5;   // the gateway has not read all yet
constexpr std::uint32_t kNothingWaitMs = 5;  // calls wait, and nothing could be computed
constexpr MonoNanos kStatsEveryNs = 1'000'000'000;
constexpr MonoNanos kNewcomerNs = 10'000'000'000;  // after one came, others are expected
constexpr std::uint32_t kPromptRowsMin = 32;       // of a step: a prompt must move on
constexpr std::uint32_t kLossesMax = 16;           // then a call is refused
constexpr MonoNanos kNoDraw = 0;
constexpr std::size_t kParallelMin = 2;  // calls whose drawing is worth other threads

bool is_heavy(const wire::InferRequest& request) {
  return request.sampling().temperature() > 0 || request.has_format() ||
         request.sampling().logit_bias_size() > 0 || request.logprobs();
}

std::string param_of(const std::string& message) {
  return message.substr(0, message.find(':'));
}

}  // namespace

Service::Service(engine::Model& model, const scheduler::Config& config,
                 const ServiceOptions& options, const Clock& clock, Inbox& inbox, Outbox& outbox)
    : model_(model),
      state_(config),
      options_(options),
      clock_(clock),
      inbox_(inbox),
      outbox_(outbox),
      draw_pool_(options.draw_threads),
      adapters_(model.facts().adapters) {}

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
  std::uint32_t wait_ms = did_nothing_ ? kNothingWaitMs : 0;
  if (idle) {
    if (!std::exchange(idle_told_, true)) {
      send_stats(true);
      (void)outbox_.flush();
    }
    wait_ms = outbox_.empty() ? kIdleWaitMs : kUnsentWaitMs;
  }
  Inbound inbound = inbox_.take(wait_ms);
  scheduler::Inputs inputs;
  inputs.now_ms = static_cast<std::uint64_t>(clock_.mono_ns() / 1'000'000);
  draining_ = draining_ || inbound.drain;
  inputs.draining = draining_;
  inputs.sampled = std::exchange(sampled_, {});
  inputs.saved = std::exchange(saved_, {});
  inputs.lost = std::exchange(lost_, {});
  for (const wire::Refused& refused : inbound.refused) {
    wire::FromWorker frame;
    *frame.mutable_refused() = refused;
    outbox_.put(frame);
    ++tally_.refused;
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
    ++tally_.cancelled;
  }
  inputs.cancels = std::move(inbound.cancels);
  inputs.cancels.insert(inputs.cancels.end(), broken_.begin(), broken_.end());
  broken_.clear();
  set_budget(inputs);
  return inputs;
}

void Service::refuse(std::uint64_t call_id, wire::Refused::Kind kind, const Error& error) {
  wire::FromWorker frame;
  wire::Refused& refused = *frame.mutable_refused();
  refused.set_call_id(call_id);
  refused.set_kind(kind);
  refused.set_message(error.message);
  refused.set_param(param_of(error.message));
  outbox_.put(frame);
  ++tally_.refused;
}

void Service::admit(PreparedCall prepared, scheduler::Inputs& inputs) {
  const wire::InferRequest& request = prepared.request;
  const std::uint64_t id = request.call_id();
  if (request.has_embed() || request.has_rerank()) {
    const char* task = request.has_embed() ? "embed" : "rerank";
    refuse(id, wire::Refused::UNSUPPORTED,
           {Code::invalid_argument, std::string("model: it generates text; for this call the "
                                                "administrator must configure a model with task = "
                                                "\"") +
                                        task + "\""});
    return;
  }
  if (calls_.contains(id)) {
    refuse(id, wire::Refused::INTERNAL, {Code::internal, "the call's id is in use"});
    return;
  }
  if (request.count_only()) {
    count(prepared);
    return;
  }
  const Result<scheduler::AdapterId> adapter =
      adapters_.id_of(request.adapter(), request.adapter_scale());
  if (!adapter) {
    refuse(id, wire::Refused::INVALID, adapter.error());
    return;
  }
  Result<Call> call = make_call(model_, prepared);
  if (!call) {
    refuse(id, wire::Refused::INVALID, call.error());
    return;
  }
  const scheduler::Tenant* tenant = state_.tenants.find(request.tenant());
  const auto just_came = [&] {
    return std::ranges::any_of(inputs.arrivals, [&](const scheduler::NewCall& other) {
      return other.tenant == request.tenant();
    });
  };
  if (!calls_.empty() && (tenant == nullptr || tenant->calls == 0) && !just_came()) {
    newcomer_ns_ = prepared.arrived_ns;
  }
  scheduler::NewCall fresh{.call = id, .tenant = request.tenant()};
  fresh.weight = request.weight() > 0 ? request.weight() : 1;
  fresh.priority = request.priority();
  fresh.tenant_queue_max = request.tenant_queue_max();
  fresh.deadline_ms =
      request.wait_ms_max() == 0
          ? 0
          : static_cast<std::uint64_t>(prepared.arrived_ns / 1'000'000) + request.wait_ms_max();
  fresh.salt = request.tenant_salt();
  fresh.public_tokens = prepared.public_tokens;
  fresh.adapter = *adapter;
  fresh.max_tokens = request.max_tokens();
  fresh.choices = static_cast<std::uint32_t>(call->choices.size());
  fresh.marks = std::move(prepared.prompt.marks);
  fresh.prompt = std::move(prepared.prompt.tokens);
  inputs.arrivals.push_back(std::move(fresh));
  tracks_[id] = {.heavy = is_heavy(request),
                 .last_draw_ns = std::vector<MonoNanos>(call->choices.size())};
  calls_.emplace(id, *std::move(call));
  idle_told_ = false;
}

void Service::count(const PreparedCall& prepared) {
  wire::FromWorker frame;
  wire::Finished& finished = *frame.mutable_finished();
  finished.set_call_id(prepared.request.call_id());
  finished.mutable_usage()->set_prompt_tokens(
      static_cast<std::uint32_t>(prepared.prompt.tokens.size()));
  outbox_.put(frame);
}

void Service::tell(const scheduler::Plan& plan) {
  for (const scheduler::Refusal& refusal : plan.refused) {
    wire::FromWorker frame;
    *frame.mutable_refused() = to_frame(refusal);
    outbox_.put(frame);
    calls_.erase(refusal.call);
    tracks_.erase(refusal.call);
    ++tally_.refused;
  }
  for (const std::uint64_t id : plan.cancelled) {
    finish(id, true);
  }
  for (const std::uint64_t id : plan.finished) {
    finish(id, false);
  }
  for (const scheduler::Admission& admission : plan.admitted) {
    Call& call = calls_.at(admission.call);
    const MonoNanos waited_ns = clock_.mono_ns() - call.arrived_ns;
    call.usage.set_cached_tokens(admission.cached_tokens);
    call.usage.set_queue_us(static_cast<std::uint64_t>(waited_ns / 1000));
    tally_.queue_time.add(waited_ns);
    tally_.prompt_cached += admission.cached_tokens;
  }
}

void Service::finish(std::uint64_t id, bool cancelled) {
  const auto call = calls_.find(id);
  if (call == calls_.end()) {
    return;  // refused on the way: its last frame is out
  }
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
  tracks_.erase(id);
  tally_.cancelled += cancelled ? 1 : 0;
}

Result<> Service::compute(const scheduler::Plan& plan) {
  carry_out(plan.memory);
  did_nothing_ = plan.batch.empty() && plan.memory.empty();
  if (plan.batch.empty()) {
    return {};
  }
  CHECK_OK(outbox_.flush());  // what is known already must not wait for the batch
  const AdapterTable::Use use = adapters_.use_of(plan.adapter);
  CHECK_OK(model_.use_adapter(use.index, use.scale));
  const MonoNanos start_ns = clock_.mono_ns();
  TRY(const std::vector<const scheduler::Chunk*> computed, decode(plan));
  draw_all(computed);
  std::uint32_t answer_rows = 0;
  std::uint32_t prompt_rows = 0;
  for (const scheduler::Chunk* chunk : computed) {
    (chunk->decode ? answer_rows : prompt_rows) += static_cast<std::uint32_t>(chunk->tokens.size());
  }
  tally_.prompt_computed += prompt_rows;
  cost_.add(answer_rows, prompt_rows,
            static_cast<double>(clock_.mono_ns() - start_ns) / 1'000'000.0);
  return {};
}

void Service::carry_out(std::span<const scheduler::MemoryOp> memory) {
  using Kind = scheduler::MemoryOp::Kind;
  engine::SequenceMemory& sequences = model_.memory();
  std::map<scheduler::SequenceId, std::uint32_t> given;  // what they must hold now
  for (const scheduler::MemoryOp& op : memory) {
    switch (op.kind) {
      case Kind::copy:
        sequences.copy(op.from, op.to, op.tokens);
        given[op.to] = op.tokens;
        break;
      case Kind::cut:
        sequences.cut(op.from, op.tokens);
        given[op.from] = op.tokens;
        break;
      case Kind::drop:
        sequences.drop(op.from);
        given.erase(op.from);
        break;
      case Kind::save:
        saved_.push_back({.slot = op.slot, .bytes = sequences.save(op.slot, op.from, op.partial)});
        break;
      case Kind::restore:
        sequences.restore(op.slot, op.to);
        given[op.to] = op.tokens;
        break;
      case Kind::forget:
        sequences.forget(op.slot);
        break;
    }
  }
  for (const auto& [sequence, tokens] : given) {
    if (!sequences.holds(sequence, tokens)) {
      lost_.push_back(sequence);
    }
  }
}

Result<std::vector<const scheduler::Chunk*>> Service::decode(const scheduler::Plan& plan) {
  std::vector<const scheduler::Chunk*> chunks;
  for (const scheduler::Chunk& chunk : plan.batch) {
    if (std::ranges::find(lost_, chunk.sequence) == lost_.end()) {
      chunks.push_back(&chunk);
    }
  }
  std::vector<engine::Rows> batch;
  while (!chunks.empty()) {
    batch.clear();
    for (const scheduler::Chunk* chunk : chunks) {
      batch.push_back({.sequence = chunk->sequence,
                       .position = chunk->position,
                       .tokens = chunk->tokens,
                       .logits = chunk->samples > 0});
    }
    const Result<> done = model_.decode(batch);
    if (done) {
      break;
    }
    if (done.error().code != Code::resource_exhausted) {
      return std::unexpected(done.error());
    }
    // One call gives way and starts over; the one with the most rows, the last of these.
    const auto victim = std::max_element(chunks.begin(), chunks.end(),
                                         [](const scheduler::Chunk* a, const scheduler::Chunk* b) {
                                           return a->tokens.size() <= b->tokens.size();
                                         });
    lose(**victim);
    chunks.erase(victim);
  }
  return chunks;
}

void Service::lose(const scheduler::Chunk& chunk) {
  model_.memory().drop(chunk.sequence);
  lost_.push_back(chunk.sequence);
  const auto track = tracks_.find(chunk.call);
  if (track == tracks_.end() || ++track->second.losses < kLossesMax) {
    return;
  }
  refuse(chunk.call, wire::Refused::INTERNAL,
         {Code::resource_exhausted, "the model's memory has no room for this call"});
  broken_.push_back(chunk.call);
  calls_.erase(chunk.call);
  tracks_.erase(track);
}

// Greedy drawing is one pass and stays here; what takes longer is shared out by call, because the
// choices of one call may share what they draw from.
void Service::draw_all(const std::vector<const scheduler::Chunk*>& computed) {
  struct Work {
    std::vector<std::size_t> chunks;
    Outbox out{-1};
    std::vector<scheduler::Sampled> drawn;
    bool heavy = false;
  };
  std::map<std::uint64_t, Work> works;
  std::vector<std::span<const float>> logits(computed.size());
  for (std::size_t i = 0; i < computed.size(); ++i) {
    if (computed[i]->samples > 0) {
      logits[i] = model_.logits(i);
      Work& work = works[computed[i]->call];
      work.chunks.push_back(i);
      work.heavy = tracks_.at(computed[i]->call).heavy;
    }
  }
  const auto draw_one = [&](std::uint64_t id, Work& work) {
    Call& call = calls_.at(id);
    for (const std::size_t i : work.chunks) {
      for (std::uint32_t k = 0; k < computed[i]->samples; ++k) {
        work.drawn.push_back(draw(call, id, computed[i]->choice + k, logits[i], work.out));
      }
    }
  };
  std::vector<std::pair<std::uint64_t, Work*>> heavy;
  for (auto& [id, work] : works) {
    if (work.heavy) {
      heavy.emplace_back(id, &work);
    } else {
      draw_one(id, work);
    }
  }
  if (heavy.size() >= kParallelMin) {
    draw_pool_.run(heavy.size(),
                   [&](std::size_t i) { draw_one(heavy[i].first, *heavy[i].second); });
  } else if (!heavy.empty()) {
    draw_one(heavy[0].first, *heavy[0].second);
  }
  const MonoNanos now_ns = clock_.mono_ns();
  for (auto& [id, work] : works) {
    outbox_.append(std::move(work.out));
    for (const scheduler::Sampled& drawn : work.drawn) {
      note_draw(drawn, now_ns);
      sampled_.push_back(drawn);
    }
  }
}

void Service::note_draw(const scheduler::Sampled& drawn, MonoNanos now_ns) {
  Call& call = calls_.at(drawn.call);
  ++tally_.generated;
  MonoNanos& last_ns = tracks_.at(drawn.call).last_draw_ns[drawn.choice];
  if (last_ns != kNoDraw) {
    tally_.inter_token.add(now_ns - last_ns);
  }
  last_ns = drawn.last ? kNoDraw : now_ns;
  if (call.usage.first_token_us() == 0) {
    call.usage.set_first_token_us(static_cast<std::uint64_t>((now_ns - call.arrived_ns) / 1000));
    tally_.first_token.add(now_ns - call.arrived_ns);
  }
  if (drawn.last) {
    ++(call.choices[drawn.choice].reason == wire::FINISH_LENGTH ? tally_.cut : tally_.stopped);
  }
}

// While tenants come that had nothing running, steps are shorter: who comes next waits for a third
// as long until the running one ends.
std::uint32_t Service::step_ms() const {
  const bool newcomers = newcomer_ns_ != 0 && clock_.mono_ns() - newcomer_ns_ < kNewcomerNs;
  return newcomers ? std::max(options_.step_ms / 3, 1U) : options_.step_ms;
}

// As many rows as this machine computes in step_ms, while an answer runs that they would hold up.
void Service::set_budget(scheduler::Inputs& inputs) const {
  std::uint32_t answering = 0;
  for (const auto& [id, track] : tracks_) {
    answering += static_cast<std::uint32_t>(std::ranges::count_if(
        track.last_draw_ns, [](MonoNanos last_ns) { return last_ns != kNoDraw; }));
  }
  if (answering == 0 || options_.step_ms == 0 || !cost_.known()) {
    return;
  }
  const std::uint32_t prompt_rows = cost_.prompt_rows_within(step_ms(), answering);
  inputs.step_tokens = answering + std::max(prompt_rows, kPromptRowsMin);
  inputs.solo_tokens = std::max(cost_.prompt_rows_within(options_.step_ms, 0), kPromptRowsMin);
}

void Service::send_stats(bool now) {
  const MonoNanos time_ns = clock_.mono_ns();
  if (!now && time_ns - stats_ns_ < kStatsEveryNs) {
    return;
  }
  stats_ns_ = time_ns;
  wire::FromWorker frame;
  wire::Stats& stats = *frame.mutable_stats();
  tally_.write(stats);
  stats.set_running(state_.running_sequences());
  stats.set_waiting(state_.queued);
  stats.set_cells_used(state_.pinned_cells());
  stats.set_cells_total(state_.pool.total());
  stats.set_cells_cached(state_.cached_cells());
  stats.set_steps(state_.steps);
  const scheduler::Counters& counters = state_.counters;
  stats.set_preemptions(counters.preemptions);
  stats.set_spills(counters.spills);
  stats.set_restores(counters.restores);
  stats.set_prefix_queries(counters.prefix_queries);
  stats.set_prefix_hits(counters.prefix_hits);
  stats.set_spilled_bytes(model_.memory().saved_bytes());
  outbox_.put(frame);
}

}  // namespace deepmoat::worker
