#include "worker/calls.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "base/limits.h"
#include "base/random.h"

namespace deepmoat::worker {

namespace {

constexpr std::uint32_t kRetryAfterSeconds = 2;

Result<std::uint64_t> random_seed() {
  std::uint64_t seed = 0;
  CHECK_OK(fill_random(std::as_writable_bytes(std::span(&seed, 1))));
  return seed;
}

Result<engine::SamplingOptions> to_options(const wire::Sampling& sampling) {
  engine::SamplingOptions options;
  options.temperature = sampling.temperature();
  options.top_p = sampling.top_p();
  options.top_k = sampling.top_k();
  options.min_p = sampling.min_p();
  options.presence_penalty = sampling.presence_penalty();
  options.frequency_penalty = sampling.frequency_penalty();
  for (const float value : {options.temperature, options.top_p, options.min_p,
                            options.presence_penalty, options.frequency_penalty}) {
    if (!std::isfinite(value)) {
      return fail(Code::invalid_argument, "sampling: use finite numbers");
    }
  }
  for (const auto& [token, bias] : sampling.logit_bias()) {
    if (!std::isfinite(bias)) {
      return fail(Code::invalid_argument, "logit_bias: use finite numbers");
    }
    options.logit_bias[token] = bias;
  }
  if (sampling.has_seed()) {
    options.seed = sampling.seed();
  } else {
    TRY(options.seed, random_seed());
  }
  return options;
}

}  // namespace

Result<Call> make_call(const engine::Model& model, const PreparedCall& prepared) {
  const wire::InferRequest& request = prepared.request;
  if (request.n() > limits::kChoicesMax) {
    return fail(Code::invalid_argument, fmt::format("n: at most {}", limits::kChoicesMax));
  }
  TRY(engine::SamplingOptions sampling, to_options(request.sampling()));
  const auto prompt_tokens = static_cast<std::uint32_t>(prepared.prompt.tokens.size());
  const std::uint32_t context = model.facts().context_tokens;
  engine::AnswerOptions answer;
  answer.stops.assign(request.stop().begin(), request.stop().end());
  answer.ignore_end_of_text = request.ignore_eos();
  answer.max_tokens = request.max_tokens() > 0  ? request.max_tokens()
                      : context > prompt_tokens ? context - prompt_tokens
                                                : 1;
  Call call;
  call.arrived_ns = prepared.arrived_ns;
  call.usage.set_prompt_tokens(prompt_tokens);
  for (std::uint32_t i = 0; i < std::max(request.n(), 1U); ++i) {
    call.choices.push_back(
        {engine::Sampler(model, sampling), engine::Answer(model, prepared.prompt.format, answer), 0,
         wire::FINISH_UNKNOWN});
    ++sampling.seed;  // choices differ, and the same seed gives the same ones
  }
  return call;
}

scheduler::Sampled draw(Call& call, std::uint64_t call_id, std::uint32_t index,
                        std::span<const float> logits, Outbox& out) {
  Choice& choice = call.choices[index];
  const engine::Token token = choice.sampler.draw(logits);
  engine::AnswerStep step = choice.answer.push(token);
  ++choice.unsent_tokens;
  if (!step.content.empty() || !step.reasoning.empty() || step.end) {
    wire::FromWorker frame;
    wire::Delta& delta = *frame.mutable_delta();
    delta.set_call_id(call_id);
    delta.set_index(index);
    delta.set_content(std::move(step.content));
    delta.set_reasoning(std::move(step.reasoning));
    delta.set_tokens(choice.unsent_tokens);
    choice.unsent_tokens = 0;
    out.put(frame);
  }
  if (step.end) {
    wire::FromWorker frame;
    wire::ChoiceFinished& finished = *frame.mutable_choice_finished();
    finished.set_call_id(call_id);
    finished.set_index(index);
    choice.reason =
        *step.end == engine::AnswerEnd::stop ? wire::FINISH_STOP : wire::FINISH_LENGTH;
    finished.set_reason(choice.reason);
    out.put(frame);
  }
  return {.call = call_id, .choice = index, .token = token, .last = step.end.has_value()};
}

wire::Refused to_frame(const scheduler::Refusal& refusal, std::uint32_t queue_max) {
  wire::Refused frame;
  frame.set_call_id(refusal.call);
  switch (refusal.kind) {
    case scheduler::Refusal::Kind::invalid:
      frame.set_kind(wire::Refused::INTERNAL);
      frame.set_message("the call's id is in use or its prompt is empty");
      break;
    case scheduler::Refusal::Kind::queue_full:
    case scheduler::Refusal::Kind::tenant_queue_full:
    case scheduler::Refusal::Kind::deadline:
      frame.set_kind(wire::Refused::QUEUE_FULL);
      frame.set_message(fmt::format("{} calls wait for this model already", queue_max));
      frame.set_retry_after_s(kRetryAfterSeconds);
      break;
    case scheduler::Refusal::Kind::context_exceeded:
      frame.set_kind(wire::Refused::CONTEXT_EXCEEDED);
      frame.set_param("max_tokens");
      frame.set_message(fmt::format(
          "the prompt has {} tokens; with the answer's tokens that is more than the {} that one "
          "call may have: shorten the prompt or lower max_tokens",
          refusal.prompt_tokens, refusal.context_tokens));
      if (refusal.prompt_tokens >= refusal.context_tokens) {
        frame.set_param("messages");
      }
      break;
    case scheduler::Refusal::Kind::draining:
      frame.set_kind(wire::Refused::DRAINING);
      frame.set_message("this worker is about to stop");
      frame.set_retry_after_s(kRetryAfterSeconds);
      break;
  }
  return frame;
}

}  // namespace deepmoat::worker
