#include "backend/model_host.h"

#include <algorithm>
#include <utility>

#include "backend/replica_set.h"
#include "backend/unavailable.h"
#include "base/limits.h"
#include "base/log.h"

namespace deepmoat::backend {

namespace {

constexpr MonoNanos kMillis = 1'000'000;
constexpr std::uint64_t kFailedStartsMax = 3;  // then a load has failed
constexpr std::int64_t kBackOffFirstMs = 2'000;
constexpr std::int64_t kBackOffMaxMs = 60'000;

wire::Refusal still_loading() {
  return unavailable("model_loading", "The model is still being loaded; try again shortly.", 5);
}

wire::Refusal unloaded() {
  return unavailable("model_unloaded", "The model was unloaded by an administrator.", 60);
}

}  // namespace

struct ModelHost::Use {
  explicit Use(MonoNanos now) : last_ns(now) {}
  std::atomic<std::uint64_t> running = 0;
  std::atomic<MonoNanos> last_ns;
};

struct ModelHost::Generation {
  ModelIdentity identity;
  std::uint64_t estimate_bytes = 0;
  std::shared_ptr<Use> use;
  std::unique_ptr<Backend> backend;

  // What its workers say, or the estimate while they have not said it.
  [[nodiscard]] std::uint64_t memory_bytes() const {
    std::uint64_t sum = 0;
    for (const BackendStatus& one : backend->replicas()) {
      if (one.facts.memory_bytes() == 0) {
        return estimate_bytes;
      }
      sum += one.facts.memory_bytes();
    }
    return sum;
  }
};

ModelHost::ModelHost(ModelPlan plan, const Clock& clock, std::function<void()> wake)
    : name_(plan.name), clock_(clock), wake_(std::move(wake)), plan_(std::move(plan)) {
  if (!plan_.on_demand) {
    wish_ = Wish::load;
    changing_ = true;
  }
}

ModelHost::~ModelHost() {
  ModelHost::shut_down();
}

// --- calls ---

// Why a call cannot even wait.
std::optional<wire::Refusal> ModelHost::refusal() const {
  if (stopped_) {
    return shutting_down();
  }
  if (left_) {
    return wire::Refusal{.status = 404,
                         .type = "invalid_request_error",
                         .code = "model_not_found",
                         .message = "The model '" + name_ + "' was removed.",
                         .param = "model"};
  }
  if (!wanted_) {
    return unloaded();
  }
  if (failure_ && !changing_ && clock_.mono_ns() < retry_at_) {
    const auto wait_s = (retry_at_ - clock_.mono_ns()) / (1000 * kMillis) + 1;
    return unavailable(failure_->code, failure_->message, static_cast<std::uint32_t>(wait_s));
  }
  if (waiting_.size() >= limits::kQueuedCallsMax) {
    return still_loading();
  }
  return std::nullopt;
}

CallId ModelHost::submit(wire::InferRequest request, EventSink sink) {
  if (request.call_id() == 0) {
    request.set_call_id(next_call_.fetch_add(1));
  }
  const CallId id(request.call_id());
  std::unique_lock lock(mutex_);
  WaitingCall call{.request = std::move(request), .sink = std::move(sink)};
  if (current_ && !stopped_) {
    hand_over(std::move(call));
    return id;
  }
  if (auto refused = refusal()) {
    const bool stopped = stopped_;
    lock.unlock();
    call.sink(stopped ? InferenceEvent(Broken{*refused}) : InferenceEvent(*refused));
    return id;
  }
  call.give_up_at = clock_.mono_ns() + plan_.load_wait_ms * kMillis;
  waiting_.push_back(std::move(call));
  if (!changing_) {
    wish_ = Wish::load;
    changing_ = true;
  }
  lock.unlock();
  wake_();
  return id;
}

// Under the lock, so that a cancel that comes after finds the call in the backend. No sink takes
// this lock.
void ModelHost::hand_over(WaitingCall call) {
  const std::shared_ptr<Use> use = current_->use;
  ++use->running;
  use->last_ns = clock_.mono_ns();
  call.sink(current_->identity);
  current_->backend->submit(
      std::move(call.request),
      [use, &clock = clock_, sink = std::move(call.sink)](InferenceEvent event) mutable {
        if (is_last(event)) {
          use->last_ns = clock.mono_ns();
          --use->running;
        }
        sink(std::move(event));
      });
}

void ModelHost::cancel(CallId call) {
  std::unique_lock lock(mutex_);
  const auto waits = std::ranges::find_if(waiting_, [call](const WaitingCall& waiting) {
    return waiting.request.call_id() == call.value();
  });
  if (waits != waiting_.end()) {
    WaitingCall taken = std::move(*waits);
    waiting_.erase(waits);
    lock.unlock();
    wire::Finished finished;
    finished.set_call_id(call.value());
    finished.set_cancelled(true);
    taken.sink(finished);
    return;
  }
  Generations all = retiring_;
  if (current_) {
    all.push_back(current_);
  }
  lock.unlock();
  for (const auto& generation : all) {
    generation->backend->cancel(call);
  }
}

void ModelHost::shut_down() {
  Generations all;
  std::deque<WaitingCall> waiting;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    all = retiring_;
    for (const auto& generation : {current_, next_}) {
      if (generation) {
        all.push_back(generation);
      }
    }
    waiting.swap(waiting_);
  }
  for (WaitingCall& call : waiting) {
    call.sink(Broken{shutting_down()});
  }
  for (const auto& generation : all) {
    generation->backend->shut_down();
  }
}

// --- what it says about itself ---

Health ModelHost::health_locked() const {
  if (stopped_) {
    return Health::draining;
  }
  if (current_) {
    return current_->backend->health();
  }
  if (next_ || changing_) {
    return Health::loading;
  }
  if (!wanted_) {
    return retiring_.empty() ? Health::unloaded : Health::draining;
  }
  return failure_ ? Health::failed : Health::sleeping;
}

Health ModelHost::health() const {
  const std::lock_guard lock(mutex_);
  return health_locked();
}

BackendStatus ModelHost::status() const {
  const std::lock_guard lock(mutex_);
  const auto& shown = current_ ? current_ : next_;
  BackendStatus status = shown ? shown->backend->status() : BackendStatus();
  status.health = health_locked();
  if (failure_ && !current_) {
    status.failure = failure_->message;
  }
  return status;
}

std::vector<BackendStatus> ModelHost::replicas() const {
  const std::lock_guard lock(mutex_);
  const auto& shown = current_ ? current_ : next_;
  return shown ? shown->backend->replicas() : std::vector<BackendStatus>();
}

ModelIdentity ModelHost::identity() const {
  const std::lock_guard lock(mutex_);
  return current_ ? current_->identity : identity_;
}

ModelStatus ModelHost::model_status() const {
  const std::uint64_t memory = memory_bytes();
  const std::lock_guard lock(mutex_);
  ModelStatus status{.name = name_,
                     .health = health_locked(),
                     .identity = current_ ? current_->identity : ModelIdentity(),
                     .changing = changing_,
                     .failure = failure_,
                     .memory_bytes = memory,
                     .waiting = waiting_.size(),
                     .loads = loads_};
  for (const auto& generation : retiring_) {
    status.running += generation->use->running;
  }
  status.running += current_ ? current_->use->running.load() : 0;
  return status;
}

bool ModelHost::busy() const {
  const std::lock_guard lock(mutex_);
  return changing_ || wish_ != Wish::none || !retiring_.empty() || !waiting_.empty();
}

bool ModelHost::empty() const {
  const std::lock_guard lock(mutex_);
  return !current_ && !next_ && retiring_.empty();
}

std::uint64_t ModelHost::memory_bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const auto& generation : {current_, next_}) {
    sum += generation ? generation->memory_bytes() : 0;
  }
  for (const auto& generation : retiring_) {
    sum += generation->memory_bytes();
  }
  return sum;
}

// --- wishes ---

Result<> ModelHost::wish(Wish wish) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_ || left_) {
      return fail(Code::unavailable, "The model is going away.");
    }
    if (wish_ != Wish::none || (changing_ && wish != Wish::unload)) {
      return fail(Code::already_exists, "The model is being loaded; wait for it to end.");
    }
    if (wish == Wish::load && current_) {
      return fail(Code::already_exists, "The model is loaded; swap it to read its file again.");
    }
    wish_ = wish;
    wanted_ = wish != Wish::unload;
    changing_ = wanted_;
    failure_.reset();
  }
  wake_();
  return {};
}

Result<> ModelHost::load() {
  return wish(Wish::load);
}
Result<> ModelHost::unload() {
  return wish(Wish::unload);
}
Result<> ModelHost::swap() {
  return wish(Wish::swap);
}

void ModelHost::leave() {
  const std::lock_guard lock(mutex_);
  left_ = true;
  wanted_ = false;
  wish_ = Wish::unload;
}

void ModelHost::change_plan(ModelPlan plan) {
  {
    const std::lock_guard lock(mutex_);
    plan_ = std::move(plan);
    failure_.reset();
    if (current_ || next_ || changing_) {  // a load under way may have begun with the old plan
      wish_ = Wish::swap;
      changing_ = true;
    } else if (!plan_.on_demand && wanted_) {
      wish_ = Wish::load;
      changing_ = true;
    }
  }
  wake_();
}

// --- the fleet's thread ---

void ModelHost::tick(Room& room) {
  take_wish(room);
  watch_load(room);
  retire();
  give_up_waiting();
  unload_when_idle();
  load_again();
}

void ModelHost::take_wish(Room& room) {
  Wish wish_taken = Wish::none;
  std::shared_ptr<Generation> given_up;  // ends its worker after the lock
  std::deque<WaitingCall> refused;
  {
    const std::lock_guard lock(mutex_);
    wish_taken = std::exchange(wish_, Wish::none);
    if (stopped_ || wish_taken == Wish::none) {
      return;
    }
    if (wish_taken == Wish::unload) {
      given_up = std::exchange(next_, nullptr);
      changing_ = false;
      refused.swap(waiting_);
      unload_locked();
    }
  }
  for (WaitingCall& call : refused) {
    call.sink(unloaded());
  }
  if (wish_taken != Wish::unload) {
    begin_load(room);
  }
}

// The current workers get no further call.
void ModelHost::unload_locked() {
  if (current_) {
    log::info("unloading the model",
              {{"model", name_}, {"running", current_->use->running.load()}});
    retiring_.push_back(std::exchange(current_, nullptr));
  }
}

void ModelHost::begin_load(Room& room) {
  ModelPlan plan;
  {
    const std::lock_guard lock(mutex_);
    plan = plan_;
  }
  auto build = plan.find();
  if (!build) {
    load_failed({"model_failed", build.error().message});
    return;
  }
  if (const auto made = room.make(build->memory_bytes, name_); !made) {
    load_failed({"model_no_memory", made.error().message});
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) {
      return;  // a worker would only be started to be ended
    }
  }
  auto generation = std::make_shared<Generation>();
  generation->identity = build->identity;
  generation->estimate_bytes = build->memory_bytes;
  generation->use = std::make_shared<Use>(clock_.mono_ns());
  generation->backend = build->start();
  const std::lock_guard lock(mutex_);
  if (!stopped_ && wish_ != Wish::unload) {
    std::swap(next_, generation);  // one that a changed plan has overtaken ends after the lock
    identity_ = next_->identity;
  }
}

void ModelHost::watch_load(Room& room) {
  std::shared_ptr<Generation> next;
  {
    const std::lock_guard lock(mutex_);
    next = next_;
  }
  if (!next) {
    return;
  }
  bool all_ready = true;
  for (const BackendStatus& one : next->backend->replicas()) {
    if (one.failed_starts >= kFailedStartsMax) {
      load_failed({"model_failed", "The model could not be loaded: " + one.failure});
      return;
    }
    all_ready = all_ready && one.health == Health::ready;
  }
  if (!all_ready) {
    return;
  }
  // It is measured now, and counted among what is used.
  if (const auto fits = room.make(0, name_); !fits) {
    load_failed({"model_no_memory", fits.error().message});
    return;
  }
  switch_over();
}

void ModelHost::switch_over() {
  std::function<void(const ModelIdentity&, std::uint64_t)> on_measured;
  std::shared_ptr<Generation> now;
  {
    const std::lock_guard lock(mutex_);
    if (!next_ || stopped_) {
      return;
    }
    unload_locked();
    current_ = std::exchange(next_, nullptr);
    changing_ = false;
    failure_.reset();
    back_off_ms_ = 0;
    ++loads_;
    for (; !waiting_.empty(); waiting_.pop_front()) {
      hand_over(std::move(waiting_.front()));
    }
    on_measured = plan_.on_measured;
    now = current_;
    log::info("the model answers calls", {{"model", name_}, {"version", now->identity.version}});
  }
  if (on_measured) {
    on_measured(now->identity, now->memory_bytes());
  }
}

void ModelHost::load_failed(LoadFailure failure) {
  std::deque<WaitingCall> refused;
  std::shared_ptr<Generation> given_up;
  wire::Refusal why;
  {
    const std::lock_guard lock(mutex_);
    log::error(
        "the model was not loaded",
        {{"model", name_}, {"reason", failure.message}, {"old_one_stays", current_ != nullptr}});
    given_up = std::exchange(next_, nullptr);
    changing_ = false;
    back_off_ms_ = std::clamp(back_off_ms_ * 2, kBackOffFirstMs, kBackOffMaxMs);
    retry_at_ = clock_.mono_ns() + back_off_ms_ * kMillis;
    why =
        unavailable(failure.code, failure.message, static_cast<std::uint32_t>(back_off_ms_ / 1000));
    failure_ = std::move(failure);
    refused.swap(waiting_);
  }
  for (WaitingCall& call : refused) {
    call.sink(why);
  }
}

// Ends the workers whose last call has ended.
void ModelHost::retire() {
  Generations done;
  {
    const std::lock_guard lock(mutex_);
    const auto idle = [](const auto& generation) { return generation->use->running == 0; };
    std::ranges::copy_if(retiring_, std::back_inserter(done), idle);
    std::erase_if(retiring_, idle);
  }
}

void ModelHost::give_up_waiting() {
  std::vector<WaitingCall> late;
  {
    const std::lock_guard lock(mutex_);
    while (!waiting_.empty() && waiting_.front().give_up_at <= clock_.mono_ns()) {
      late.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
  }
  for (WaitingCall& call : late) {
    call.sink(still_loading());
  }
}

void ModelHost::unload_when_idle() {
  const std::lock_guard lock(mutex_);
  if (plan_.idle_unload_s == 0 || !current_ || changing_ || current_->use->running > 0) {
    return;
  }
  const MonoNanos idle_ns = clock_.mono_ns() - current_->use->last_ns;
  if (idle_ns >= plan_.idle_unload_s * 1000 * kMillis) {
    unload_locked();
  }
}

// A model that should be there from the start is tried again without being asked for.
void ModelHost::load_again() {
  const std::lock_guard lock(mutex_);
  if (failure_ && !current_ && !changing_ && wanted_ && !plan_.on_demand && !stopped_ &&
      clock_.mono_ns() >= retry_at_) {
    wish_ = Wish::load;
    changing_ = true;
  }
}

std::optional<MonoNanos> ModelHost::idle_since() const {
  const std::lock_guard lock(mutex_);
  const bool may_go = plan_.on_demand || plan_.idle_unload_s > 0;
  if (!may_go || !current_ || changing_ || current_->use->running > 0) {
    return std::nullopt;
  }
  return current_->use->last_ns.load();
}

bool ModelHost::evict() {
  std::shared_ptr<Generation> gone;
  const std::lock_guard lock(mutex_);
  if (!current_ || changing_ || current_->use->running > 0) {
    return false;
  }
  log::info("unloading an idle model to make room", {{"model", name_}});
  gone = std::exchange(current_, nullptr);
  return true;  // `gone` ends its workers after the lock
}

}  // namespace deepmoat::backend
