// Several workers with one model. A call goes to the one that has seen its prompt's start, unless
// that one is much busier than another; then, and for new prompts, to the least busy one.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/affinity.h"
#include "backend/backend.h"

namespace deepmoat::backend {

struct ReplicaChoice {
  double match_min = 0.3;       // share of the prompt that a replica must have seen to be preferred
  std::uint64_t ahead_max = 8;  // calls by which the busiest may be ahead of the least busy, or
  double ahead_ratio_max = 1.5;  // this times its calls, before only business counts
};

class ReplicaSet final : public Backend {
 public:
  // REQUIRES: at least one replica, and none that draws call ids of its own for others.
  explicit ReplicaSet(std::vector<std::unique_ptr<Backend>> replicas, ReplicaChoice choice = {});

  CallId submit(wire::InferRequest request, EventSink sink) override;
  void cancel(CallId call) override;
  // Ready when one is; figures of all together.
  [[nodiscard]] BackendStatus status() const override;
  [[nodiscard]] Health health() const override;
  [[nodiscard]] std::vector<BackendStatus> replicas() const override;
  void shut_down() override;

 private:
  struct Replica {
    std::unique_ptr<Backend> backend;
    std::shared_ptr<std::atomic<std::uint64_t>> running;  // calls; its sinks may outlive us
  };

  [[nodiscard]] std::vector<std::size_t> candidates() const;
  std::size_t choose(const wire::InferRequest& request);

  std::vector<Replica> replicas_;
  ReplicaChoice choice_;
  std::atomic<std::uint64_t> next_call_ = 1;
  std::mutex mutex_;  // of what follows
  Affinity affinity_;
  std::size_t next_ = 0;  // among equally busy ones
};

// The last event of a call.
[[nodiscard]] bool is_last(const InferenceEvent& event);

// Figures of all workers of one model together.
[[nodiscard]] wire::Stats sum_of(const std::vector<BackendStatus>& replicas);

}  // namespace deepmoat::backend
