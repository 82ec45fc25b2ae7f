#include "gateway/stages/infer.h"

#include <boost/asio/this_coro.hpp>

#include <set>
#include <variant>

#include "base/limits.h"
#include "gateway/audit_trail.h"
#include "gateway/mailbox.h"
#include "gateway/rate_limit_headers.h"
#include "wire/sse.h"

namespace deepmoat::gateway {

namespace {

struct ClientGone {};
using CallEvent = std::variant<backend::InferenceEvent, ClientGone>;
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
        config_(services.config.get()),
        writer_(finished.routed.head, inference().include_usage) {
    finished_.choices.resize(std::max(inference().infer.n(), 1U));
  }

  asio::awaitable<void> run() {
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const auto mailbox = std::make_shared<CallMailbox>(executor);
    wire::InferRequest request = std::move(finished_.routed.classified.admitted.inference.infer);
    backend::Backend& backend = *finished_.routed.backend;
    const CallId id = backend.submit(std::move(request), [mailbox](backend::InferenceEvent event) {
      mailbox->push(std::move(event));
    });
    responder_.watch([mailbox] { mailbox->push(ClientGone{}); });
    co_await pass_on_until_end(*mailbox, backend, id);
    if (withdrawn_) {
      finished_.failure = std::move(withdrawn_);
    }
  }

 private:
  asio::awaitable<void> pass_on_until_end(CallMailbox& mailbox, backend::Backend& backend,
                                          CallId id) {
    while (!ended_) {
      const std::chrono::milliseconds patience =
          finished_.cancelled ? kCancelWait
                              : std::chrono::milliseconds(config_->server.keep_alive_s * 1000);
      std::vector<CallEvent> events = co_await mailbox.take(patience);
      if (events.empty() && finished_.cancelled) {
        co_return;
      }
      const bool alive = co_await pass_on(std::move(events));
      if (!ended_ && !finished_.cancelled && !may_go_on(alive)) {
        finished_.cancelled = true;
        backend.cancel(id);
      }
    }
  }

  const wire::InferenceCall& inference() const {
    return finished_.routed.classified.admitted.inference;
  }

  bool key_withdrawn() const {
    const identity::Principal& principal =
        finished_.routed.classified.admitted.authenticated.principal;
    return !principal.key_id.value().empty() &&
           !services_.authenticator.still_valid(principal.key_id, services_.clock.unix_ms());
  }

  // Looked at after every piece: a revocation cuts running streams too.
  bool may_go_on(bool client_reads) {
    if (!client_reads || client_gone_) {
      return false;
    }
    if (!key_withdrawn()) {
      return true;
    }
    withdrawn_ = wire::Refusal{.status = 401,
                               .type = "authentication_error",
                               .code = "key_withdrawn",
                               .message = "The key was revoked or ended while the call ran."};
    return false;
  }

  // Takes the events in, and writes what they say to a streaming client in one piece. No event:
  // the time for a keep-alive has come.
  asio::awaitable<bool> pass_on(std::vector<CallEvent> events) {
    std::string bytes;
    if (events.empty() && inference().stream) {
      bytes = wire::kSseKeepAlive;
    }
    for (CallEvent& event : events) {
      if (std::holds_alternative<ClientGone>(event)) {
        client_gone_ = true;
      } else {
        take(std::get<backend::InferenceEvent>(std::move(event)), bytes);
      }
    }
    if (bytes.empty() || !inference().stream || finished_.cancelled) {
      co_return true;
    }
    if (!finished_.streaming) {
      finished_.streaming = true;
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
    if (const auto* delta = std::get_if<wire::Delta>(&event)) {
      take_delta(*delta, bytes);
    } else if (const auto* done = std::get_if<wire::ChoiceFinished>(&event)) {
      if (done->index() < finished_.choices.size()) {
        finished_.choices[done->index()].reason = done->reason();
      }
    } else if (auto* finished = std::get_if<wire::Finished>(&event)) {
      finished_.usage = std::move(*finished->mutable_usage());
      ended_ = true;
    } else if (auto* refusal = std::get_if<wire::Refusal>(&event)) {
      finished_.failure = std::move(*refusal);
      ended_ = true;
    } else if (auto* broken = std::get_if<backend::Broken>(&event)) {
      finished_.failure = std::move(broken->refusal);
      ended_ = true;
    }
  }

  void take_delta(const wire::Delta& delta, std::string& bytes) {
    if (delta.index() >= finished_.choices.size()) {
      return;
    }
    wire::Choice& choice = finished_.choices[delta.index()];
    choice.content += delta.content();
    choice.reasoning += delta.reasoning();
    if (!inference().stream) {
      return;
    }
    if (opened_.insert(delta.index()).second) {
      bytes += writer_.role(delta.index());
    }
    bytes += writer_.delta(delta);
  }

  FinishedCall& finished_;
  Responder& responder_;
  const Services& services_;
  std::shared_ptr<const Config> config_;
  wire::ChunkWriter writer_;
  std::set<std::uint32_t> opened_;  // choices whose role has been sent
  bool ended_ = false;
  bool client_gone_ = false;
  std::optional<wire::Refusal> withdrawn_;
};

void note_outcome(const FinishedCall& call, AuditTrail& trail) {
  audit::Record& record = trail.record;
  record.tokens_in = call.usage.prompt_tokens();
  record.tokens_cached = call.usage.cached_tokens();
  record.tokens_out = call.usage.completion_tokens();
  record.queue_ms = call.usage.queue_us() / 1000;
  record.first_token_ms = call.usage.first_token_us() / 1000;
  std::string output;
  for (const wire::Choice& choice : call.choices) {
    output += choice.reasoning;
    output += choice.content;
  }
  if (!output.empty()) {
    record.output_fingerprint = trail.fingerprint(output);
  }
}

}  // namespace

Headers stream_headers(const FinishedCall& call) {
  Headers headers = {{"content-type", "text/event-stream; charset=utf-8"},
                     {"cache-control", "no-cache"}};
  headers.insert(headers.end(), call.headers.begin(), call.headers.end());
  return headers;
}

asio::awaitable<FinishedCall> infer(RoutedCall call, Responder& responder, const Services& services,
                                    AuditTrail& trail) {
  const quota::Reservation& place = call.classified.admitted.reservation;
  Headers headers = rate_limit_headers(place.limit(), place.remaining(), place.reset_s());
  FinishedCall finished{.routed = std::move(call), .headers = std::move(headers)};
  RunningCall running(finished, responder, services);
  co_await running.run();
  note_outcome(finished, trail);
  co_return finished;
}

}  // namespace deepmoat::gateway
