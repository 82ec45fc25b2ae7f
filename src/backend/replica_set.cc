#include "backend/replica_set.h"

#include <algorithm>
#include <utility>

namespace deepmoat::backend {

namespace {

void add(const wire::Histogram& from, wire::Histogram& to) {
  if (to.counts_size() == 0) {
    to = from;
    return;
  }
  if (from.counts_size() != to.counts_size()) {
    return;  // a worker that has said nothing yet
  }
  for (int i = 0; i < from.counts_size(); ++i) {
    to.set_counts(i, to.counts(i) + from.counts(i));
  }
  to.set_sum_s(to.sum_s() + from.sum_s());
}

// In the order of what a caller may hope for.
int rank(Health health) {
  switch (health) {
    case Health::ready:
      return 0;
    case Health::loading:
      return 1;
    case Health::restarting:
      return 2;
    default:
      return 3;
  }
}

}  // namespace

bool is_last(const InferenceEvent& event) {
  return std::holds_alternative<wire::Finished>(event) ||
         std::holds_alternative<wire::Refusal>(event) || std::holds_alternative<Broken>(event);
}

wire::Stats sum_of(const std::vector<BackendStatus>& replicas) {
  wire::Stats sum;
#define ADD(field) sum.set_##field(sum.field() + one.stats.field())
  for (const BackendStatus& one : replicas) {
    ADD(running);
    ADD(waiting);
    ADD(cells_used);
    ADD(cells_total);
    ADD(cells_cached);
    ADD(prompt_tokens_computed);
    ADD(prompt_tokens_cached);
    ADD(tokens_generated);
    ADD(steps);
    ADD(preemptions);
    ADD(spilled_bytes);
    ADD(spills);
    ADD(restores);
    ADD(prefix_queries);
    ADD(prefix_hits);
    ADD(refused);
    ADD(finished_stop);
    ADD(finished_length);
    ADD(finished_cancelled);
    add(one.stats.first_token(), *sum.mutable_first_token());
    add(one.stats.inter_token(), *sum.mutable_inter_token());
    add(one.stats.queue_time(), *sum.mutable_queue_time());
  }
#undef ADD
  return sum;
}

ReplicaSet::ReplicaSet(std::vector<std::unique_ptr<Backend>> replicas, ReplicaChoice choice)
    : choice_(choice) {
  for (std::unique_ptr<Backend>& backend : replicas) {
    replicas_.push_back({std::move(backend), std::make_shared<std::atomic<std::uint64_t>>(0)});
  }
}

CallId ReplicaSet::submit(wire::InferRequest request, EventSink sink) {
  if (request.call_id() == 0) {
    request.set_call_id(next_call_.fetch_add(1));
  }
  const Replica& replica = replicas_[choose(request)];
  ++*replica.running;
  return replica.backend->submit(
      std::move(request),
      [running = replica.running, sink = std::move(sink)](InferenceEvent event) mutable {
        if (is_last(event)) {
          --*running;
        }
        sink(std::move(event));
      });
}

void ReplicaSet::cancel(CallId call) {
  for (const Replica& replica : replicas_) {
    replica.backend->cancel(call);  // those that do not have it ignore it
  }
}

// Those of the best health.
std::vector<std::size_t> ReplicaSet::candidates() const {
  std::vector<std::size_t> best;
  int best_rank = 4;
  for (std::size_t i = 0; i < replicas_.size(); ++i) {
    const int found = rank(replicas_[i].backend->health());
    if (found < best_rank) {
      best.clear();
      best_rank = found;
    }
    if (found == best_rank) {
      best.push_back(i);
    }
  }
  return best;
}

std::size_t ReplicaSet::choose(const wire::InferRequest& request) {
  const std::vector<std::size_t> able = candidates();
  const auto running = [this](std::size_t i) { return replicas_[i].running->load(); };
  const std::vector<std::uint64_t> blocks = prompt_blocks(request);

  const std::lock_guard lock(mutex_);
  std::size_t chosen = able[next_++ % able.size()];
  std::uint64_t most = 0;
  for (const std::size_t i : able) {
    chosen = running(i) < running(chosen) ? i : chosen;
    most = std::max(most, running(i));
  }
  const std::uint64_t least = running(chosen);
  const bool balanced =
      most <= least + choice_.ahead_max ||
      static_cast<double>(most) <= static_cast<double>(least) * choice_.ahead_ratio_max;
  const auto match = balanced ? affinity_.find(blocks) : std::nullopt;
  if (match && std::ranges::find(able, match->replica) != able.end() &&
      static_cast<double>(match->blocks) >=
          choice_.match_min * static_cast<double>(blocks.size())) {
    chosen = match->replica;
  }
  affinity_.note(blocks, chosen);
  return chosen;
}

std::vector<BackendStatus> ReplicaSet::replicas() const {
  std::vector<BackendStatus> list;
  for (const Replica& replica : replicas_) {
    list.push_back(replica.backend->status());
  }
  return list;
}

BackendStatus ReplicaSet::status() const {
  const std::vector<BackendStatus> list = replicas();
  BackendStatus all = *std::ranges::min_element(
      list, {}, [](const BackendStatus& status) { return rank(status.health); });
  all.restarts = 0;
  all.failed_starts = list.front().failed_starts;
  for (const BackendStatus& one : list) {
    all.restarts += one.restarts;
    all.failed_starts = std::min(all.failed_starts, one.failed_starts);
    all.load_fraction = std::min(all.load_fraction, one.load_fraction);
    all.failure = all.failure.empty() ? one.failure : all.failure;
  }
  all.stats = sum_of(list);
  return all;
}

Health ReplicaSet::health() const {
  Health best = Health::failed;
  for (const Replica& replica : replicas_) {
    const Health found = replica.backend->health();
    best = rank(found) < rank(best) ? found : best;
  }
  return best;
}

void ReplicaSet::shut_down() {
  for (const Replica& replica : replicas_) {
    replica.backend->shut_down();
  }
}

}  // namespace deepmoat::backend
