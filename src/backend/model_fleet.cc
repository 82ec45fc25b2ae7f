#include "backend/model_fleet.h"

#include <fmt/format.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <chrono>
#include <fstream>

namespace deepmoat::backend {

namespace {

constexpr auto kBusyWait = std::chrono::milliseconds(10);   // while something is being loaded
constexpr auto kIdleWait = std::chrono::milliseconds(200);  // to notice that a model is idle

double mib(std::uint64_t bytes) {
  return static_cast<double>(bytes) / (1024.0 * 1024.0);
}

}  // namespace

ModelFleet::ModelFleet(std::uint64_t budget_bytes, const Clock& clock)
    : clock_(clock), budget_bytes_(budget_bytes) {
  thread_ = std::thread([this] { run(); });
}

ModelFleet::~ModelFleet() {
  for (const auto& host : everybody()) {
    host->shut_down();
  }
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_ = true;
  }
  woken_.notify_all();
  thread_.join();
}

std::shared_ptr<ModelHost> ModelFleet::add(ModelPlan plan) {
  auto host = std::make_shared<ModelHost>(std::move(plan), clock_, [this] { wake(); });
  {
    const std::lock_guard lock(mutex_);
    hosts_.push_back(host);
  }
  wake();
  return host;
}

void ModelFleet::remove(const std::string& name) {
  const std::shared_ptr<ModelHost> host = find(name);
  if (!host) {
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    std::erase(hosts_, host);
    leaving_.push_back(host);
  }
  host->leave();
  wake();
}

std::shared_ptr<ModelHost> ModelFleet::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(hosts_, name, [](const auto& host) { return host->name(); });
  return found == hosts_.end() ? nullptr : *found;
}

std::vector<std::shared_ptr<ModelHost>> ModelFleet::all() const {
  const std::lock_guard lock(mutex_);
  return hosts_;
}

ModelFleet::Hosts ModelFleet::everybody() const {
  const std::lock_guard lock(mutex_);
  Hosts list = hosts_;
  list.insert(list.end(), leaving_.begin(), leaving_.end());
  return list;
}

std::uint64_t ModelFleet::budget_bytes() const {
  const std::lock_guard lock(mutex_);
  return budget_bytes_;
}

void ModelFleet::set_budget(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  budget_bytes_ = bytes;
}

std::uint64_t ModelFleet::memory_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& host : everybody()) {
    sum += host->memory_bytes();
  }
  return sum;
}

std::shared_ptr<ModelHost> ModelFleet::longest_idle() const {
  std::shared_ptr<ModelHost> chosen;
  MonoNanos since = 0;
  for (const auto& host : all()) {
    const auto idle = host->idle_since();
    if (idle && (!chosen || *idle < since)) {
      chosen = host;
      since = *idle;
    }
  }
  return chosen;
}

Result<> ModelFleet::make(std::uint64_t bytes, const std::string& for_model) {
  const std::uint64_t budget = budget_bytes();
  if (budget == 0) {
    return {};
  }
  // What nobody's leaving would help is refused before anybody leaves.
  std::uint64_t used = memory_bytes();
  while (bytes <= budget && used + bytes > budget) {
    const std::shared_ptr<ModelHost> victim = longest_idle();
    if (!victim || !victim->evict()) {
      break;
    }
    used = memory_bytes();
  }
  if (used + bytes <= budget) {
    return {};
  }
  const std::string need =
      bytes > 0 ? fmt::format("The model '{}' needs about {:.0f} MiB", for_model, mib(bytes))
                : fmt::format("The model '{}' needs more memory than was thought", for_model);
  return fail(Code::resource_exhausted,
              fmt::format("{}; models take {:.0f} MiB of the {:.0f} MiB that they may take "
                          "(memory.budget_mib), and no other model is idle and may be unloaded.",
                          need, mib(used), mib(budget)));
}

void ModelFleet::wake() {
  {
    const std::lock_guard lock(mutex_);
    work_ = true;
  }
  woken_.notify_all();
}

void ModelFleet::run() {
  for (;;) {
    const bool busy = tick_all();
    std::unique_lock lock(mutex_);
    woken_.wait_for(lock, busy ? kBusyWait : kIdleWait, [this] { return work_; });
    work_ = false;
    if (stopping_) {
      return;
    }
  }
}

// True: something waits to be done soon.
bool ModelFleet::tick_all() {
  bool busy = false;
  for (const auto& host : everybody()) {
    host->tick(*this);
    busy = busy || host->busy();
  }
  Hosts gone;  // destroyed after the lock
  const std::lock_guard lock(mutex_);
  std::ranges::copy_if(leaving_, std::back_inserter(gone),
                       [](const auto& host) { return host->empty() && !host->busy(); });
  std::erase_if(leaving_,
                [&](const auto& host) { return std::ranges::find(gone, host) != gone.end(); });
  return busy;
}

std::uint64_t usual_budget_bytes() {
  struct sysinfo facts{};
  ::sysinfo(&facts);
  std::uint64_t total = static_cast<std::uint64_t>(facts.totalram) * facts.mem_unit;
  std::ifstream group("/sys/fs/cgroup/memory.max");
  std::uint64_t limit = 0;
  if (group >> limit && limit > 0) {
    total = std::min(total, limit);
  }
  return total / 10 * 9;
}

}  // namespace deepmoat::backend
