// The loop of a worker that makes vectors or scores: inputs of many calls share a batch, one input
// a tenant in turn, so that a call with a thousand texts holds up nobody. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/embedder.h"
#include "worker/link.h"
#include "worker/tally.h"

namespace deepmoat::worker {

class VectorService {
 public:
  VectorService(engine::Model& model, std::uint32_t queue_max, const Clock& clock, Inbox& inbox,
                Outbox& outbox);

  // Returns after a drain, when the last call has ended, or with the reason why it cannot go on.
  [[nodiscard]] Result<> run();

 private:
  struct Job {
    std::uint64_t call = 0;
    std::vector<std::vector<engine::Token>> inputs;
    std::size_t next = 0;       // input to compute
    std::vector<float> scores;  // of a rerank, so far
    bool ranks = false;
    std::uint32_t dimensions = 0;
    std::uint32_t prompt_tokens = 0;
    MonoNanos arrived_ns = 0;
    MonoNanos deadline_ns = 0;  // to begin; 0: none
    std::uint64_t queue_us = 0;
  };
  struct Item {
    std::string tenant;
    std::uint64_t call = 0;
    std::size_t input = 0;
  };

  Result<> look();
  void take(PreparedCall prepared);
  [[nodiscard]] Result<std::vector<std::vector<engine::Token>>> tokenise(
      const wire::InferRequest& request) const;
  void refuse(std::uint64_t call, wire::Refused::Kind kind, const std::string& message);
  void cancel(std::uint64_t call);
  void end_overdue();
  // The next inputs, each tenant's oldest call in turn.
  std::vector<Item> choose();
  Result<> compute(const std::vector<Item>& items);
  void send(Job& job, std::size_t first, std::span<std::vector<float>> made);
  void finish(const Job& job, bool cancelled);
  void send_stats(bool now);
  [[nodiscard]] std::size_t waiting() const;

  engine::Model& model_;
  engine::Embedder embedder_;
  std::uint32_t queue_max_;
  const Clock& clock_;
  Inbox& inbox_;
  Outbox& outbox_;
  std::map<std::string, std::deque<Job>> jobs_;  // by tenant, the oldest first
  std::string last_tenant_;                      // whose turn was the last
  bool draining_ = false;
  bool idle_told_ = false;
  std::uint64_t steps_ = 0;
  Tally tally_;
  MonoNanos stats_ns_ = 0;
};

}  // namespace deepmoat::worker
