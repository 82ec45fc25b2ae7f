// What the worker keeps for each call beside the scheduler: samplers, text, usage. Decode thread.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/clock.h"
#include "engine/answer.h"
#include "engine/sampler.h"
#include "scheduler/types.h"
#include "worker/link.h"

namespace deepmoat::worker {

struct Choice {
  engine::Sampler sampler;
  engine::Answer answer;
  std::uint32_t unsent_tokens = 0;  // sampled since the last delta
  std::string echo = {};            // the prompt's text, to be sent before the answer
  std::vector<wire::Logprob> unsent_logprobs = {};
  wire::FinishReason reason = wire::FINISH_UNKNOWN;  // when it has ended
};

struct Call {
  const engine::Model* model = nullptr;
  std::vector<Choice> choices;
  wire::Usage usage;
  MonoNanos arrived_ns = 0;
};

// Builds what a call needs. Code::invalid_argument for settings that make no sense.
[[nodiscard]] Result<Call> make_call(const engine::Model& model, const PreparedCall& prepared);

// Draws one choice's next token, adds its frames to `out`, says whether the choice ended.
[[nodiscard]] scheduler::Sampled draw(Call& call, std::uint64_t call_id, std::uint32_t choice,
                                      std::span<const float> logits, Outbox& out);

[[nodiscard]] wire::Refused to_frame(const scheduler::Refusal& refusal);

}  // namespace deepmoat::worker
