// One model over the life of a server: loaded, unloaded, swapped for another file, always the same
// backend for its callers. Calls come from any thread; the changes are made by the fleet's thread
// in tick().
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/clock.h"

namespace deepmoat::backend {

// One version of a model, found and ready to be started.
struct ModelBuild {
  ModelIdentity identity;
  std::uint64_t memory_bytes = 0;  // what it will take, as far as that is known
  std::move_only_function<std::unique_ptr<Backend>()> start;
};

// How a model is served.
struct ModelPlan {
  std::string name;
  bool on_demand = false;              // loaded by the first call, not at the start
  std::int64_t idle_unload_s = 0;      // 0: never
  std::int64_t load_wait_ms = 20'000;  // how long a call waits for a model that is being loaded
  // Finds the newest version. May read the disk for long.
  std::function<Result<ModelBuild>()> find;
  // Told what a loaded version really takes; to know it before the next load.
  std::function<void(const ModelIdentity&, std::uint64_t memory_bytes)> on_measured = nullptr;
};

// Why a model is not there, as its callers and the operator read it.
struct LoadFailure {
  std::string code;  // model_failed, model_no_memory
  std::string message;
};

struct ModelStatus {
  std::string name;
  Health health = Health::sleeping;
  ModelIdentity identity;              // of what answers now
  bool changing = false;               // a load or swap is under way
  std::optional<LoadFailure> failure;  // of the last load or swap
  std::uint64_t memory_bytes = 0;      // of all its workers, ending ones too
  std::uint64_t running = 0;           // calls
  std::uint64_t waiting = 0;           // calls that wait for the load
  std::uint64_t loads = 0;             // that came to a good end, swaps too
};

// The memory that models may take together; see fleet.
class Room {
 public:
  virtual ~Room() = default;
  // Unloads idle models until `bytes` more fit. Code::resource_exhausted says why not.
  virtual Result<> make(std::uint64_t bytes, const std::string& for_model) = 0;
};

class ModelHost final : public Backend {
 public:
  // `wake` is called from any thread when tick() has something to do.
  ModelHost(ModelPlan plan, const Clock& clock, std::function<void()> wake);
  ~ModelHost() override;

  // A call for a model that is not loaded loads it, and waits.
  CallId submit(wire::InferRequest request, EventSink sink) override;
  void cancel(CallId call) override;
  [[nodiscard]] BackendStatus status() const override;
  [[nodiscard]] Health health() const override;
  [[nodiscard]] std::vector<BackendStatus> replicas() const override;
  [[nodiscard]] ModelIdentity identity() const override;
  void shut_down() override;

  [[nodiscard]] ModelStatus model_status() const;

  // What the operator wants; returns at once. Code::already_exists: the last wish is not done yet,
  // or (load) it is loaded.
  Result<> load();
  // Running calls may finish. Calls do not load it again; load() and swap() do.
  Result<> unload();
  // Loads the newest version beside the one that answers, then lets it answer. When that fails,
  // the old one stays.
  Result<> swap();
  // Unloads it for good: further calls are refused as those of a model that does not exist.
  void leave();
  [[nodiscard]] const std::string& name() const { return name_; }
  // Served by `plan` (of the same name) from now on: when it is loaded, by a swap.
  void change_plan(ModelPlan plan);

  // --- the fleet's thread ---

  void tick(Room& room);
  // Something changes or waits: tick() is wanted soon.
  [[nodiscard]] bool busy() const;
  // No worker runs.
  [[nodiscard]] bool empty() const;
  [[nodiscard]] std::uint64_t memory_bytes() const;
  // When it was last used, if it may be unloaded for another model's sake now.
  [[nodiscard]] std::optional<MonoNanos> idle_since() const;
  // Unloads it, unless a call has come meanwhile.
  bool evict();

 private:
  enum class Wish : std::uint8_t { none, load, unload, swap };
  struct Use;         // counts calls; shared with their sinks
  struct Generation;  // workers of one version
  struct WaitingCall {
    wire::InferRequest request;
    EventSink sink;
    MonoNanos give_up_at = 0;
  };
  using Generations = std::vector<std::shared_ptr<Generation>>;

  [[nodiscard]] std::optional<wire::Refusal> refusal() const;
  [[nodiscard]] Health health_locked() const;
  Result<> wish(Wish wish);
  void hand_over(WaitingCall call);
  void take_wish(Room& room);
  void begin_load(Room& room);
  void watch_load(Room& room);
  void load_failed(LoadFailure failure);
  void switch_over();
  void unload_locked();
  void retire();
  void give_up_waiting();
  void unload_when_idle();
  void load_again();

  const std::string name_;
  const Clock& clock_;
  const std::function<void()> wake_;
  std::atomic<std::uint64_t> next_call_ = 1;

  mutable std::mutex mutex_;  // of all that follows
  ModelPlan plan_;
  Wish wish_ = Wish::none;
  bool changing_ = false;  // from a load's or swap's wish to its end
  bool wanted_ = true;     // false: unloaded by the operator
  bool left_ = false;      // the model is no longer in the configuration
  bool stopped_ = false;
  std::shared_ptr<Generation> current_;  // answers
  std::shared_ptr<Generation> next_;     // is being loaded
  Generations retiring_;                 // finish their calls
  ModelIdentity identity_;               // of the last load
  std::deque<WaitingCall> waiting_;
  std::optional<LoadFailure> failure_;
  MonoNanos retry_at_ = 0;  // of a failed load
  std::int64_t back_off_ms_ = 0;
  std::uint64_t loads_ = 0;
};

}  // namespace deepmoat::backend
