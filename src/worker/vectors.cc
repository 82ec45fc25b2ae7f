#include "worker/vectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace deepmoat::worker {

namespace {

constexpr std::uint32_t kIdleWaitMs = 1000;
constexpr std::uint32_t kUnsentWaitMs = 5;
constexpr MonoNanos kStatsEveryNs = 1'000'000'000;
constexpr std::uint32_t kRetryAfterSeconds = 2;

}  // namespace

VectorService::VectorService(engine::Model& model, std::uint32_t queue_max, const Clock& clock,
                             Inbox& inbox, Outbox& outbox)
    : model_(model),
      embedder_(model),
      queue_max_(queue_max),
      clock_(clock),
      inbox_(inbox),
      outbox_(outbox) {}

Result<> VectorService::run() {
  for (;;) {
    CHECK_OK(look());
    end_overdue();
    const std::vector<Item> items = choose();
    if (!items.empty()) {
      CHECK_OK(compute(items));
      ++steps_;
    }
    send_stats(false);
    CHECK_OK(outbox_.flush());
    if (draining_ && jobs_.empty()) {
      send_stats(true);
      outbox_.flush_and_wait();
      return {};
    }
  }
}

Result<> VectorService::look() {
  std::uint32_t wait_ms = 0;
  if (jobs_.empty()) {
    if (!std::exchange(idle_told_, true)) {
      send_stats(true);
      CHECK_OK(outbox_.flush());
    }
    wait_ms = outbox_.empty() ? kIdleWaitMs : kUnsentWaitMs;
  }
  Inbound inbound = inbox_.take(wait_ms);
  draining_ = draining_ || inbound.drain;
  for (const wire::Refused& refused : inbound.refused) {
    wire::FromWorker frame;
    *frame.mutable_refused() = refused;
    outbox_.put(frame);
    ++tally_.refused;
  }
  for (PreparedCall& prepared : inbound.calls) {
    take(std::move(prepared));
  }
  for (const std::uint64_t call : inbound.cancels) {
    cancel(call);
  }
  return {};
}

void VectorService::refuse(std::uint64_t call, wire::Refused::Kind kind,
                           const std::string& message) {
  wire::FromWorker frame;
  wire::Refused& refused = *frame.mutable_refused();
  refused.set_call_id(call);
  refused.set_kind(kind);
  refused.set_message(message);
  refused.set_param(message.substr(0, message.find_first_of(":[")));
  if (kind == wire::Refused::QUEUE_FULL || kind == wire::Refused::DEADLINE ||
      kind == wire::Refused::DRAINING) {
    refused.set_param("");
    refused.set_retry_after_s(kRetryAfterSeconds);
  }
  outbox_.put(frame);
  ++tally_.refused;
}

void VectorService::take(PreparedCall prepared) {
  const wire::InferRequest& request = prepared.request;
  const std::uint64_t id = request.call_id();
  const bool ranks = model_.facts().task == engine::Task::rerank;
  if (ranks ? !request.has_rerank() : !request.has_embed()) {
    refuse(id, wire::Refused::UNSUPPORTED,
           fmt::format("model: it makes {}; for this call the administrator must configure a model "
                       "with task = \"{}\"",
                       ranks ? "scores of documents" : "embeddings",
                       request.has_rerank()  ? "rerank"
                       : request.has_embed() ? "embed"
                                             : "generate"));
    return;
  }
  if (draining_) {
    refuse(id, wire::Refused::DRAINING, "this worker is about to stop");
    return;
  }
  if (waiting() >= queue_max_) {
    refuse(id, wire::Refused::QUEUE_FULL,
           fmt::format("{} calls wait for this model already", queue_max_));
    return;
  }
  Job job{.call = id, .ranks = ranks, .arrived_ns = prepared.arrived_ns};
  Result<std::vector<std::vector<engine::Token>>> inputs = tokenise(request);
  if (!inputs) {
    refuse(id,
           inputs.error().code == Code::resource_exhausted ? wire::Refused::CONTEXT_EXCEEDED
                                                           : wire::Refused::INVALID,
           inputs.error().message);
    return;
  }
  job.inputs = *std::move(inputs);
  for (const std::vector<engine::Token>& input : job.inputs) {
    job.prompt_tokens += static_cast<std::uint32_t>(input.size());
  }
  job.dimensions = request.embed().dimensions();
  if (job.dimensions > model_.facts().embedding_width) {
    refuse(id, wire::Refused::INVALID,
           fmt::format("dimensions: this model's vectors have {}, which is the most",
                       model_.facts().embedding_width));
    return;
  }
  if (request.wait_ms_max() > 0) {
    job.deadline_ns =
        prepared.arrived_ns + static_cast<MonoNanos>(request.wait_ms_max()) * 1'000'000;
  }
  jobs_[request.tenant()].push_back(std::move(job));
  idle_told_ = false;
}

Result<std::vector<std::vector<engine::Token>>> VectorService::tokenise(
    const wire::InferRequest& request) const {
  std::vector<std::vector<engine::Token>> inputs;
  for (const wire::EmbedInput& input : request.embed().inputs()) {
    if (!input.has_tokens()) {
      TRY(std::vector<engine::Token> tokens, embedder_.tokens_of(input.text()));
      inputs.push_back(std::move(tokens));
      continue;
    }
    inputs.emplace_back(input.tokens().ids().begin(), input.tokens().ids().end());
    for (const engine::Token token : inputs.back()) {
      if (token < 0 || token >= static_cast<engine::Token>(model_.facts().vocabulary)) {
        return fail(Code::invalid_argument, fmt::format("input[{}]: {} is no token of this model",
                                                        inputs.size() - 1, token));
      }
    }
  }
  for (const std::string& document : request.rerank().documents()) {
    TRY(std::vector<engine::Token> tokens,
        embedder_.tokens_of_pair(request.rerank().query(), document));
    inputs.push_back(std::move(tokens));
  }
  const char* name = request.has_rerank() ? "documents" : "input";
  if (inputs.empty()) {
    return fail(Code::invalid_argument, fmt::format("{}: there is none", name));
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].empty()) {
      return fail(Code::invalid_argument, fmt::format("{}[{}]: it is empty", name, i));
    }
    const std::uint32_t most = std::min(embedder_.batch_tokens(), model_.facts().context_tokens);
    if (inputs[i].size() > most) {
      return fail(Code::resource_exhausted,
                  fmt::format("{}[{}]: it has {} tokens, and this model takes {} at most", name, i,
                              inputs[i].size(), most));
    }
  }
  return inputs;
}

void VectorService::cancel(std::uint64_t call) {
  for (auto tenant = jobs_.begin(); tenant != jobs_.end(); ++tenant) {
    const auto job = std::ranges::find(tenant->second, call, &Job::call);
    if (job != tenant->second.end()) {
      finish(*job, true);
      tenant->second.erase(job);
      if (tenant->second.empty()) {
        jobs_.erase(tenant);
      }
      return;
    }
  }
}

void VectorService::end_overdue() {
  const MonoNanos now_ns = clock_.mono_ns();
  for (auto tenant = jobs_.begin(); tenant != jobs_.end();) {
    std::erase_if(tenant->second, [&](const Job& job) {
      const bool overdue = job.deadline_ns != 0 && job.next == 0 && now_ns > job.deadline_ns;
      if (overdue) {
        refuse(job.call, wire::Refused::DEADLINE, "the call waited longer than it may");
      }
      return overdue;
    });
    tenant = tenant->second.empty() ? jobs_.erase(tenant) : std::next(tenant);
  }
}

std::vector<VectorService::Item> VectorService::choose() {
  std::vector<Item> items;
  std::uint32_t room = embedder_.batch_tokens();
  std::map<std::string, std::size_t> taken;  // inputs of each tenant's first call in this batch
  bool found = !jobs_.empty();
  while (found && items.size() < embedder_.batch_inputs()) {
    found = false;
    auto tenant = jobs_.upper_bound(last_tenant_);
    for (std::size_t i = 0; i < jobs_.size() && !found; ++i) {
      tenant = tenant == jobs_.end() ? jobs_.begin() : tenant;
      const Job& job = tenant->second.front();
      const std::size_t input = job.next + taken[tenant->first];
      if (input < job.inputs.size() && job.inputs[input].size() <= room) {
        room -= static_cast<std::uint32_t>(job.inputs[input].size());
        items.push_back({tenant->first, job.call, input});
        ++taken[tenant->first];
        last_tenant_ = tenant->first;
        found = true;
      }
      ++tenant;
    }
  }
  return items;
}

Result<> VectorService::compute(const std::vector<Item>& items) {
  std::vector<std::vector<engine::Token>> inputs;
  std::map<std::string, std::vector<std::size_t>> of_tenant;  // places in the batch, in order
  for (std::size_t i = 0; i < items.size(); ++i) {
    Job& job = jobs_.at(items[i].tenant).front();
    if (job.next == 0 && items[i].input == 0) {
      const MonoNanos waited_ns = clock_.mono_ns() - job.arrived_ns;
      job.queue_us = static_cast<std::uint64_t>(waited_ns / 1000);
      tally_.queue_time.add(waited_ns);
    }
    tally_.prompt_computed += job.inputs[items[i].input].size();
    inputs.push_back(std::move(job.inputs[items[i].input]));
    of_tenant[items[i].tenant].push_back(i);
  }
  TRY(std::vector<std::vector<float>> made, embedder_.compute(inputs));
  for (const auto& [tenant, places] : of_tenant) {
    std::deque<Job>& queue = jobs_.at(tenant);
    Job& job = queue.front();
    std::vector<std::vector<float>> mine;
    for (const std::size_t place : places) {
      mine.push_back(std::move(made[place]));
    }
    const std::size_t first = job.next;
    job.next += mine.size();
    send(job, first, mine);
    if (job.next < job.inputs.size()) {
      continue;
    }
    finish(job, false);
    queue.pop_front();
    if (queue.empty()) {
      jobs_.erase(tenant);
    }
  }
  return {};
}

void VectorService::send(Job& job, std::size_t first, std::span<std::vector<float>> made) {
  if (job.ranks) {
    for (const std::vector<float>& score : made) {
      job.scores.push_back(score.front());
    }
    return;
  }
  wire::FromWorker frame;
  wire::Vectors& vectors = *frame.mutable_vectors();
  vectors.set_call_id(job.call);
  vectors.set_first(static_cast<std::uint32_t>(first));
  for (std::vector<float>& vector : made) {
    if (job.dimensions > 0) {
      engine::shorten(vector, job.dimensions);
    }
    vectors.set_width(static_cast<std::uint32_t>(vector.size()));
    vectors.mutable_values()->Add(vector.begin(), vector.end());
  }
  outbox_.put(frame);
}

void VectorService::finish(const Job& job, bool cancelled) {
  if (job.ranks && !cancelled) {
    wire::FromWorker frame;
    wire::Scores& scores = *frame.mutable_scores();
    scores.set_call_id(job.call);
    scores.mutable_values()->Add(job.scores.begin(), job.scores.end());
    outbox_.put(frame);
  }
  wire::FromWorker frame;
  wire::Finished& finished = *frame.mutable_finished();
  finished.set_call_id(job.call);
  finished.set_cancelled(cancelled);
  wire::Usage& usage = *finished.mutable_usage();
  usage.set_prompt_tokens(job.prompt_tokens);
  usage.set_queue_us(job.queue_us);
  outbox_.put(frame);
  ++(cancelled ? tally_.cancelled : tally_.stopped);
}

std::size_t VectorService::waiting() const {
  std::size_t count = 0;
  for (const auto& [tenant, queue] : jobs_) {
    count += queue.size();
  }
  return count;
}

void VectorService::send_stats(bool now) {
  const MonoNanos time_ns = clock_.mono_ns();
  if (!now && time_ns - stats_ns_ < kStatsEveryNs) {
    return;
  }
  stats_ns_ = time_ns;
  wire::FromWorker frame;
  wire::Stats& stats = *frame.mutable_stats();
  tally_.write(stats);
  const std::size_t all = waiting();
  stats.set_running(static_cast<std::uint32_t>(std::min(all, jobs_.size())));
  stats.set_waiting(static_cast<std::uint32_t>(all - std::min(all, jobs_.size())));
  stats.set_cells_total(embedder_.batch_tokens());
  stats.set_steps(steps_);
  outbox_.put(frame);
}

}  // namespace deepmoat::worker
