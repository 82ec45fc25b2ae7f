#include "gateway/stages/infer.h"

#include <boost/asio/this_coro.hpp>

#include <variant>

#include "base/limits.h"
#include "gateway/audit_trail.h"
#include "gateway/mailbox.h"
#include "gateway/rate_limit_headers.h"
#include "gateway/sign_in.h"

namespace deepmoat::gateway {

namespace {

struct ClientGone {};
struct KeyWithdrawn {};  // look at the key now, whatever else comes
using CallEvent = std::variant<backend::InferenceEvent, ClientGone, KeyWithdrawn>;
using CallMailbox = Mailbox<CallEvent>;

// A cancelled call ends within one step of the engine; a backend that does not answer by then is
// not waited for.
constexpr std::chrono::milliseconds kCancelWait{5'000};

// One call while it runs.
class RunningCall {
 public:
  RunningCall(FinishedCall& finished, Responder& responder, const Services& services)
      : finished_(finished),
        responder_(responder),
        services_(services),
        config_(services.config.get()) {
    wire::InferenceCall& call = finished_.routed.classified.admitted.inference;
    finished_.writer = wire::make_answer_writer(finished_.routed.head, std::move(call.options));
    finished_.opening = finished_.writer->begin();
    choices_of_prompt_ = std::max(call.infer.n(), 1U);
    const auto prompts = static_cast<std::uint32_t>(1 + call.further_prompts.size());
    finished_.answer = wire::Answer(choices_of_prompt_ * prompts);
  }

  // Several prompts run one after another: they have one place in the key's quota.
  asio::awaitable<void> run() {
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const auto mailbox = std::make_shared<CallMailbox>(executor);
    wire::InferenceCall& call = finished_.routed.classified.admitted.inference;
    std::vector<wire::InferRequest> requests = requests_of(call);
    backend::Backend& backend = *finished_.routed.backend;
    bool watched = false;
    identity::KeyWatch watch;
    // A session's end is seen with the next event: nobody is told of it.
    if (!principal().key_id.value().empty() && !identity::is_session(principal().key_id)) {
      watch = services_.authenticator.watch(principal().key_id,
                                            [mailbox] { mailbox->push(KeyWithdrawn{}); });
    }
    for (wire::InferRequest& request : requests) {
      ended_ = false;
      const CallId id = backend.submit(
          std::move(request),
          [mailbox](backend::InferenceEvent event) { mailbox->push(std::move(event)); });
      if (!watched) {
        responder_.watch([mailbox] { mailbox->push(ClientGone{}); });
        watched = true;
      }
      co_await pass_on_until_end(*mailbox, backend, id);
      if (finished_.cancelled || finished_.failure) {
        break;
      }
      first_choice_ += choices_of_prompt_;
    }
    if (withdrawn_) {
      finished_.failure = std::move(withdrawn_);
    }
  }

 private:
  // One for each prompt, in their order.
  static std::vector<wire::InferRequest> requests_of(wire::InferenceCall& call) {
    std::vector<wire::InferRequest> requests;
    requests.reserve(1 + call.further_prompts.size());
    requests.push_back(std::move(call.infer));
    for (wire::InferRequest& prompt : call.further_prompts) {
      wire::InferRequest& next = requests.emplace_back(requests.front());
      if (prompt.has_text()) {
        next.set_text(std::move(*prompt.mutable_text()));
      } else {
        *next.mutable_tokens() = std::move(*prompt.mutable_tokens());
      }
    }
    return requests;
  }

  asio::awaitable<void> pass_on_until_end(CallMailbox& mailbox, backend::Backend& backend,
                                          CallId id) {
    cut_if_withdrawn(backend, id);  // while it waited for its audit record
    while (!ended_) {
      const std::chrono::milliseconds patience =
          finished_.cancelled ? kCancelWait
                              : std::chrono::milliseconds(config_->server.keep_alive_s * 1000);
      std::vector<CallEvent> events = co_await mailbox.take(patience);
      if (events.empty() && finished_.cancelled) {
        co_return;
      }
      // Before the events are passed on: not one goes out after the key's end.
      cut_if_withdrawn(backend, id);
      const bool alive = co_await pass_on(std::move(events));
      if (!ended_ && !finished_.cancelled && (!alive || client_gone_)) {
        finished_.cancelled = true;
        backend.cancel(id);
      }
    }
  }

  const wire::InferenceCall& inference() const {
    return finished_.routed.classified.admitted.inference;
  }

  const identity::Principal& principal() const {
    return finished_.routed.classified.admitted.authenticated.principal;
  }

  // A revocation cuts running streams too. Cheap: one hash look-up.
  void cut_if_withdrawn(backend::Backend& backend, CallId id) {
    if (finished_.cancelled || principal().key_id.value().empty() ||
        still_admitted(principal(), services_)) {
      return;
    }
    finished_.cancelled = true;
    withdrawn_ = wire::Refusal{.status = 401,
                               .type = "authentication_error",
                               .code = "key_withdrawn",
                               .message = "The key was revoked or ended while the call ran."};
    backend.cancel(id);
  }

  // Takes the events in, and writes what they say to a streaming client in one piece. No event:
  // the time for a keep-alive has come.
  asio::awaitable<bool> pass_on(std::vector<CallEvent> events) {
    std::string bytes;
    if (events.empty() && inference().stream && !finished_.cancelled) {
      bytes = finished_.writer->keep_alive();
    }
    for (CallEvent& event : events) {
      if (std::holds_alternative<ClientGone>(event)) {
        client_gone_ = true;
      } else if (auto* of_backend = std::get_if<backend::InferenceEvent>(&event)) {
        take(std::move(*of_backend), bytes);
      }
    }
    if (bytes.empty() || !inference().stream || finished_.cancelled) {
      co_return true;
    }
    if (!finished_.streaming) {
      finished_.streaming = true;
      bytes.insert(0, finished_.opening);
      Headers headers = stream_headers(finished_);
      const bool begun = co_await responder_.begin_stream(std::move(headers));
      if (!begun) {
        co_return false;
      }
    }
    const bool sent = co_await responder_.stream(std::move(bytes));
    co_return sent;
  }

  void take(backend::InferenceEvent event, std::string& bytes) {
    wire::Answer& answer = finished_.answer;
    if (auto* delta = std::get_if<wire::Delta>(&event)) {
      if (is_of_answer(*delta) && answer.take(*delta) && inference().stream) {
        bytes += finished_.writer->delta(*delta);
      }
    } else if (auto* done = std::get_if<wire::ChoiceFinished>(&event)) {
      if (is_of_answer(*done)) {
        answer.take(*done);
      }
    } else if (auto* identity = std::get_if<backend::ModelIdentity>(&event)) {
      finished_.answered_by = std::move(*identity);
    } else if (const auto* vectors = std::get_if<wire::Vectors>(&event)) {
      answer.take(*vectors);
    } else if (const auto* scores = std::get_if<wire::Scores>(&event)) {
      answer.take(*scores);
    } else if (auto* finished = std::get_if<wire::Finished>(&event)) {
      add_usage(finished->usage());
      ended_ = true;
    } else if (auto* refusal = std::get_if<wire::Refusal>(&event)) {
      finished_.failure = std::move(*refusal);
      ended_ = true;
    } else if (auto* broken = std::get_if<backend::Broken>(&event)) {
      finished_.failure = std::move(broken->refusal);
      ended_ = true;
    }
  }

  // The backend counts the choices of one prompt, the answer those of all. False: nobody asked for
  // this one.
  template <class Part>
  bool is_of_answer(Part& part) const {
    if (part.index() >= choices_of_prompt_) {
      return false;
    }
    part.set_index(part.index() + first_choice_);
    return true;
  }

  // Over all prompts; waiting times are the first one's.
  void add_usage(const wire::Usage& usage) {
    wire::Usage& all = finished_.answer.usage;
    if (first_choice_ == 0) {
      all = usage;
      return;
    }
    all.set_prompt_tokens(all.prompt_tokens() + usage.prompt_tokens());
    all.set_cached_tokens(all.cached_tokens() + usage.cached_tokens());
    all.set_completion_tokens(all.completion_tokens() + usage.completion_tokens());
    all.set_reasoning_tokens(all.reasoning_tokens() + usage.reasoning_tokens());
  }

  FinishedCall& finished_;
  Responder& responder_;
  const Services& services_;
  std::shared_ptr<const Config> config_;
  std::uint32_t choices_of_prompt_ = 1;
  std::uint32_t first_choice_ = 0;  // of the prompt that runs
  bool ended_ = false;
  bool client_gone_ = false;
  std::optional<wire::Refusal> withdrawn_;
};

// All that the model answered, for its fingerprint.
std::string output_text(const wire::Answer& answer) {
  std::string output = said_text(answer);
  const auto add = [&](const std::vector<float>& values) {
    output.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  };
  add(answer.vectors);
  add(answer.scores);
  return output;
}

void note_outcome(const FinishedCall& call, AuditTrail& trail) {
  audit::Record& record = trail.record;
  if (call.answered_by) {
    trail.note_model(*call.answered_by);
  }
  const wire::Usage& usage = call.answer.usage;
  record.tokens_in = usage.prompt_tokens();
  record.tokens_cached = usage.cached_tokens();
  record.tokens_out = usage.completion_tokens();
  record.queue_ms = usage.queue_us() / 1000;
  record.first_token_ms = usage.first_token_us() / 1000;
  const std::string output = output_text(call.answer);
  if (!output.empty()) {
    record.output_fingerprint = trail.fingerprint(output);
  }
}

}  // namespace

std::string said_text(const wire::Answer& answer) {
  std::string said;
  for (const wire::Choice& choice : answer.choices) {
    said += choice.reasoning;
    said += choice.content;
    for (const wire::ToolCall& call : choice.tool_calls) {
      said += call.name();
      said += call.arguments();
    }
  }
  return said;
}

Headers stream_headers(const FinishedCall& call) {
  Headers headers = {{"content-type", "text/event-stream; charset=utf-8"},
                     {"cache-control", "no-cache"}};
  headers.insert(headers.end(), call.headers.begin(), call.headers.end());
  return headers;
}

asio::awaitable<FinishedCall> infer(RoutedCall call, Responder& responder, const Services& services,
                                    AuditTrail& trail) {
  const quota::Reservation& place = call.classified.admitted.reservation;
  Headers headers = rate_limit_headers(place.requests(), place.tokens());
  FinishedCall finished{.routed = std::move(call), .headers = std::move(headers)};
  RunningCall running(finished, responder, services);
  co_await running.run();
  note_outcome(finished, trail);
  co_return finished;
}

}  // namespace deepmoat::gateway
