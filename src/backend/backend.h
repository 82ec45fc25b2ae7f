// Where inference happens, seen from the gateway: a call goes in, events come out.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/strong.h"
#include "wire/refusal.h"
#include "wire/worker.pb.h"

namespace deepmoat::backend {

// The call broke after it had begun to answer: the backend died, or was told to stop.
struct Broken {
  wire::Refusal refusal;
};

// Which files answer, as audit records name them: the first 16 hex digits of a file's SHA-256.
struct ModelIdentity {
  std::string version;
  std::map<std::string, std::string> adapter_versions = {};  // by the adapter's name
  std::int64_t created_s = 0;                                // the model file's time
};

// Events of one call, in order: a ModelIdentity once a model that may be loaded, or swapped, has
// the call; any number of Delta, ChoiceFinished, Vectors and Scores; then exactly one of Finished,
// Refusal (nothing was sampled) or Broken.
using InferenceEvent =
    std::variant<wire::Delta, wire::ChoiceFinished, wire::Finished, wire::Refusal, Broken,
                 wire::Vectors, wire::Scores, ModelIdentity>;

// Called on the backend's own thread; must not block.
using EventSink = std::move_only_function<void(InferenceEvent)>;

enum class Health : std::uint8_t {
  loading,
  ready,
  restarting,  // its worker died; the next one starts
  draining,    // running calls may finish
  failed,      // it could not be loaded
  sleeping,    // not loaded; the next call loads it
  unloaded,    // not loaded, by an administrator's word
};
[[nodiscard]] std::string_view health_name(Health health);

struct BackendStatus {
  Health health = Health::loading;
  float load_fraction = 0;  // while loading, 0 to 1
  std::string failure;      // of the last failure, for the operator
  std::uint64_t restarts = 0;
  std::uint64_t failed_starts = 0;  // in a row, not counting CPU variants that fault
  wire::Ready facts;                // of the model, once it was ready
  wire::Stats stats;                // the newest
};

// Thread-safe in every implementation.
class Backend {
 public:
  virtual ~Backend() = default;

  // Starts a call. A `request.call_id` of 0 is set here; another one is kept, and no two calls of
  // one backend may have the same. Every accepted call gets its last event. Never waits.
  virtual CallId submit(wire::InferRequest request, EventSink sink) = 0;

  // Stops a call within one step of the engine; its last event is Finished with `cancelled`.
  // A call that is not here, or has ended, is ignored.
  virtual void cancel(CallId call) = 0;

  [[nodiscard]] virtual BackendStatus status() const = 0;

  // As status(), where nothing else is asked for.
  [[nodiscard]] virtual Health health() const { return status().health; }

  // Of each worker behind it.
  [[nodiscard]] virtual std::vector<BackendStatus> replicas() const { return {status()}; }

  [[nodiscard]] virtual ModelIdentity identity() const { return {}; }

  // Ends for good: calls that still run get Broken, later ones too. Returns when all have it.
  virtual void shut_down() = 0;
};

}  // namespace deepmoat::backend
