#include "worker/calls.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

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
  options.repeat_penalty = sampling.repeat_penalty() > 0 ? sampling.repeat_penalty() : 1;
  for (const float value :
       {options.temperature, options.top_p, options.min_p, options.presence_penalty,
        options.frequency_penalty, options.repeat_penalty}) {
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

void add_logprobs(const engine::Model& model, const engine::Drawn& drawn, Choice& choice) {
  if (!drawn.chosen) {
    return;
  }
  const auto fill = [&](const engine::TokenLogprob& one, wire::TokenLogprob& frame) {
    engine::TokenText text = engine::text_of_token(model, one.token);
    frame.set_token(std::move(text.text));
    frame.set_raw(std::move(text.bytes));
    frame.set_logprob(one.logprob);
  };
  wire::Logprob& logprob = choice.unsent_logprobs.emplace_back();
  fill(*drawn.chosen, *logprob.mutable_chosen());
  for (const engine::TokenLogprob& one : drawn.top) {
    fill(one, *logprob.add_top());
  }
}

void put_delta(std::uint64_t call_id, std::uint32_t index, engine::AnswerStep& step, Choice& choice,
               Outbox& out) {
  wire::FromWorker frame;
  wire::Delta& delta = *frame.mutable_delta();
  delta.set_call_id(call_id);
  delta.set_index(index);
  delta.set_content(std::exchange(choice.echo, {}) + step.content);
  delta.set_reasoning(std::move(step.reasoning));
  delta.set_tokens(std::exchange(choice.unsent_tokens, 0));
  for (engine::ToolCallDelta& call : step.calls) {
    wire::ToolCallDelta& piece = *delta.add_tool_calls();
    piece.set_index(call.index);
    piece.set_id(std::move(call.id));
    piece.set_name(std::move(call.name));
    piece.set_arguments(std::move(call.arguments));
  }
  for (wire::Logprob& logprob : choice.unsent_logprobs) {
    *delta.add_logprobs() = std::move(logprob);
  }
  choice.unsent_logprobs.clear();
  out.put(frame);
}

wire::FinishReason to_reason(engine::AnswerEnd end) {
  switch (end) {
    case engine::AnswerEnd::stop:
      return wire::FINISH_STOP;
    case engine::AnswerEnd::length:
      return wire::FINISH_LENGTH;
    case engine::AnswerEnd::tool_calls:
      return wire::FINISH_TOOL_CALLS;
  }
  return wire::FINISH_STOP;
}

// What the queue before it takes at the speed so far; a guess while that is not known.
std::uint32_t retry_after_s(const scheduler::Refusal& refusal) {
  if (refusal.retry_after_ms == 0) {
    return kRetryAfterSeconds;
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(
      (refusal.retry_after_ms + 999) / 1000, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

Result<Call> make_call(const engine::Model& model, const PreparedCall& prepared) {
  const wire::InferRequest& request = prepared.request;
  if (request.n() > limits::kChoicesMax) {
    return fail(Code::invalid_argument, fmt::format("n: at most {}", limits::kChoicesMax));
  }
  if (request.top_logprobs() > limits::kTopLogprobsMax) {
    return fail(Code::invalid_argument,
                fmt::format("top_logprobs: at most {}", limits::kTopLogprobsMax));
  }
  TRY(engine::SamplingOptions sampling, to_options(request.sampling()));
  sampling.logprobs = request.logprobs();
  sampling.top_logprobs = request.top_logprobs();
  if (request.has_reasoning_budget()) {
    sampling.reasoning_budget = request.reasoning_budget();
  }
  const auto prompt_tokens = static_cast<std::uint32_t>(prepared.prompt.tokens.size());
  const std::uint32_t context = model.facts().context_tokens;
  engine::AnswerOptions answer;
  answer.stops.assign(request.stop().begin(), request.stop().end());
  answer.ignore_end_of_text = request.ignore_eos();
  answer.max_tokens = request.max_tokens() > 0  ? request.max_tokens()
                      : context > prompt_tokens ? context - prompt_tokens
                                                : 1;
  Call call;
  call.model = &model;
  call.arrived_ns = prepared.arrived_ns;
  call.usage.set_prompt_tokens(prompt_tokens);
  for (std::uint32_t i = 0; i < std::max(request.n(), 1U); ++i) {
    call.choices.push_back({.sampler = engine::Sampler(model, sampling, prepared.prompt),
                            .answer = engine::Answer(model, prepared.prompt.format, answer),
                            .echo = prepared.echo});
    ++sampling.seed;  // choices differ, and the same seed gives the same ones
  }
  return call;
}

scheduler::Sampled draw(Call& call, std::uint64_t call_id, std::uint32_t index,
                        std::span<const float> logits, Outbox& out) {
  Choice& choice = call.choices[index];
  const engine::Drawn drawn = choice.sampler.draw(logits);
  engine::AnswerStep step = drawn.over ? choice.answer.stop() : choice.answer.push(drawn.token);
  choice.unsent_tokens += drawn.over ? 0 : 1;
  add_logprobs(*call.model, drawn, choice);
  if (!step.content.empty() || !step.reasoning.empty() || !step.calls.empty() ||
      !choice.echo.empty() || step.end) {
    put_delta(call_id, index, step, choice, out);
  }
  if (step.end) {
    wire::FromWorker frame;
    wire::ChoiceFinished& finished = *frame.mutable_choice_finished();
    finished.set_call_id(call_id);
    finished.set_index(index);
    choice.reason = to_reason(*step.end);
    finished.set_reason(choice.reason);
    finished.set_stop_text(step.stop_text);
    out.put(frame);
  }
  return {.call = call_id, .choice = index, .token = drawn.token, .last = step.end.has_value()};
}

wire::Refused to_frame(const scheduler::Refusal& refusal) {
  wire::Refused frame;
  frame.set_call_id(refusal.call);
  switch (refusal.kind) {
    case scheduler::Refusal::Kind::invalid:
      frame.set_kind(wire::Refused::INTERNAL);
      frame.set_message("the call's id is in use or its prompt is empty");
      break;
    case scheduler::Refusal::Kind::queue_full:
      frame.set_kind(wire::Refused::QUEUE_FULL);
      frame.set_message(fmt::format("{} calls wait for this model already", refusal.waiting));
      frame.set_retry_after_s(retry_after_s(refusal));
      break;
    case scheduler::Refusal::Kind::tenant_queue_full:
      frame.set_kind(wire::Refused::QUEUE_FULL);
      frame.set_message(
          fmt::format("{} calls of your tenant wait for this model already", refusal.waiting));
      frame.set_retry_after_s(retry_after_s(refusal));
      break;
    case scheduler::Refusal::Kind::deadline:
      frame.set_kind(wire::Refused::DEADLINE);
      frame.set_message("the call waited as long as it may and its turn had not come");
      frame.set_retry_after_s(retry_after_s(refusal));
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
