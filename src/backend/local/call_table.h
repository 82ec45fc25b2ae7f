// The calls of one worker, from submit() to their last event. Used by the supervisor's thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "backend/backend.h"
#include "backend/local/quarantine.h"
#include "base/clock.h"

namespace deepmoat::backend {

class CallTable {
 public:
  // A call waits `wait_ms` for a worker that is starting. `clock` outlives the table.
  CallTable(const Clock& clock, std::int64_t wait_ms) : clock_(clock), wait_ms_(wait_ms) {}

  // Takes a call in, or refuses it at once when it has crashed workers.
  void accept(wire::InferRequest request, EventSink sink);
  // Appends the frames of calls that no worker has yet.
  void send_waiting(std::string& outbox);
  // Ends a call that waits; of one that runs, appends the frame that ends it. Others are ignored.
  void cancel(std::uint64_t id, std::string& outbox);
  // Refuses calls that have waited too long for a worker.
  void give_up_waiting();

  // A frame of a call; frames of unknown calls are dropped. False: it is no such frame.
  bool take(wire::FromWorker& frame);

  // Calls that have sent nothing yet wait for the next worker, once; the others get Broken.
  // `crashed`: of its own, so that one of its calls may be the reason.
  void worker_died(bool crashed);
  void end_all(const wire::Refusal& why);

  [[nodiscard]] bool empty() const { return calls_.empty(); }
  // A worker has at least one of them.
  [[nodiscard]] bool busy() const;

 private:
  struct Call {
    wire::InferRequest request;
    EventSink sink;
    std::uint64_t fingerprint = 0;
    MonoNanos give_up_at = 0;  // while it waits for a worker
    int runs = 0;              // how often it was sent to a worker
    bool in_worker = false;
    bool begun = false;  // an event has gone out, so it cannot run again
    bool cancelled = false;
  };
  using Calls = std::map<std::uint64_t, Call>;

  [[nodiscard]] MonoNanos give_up_at() const;
  void pass_on(std::uint64_t id, InferenceEvent event);
  void take_finished(wire::Finished& finished);
  void finish(Calls::iterator call, InferenceEvent last);
  void finish_cancelled(Calls::iterator call);

  const Clock& clock_;
  std::int64_t wait_ms_;
  Calls calls_;
  Quarantine quarantine_;
};

}  // namespace deepmoat::backend
