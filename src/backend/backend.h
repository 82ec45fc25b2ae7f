// Where inference happens, seen from the gateway: a call goes in, events come out.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>

#include "base/result.h"
#include "base/strong.h"
#include "wire/refusal.h"
#include "wire/worker.pb.h"

namespace deepmoat::backend {

// The call broke after it had begun to answer: the backend died, or was told to stop.
struct Broken {
  wire::Refusal refusal;
};

// Events of one call, in order: any number of Delta, ChoiceFinished, Vectors and Scores, then
// exactly one of Finished, Refused (nothing was sampled) or Broken.
using InferenceEvent = std::variant<wire::Delta, wire::ChoiceFinished, wire::Finished,
                                    wire::Refusal, Broken, wire::Vectors, wire::Scores>;

// Called on the backend's own thread; must not block.
using EventSink = std::move_only_function<void(InferenceEvent)>;

enum class Health : std::uint8_t { loading, ready, restarting, draining, failed };
[[nodiscard]] std::string_view health_name(Health health);

struct BackendStatus {
  Health health = Health::loading;
  float load_fraction = 0;  // while loading, 0 to 1
  std::string failure;      // of the last failure, for the operator
  std::uint64_t restarts = 0;
  wire::Ready facts;  // of the model, once it was ready
  wire::Stats stats;  // the newest
};

// Thread-safe in every implementation.
class Backend {
 public:
  virtual ~Backend() = default;

  // Starts a call; `request.call_id` is set here. Every accepted call gets its last event.
  virtual CallId submit(wire::InferRequest request, EventSink sink) = 0;

  // Stops a call within one step of the engine; its last event is Finished with `cancelled`.
  // A call that has ended is ignored.
  virtual void cancel(CallId call) = 0;

  [[nodiscard]] virtual BackendStatus status() const = 0;

  // Ends for good: calls that still run get Broken, later ones too. Returns when all have it.
  virtual void shut_down() = 0;
};

}  // namespace deepmoat::backend
