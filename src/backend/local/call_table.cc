#include "backend/local/call_table.h"

#include <algorithm>

#include "backend/local/worker_refusal.h"
#include "backend/unavailable.h"
#include "wire/frame.h"

namespace deepmoat::backend {

namespace {
constexpr MonoNanos kMillis = 1'000'000;
}

MonoNanos CallTable::give_up_at() const {
  return clock_.mono_ns() + wait_ms_ * kMillis;
}

void CallTable::accept(wire::InferRequest request, EventSink sink) {
  const std::uint64_t fingerprint = Quarantine::fingerprint(request);
  if (quarantine_.holds(fingerprint)) {
    sink(wire::invalid("", "This request has crashed the model's worker twice and is refused.",
                       "request_quarantined"));
    return;
  }
  const std::uint64_t id = request.call_id();
  calls_.emplace(id, Call{.request = std::move(request),
                          .sink = std::move(sink),
                          .fingerprint = fingerprint,
                          .give_up_at = give_up_at()});
}

void CallTable::send_waiting(std::string& outbox) {
  for (auto& [id, call] : calls_) {
    if (call.in_worker) {
      continue;
    }
    wire::ToWorker frame;
    *frame.mutable_infer() = call.request;
    outbox += wire::encode_frame(frame);
    call.in_worker = true;
    ++call.runs;
  }
}

void CallTable::cancel(std::uint64_t id, std::string& outbox) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) {
    return;
  }
  if (!found->second.in_worker) {
    finish_cancelled(found);
    return;
  }
  wire::ToWorker frame;
  frame.mutable_cancel()->set_call_id(id);
  outbox += wire::encode_frame(frame);
  found->second.cancelled = true;
}

void CallTable::give_up_waiting() {
  const MonoNanos now = clock_.mono_ns();
  for (auto it = calls_.begin(); it != calls_.end();) {
    const auto call = it++;
    if (!call->second.in_worker && now >= call->second.give_up_at) {
      finish(call, unavailable("model_loading",
                               "The model is still being loaded; try again shortly.", 5));
    }
  }
}

bool CallTable::take(wire::FromWorker& frame) {
  switch (frame.frame_case()) {
    case wire::FromWorker::kDelta: {
      const std::uint64_t id = frame.delta().call_id();
      pass_on(id, std::move(*frame.mutable_delta()));
      return true;
    }
    case wire::FromWorker::kChoiceFinished: {
      const std::uint64_t id = frame.choice_finished().call_id();
      pass_on(id, std::move(*frame.mutable_choice_finished()));
      return true;
    }
    case wire::FromWorker::kVectors: {
      const std::uint64_t id = frame.vectors().call_id();
      pass_on(id, std::move(*frame.mutable_vectors()));
      return true;
    }
    case wire::FromWorker::kScores: {
      const std::uint64_t id = frame.scores().call_id();
      pass_on(id, std::move(*frame.mutable_scores()));
      return true;
    }
    case wire::FromWorker::kFinished:
      take_finished(*frame.mutable_finished());
      return true;
    case wire::FromWorker::kRefused: {
      const auto call = calls_.find(frame.refused().call_id());
      if (call != calls_.end()) {
        finish(call, from_worker(frame.refused()));
      }
      return true;
    }
    default:
      return false;
  }
}

void CallTable::pass_on(std::uint64_t id, InferenceEvent event) {
  const auto call = calls_.find(id);
  if (call != calls_.end()) {
    call->second.begun = true;
    call->second.sink(std::move(event));
  }
}

void CallTable::take_finished(wire::Finished& finished) {
  const auto call = calls_.find(finished.call_id());
  if (call != calls_.end()) {
    quarantine_.clear(call->second.fingerprint);
    finish(call, std::move(finished));
  }
}

void CallTable::worker_died(bool crashed) {
  for (auto it = calls_.begin(); it != calls_.end();) {
    const auto call = it++;
    if (!call->second.in_worker) {
      continue;
    }
    if (crashed) {
      quarantine_.strike(call->second.fingerprint);
    }
    call->second.in_worker = false;
    call->second.give_up_at = give_up_at();
    if (call->second.cancelled) {
      finish_cancelled(call);
    } else if (call->second.begun || call->second.runs > 1) {
      finish(call, Broken{worker_crashed()});
    }
  }
}

void CallTable::end_all(const wire::Refusal& why) {
  while (!calls_.empty()) {
    finish(calls_.begin(), Broken{why});
  }
}

bool CallTable::busy() const {
  return std::ranges::any_of(calls_, [](const auto& entry) { return entry.second.in_worker; });
}

void CallTable::finish(Calls::iterator call, InferenceEvent last) {
  EventSink sink = std::move(call->second.sink);
  calls_.erase(call);
  sink(std::move(last));
}

void CallTable::finish_cancelled(Calls::iterator call) {
  wire::Finished finished;
  finished.set_call_id(call->first);
  finished.set_cancelled(true);
  finish(call, finished);
}

}  // namespace deepmoat::backend
