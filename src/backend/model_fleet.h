// All models of a server: one thread that loads, unloads and swaps them within a memory budget.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "backend/model_host.h"
#include "base/clock.h"

namespace deepmoat::backend {

// Thread-safe.
class ModelFleet final : private Room {
 public:
  // `budget_bytes`: what the workers of all models may take together; 0: no limit.
  ModelFleet(std::uint64_t budget_bytes, const Clock& clock);
  // Ends all models' calls and workers.
  ~ModelFleet() override;
  ModelFleet(const ModelFleet&) = delete;
  ModelFleet& operator=(const ModelFleet&) = delete;

  // Takes a model in; it is loaded at once unless its plan says otherwise. REQUIRES: a new name.
  std::shared_ptr<ModelHost> add(ModelPlan plan);
  // Its calls may finish, then its workers end. Nobody finds it any more.
  void remove(const std::string& name);
  // Null when there is none.
  [[nodiscard]] std::shared_ptr<ModelHost> find(const std::string& name) const;
  [[nodiscard]] std::vector<std::shared_ptr<ModelHost>> all() const;

  [[nodiscard]] std::uint64_t budget_bytes() const;
  void set_budget(std::uint64_t bytes);
  // Of all workers, those included that finish their last calls.
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  using Hosts = std::vector<std::shared_ptr<ModelHost>>;

  Result<> make(std::uint64_t bytes, const std::string& for_model) override;
  [[nodiscard]] Hosts everybody() const;
  [[nodiscard]] std::shared_ptr<ModelHost> longest_idle() const;
  void wake();
  void run();
  bool tick_all();

  const Clock& clock_;
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable woken_;
  bool work_ = false;
  bool stopping_ = false;
  std::uint64_t budget_bytes_;
  Hosts hosts_;
  Hosts leaving_;  // removed; some calls are still running
  std::thread thread_;
};

// 90 % of the machine's memory, or of the control group's limit when that is lower.
[[nodiscard]] std::uint64_t usual_budget_bytes();

}  // namespace deepmoat::backend
