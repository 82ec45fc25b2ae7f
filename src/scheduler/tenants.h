// Who has been served how much: virtual token counters (VTC, arXiv:2401.00588).
//
// A tenant's service grows by 1 for each prompt token that is computed for it and by 2 for each
// token drawn, divided by its weight; what a cache gave it costs nothing. Who has the least goes
// first. A tenant that returns from idleness is lifted to the least of those at work, so that it
// cannot save up service by staying away.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace deepmoat::scheduler {

inline constexpr double kPromptService = 1;
inline constexpr double kAnswerService = 2;

struct Tenant {
  std::string name = {};
  double weight = 1;
  double service = 0;
  std::uint32_t calls = 0;    // that have not ended
  std::uint32_t queued = 0;   // of these, never admitted
  std::uint32_t running = 0;  // sequences
  std::uint64_t served = 0;   // step in which it last had rows for a prompt
};

// Not thread-safe.
class Tenants {
 public:
  using Id = std::uint32_t;

  // A call of the tenant has come. A weight that is not above 0 counts as 1.
  [[nodiscard]] Id enter(const std::string& name, double weight);
  void leave(Id id);  // the call has ended
  void charge(Id id, double service);

  [[nodiscard]] Tenant& at(Id id) { return tenants_[id]; }
  [[nodiscard]] const Tenant& at(Id id) const { return tenants_[id]; }
  // nullptr: unknown, or forgotten after it was idle.
  [[nodiscard]] const Tenant* find(const std::string& name) const;
  // Of the tenants with calls.
  [[nodiscard]] double total_weight() const;
  [[nodiscard]] std::size_t size() const { return ids_.size(); }

 private:
  [[nodiscard]] double least_service() const;  // of those with calls
  void forget_idle();

  std::vector<Tenant> tenants_;
  std::vector<Id> free_;
  std::map<std::string, Id> ids_;
  double reached_ = 0;  // the least service of those at work, when last anyone was
};

}  // namespace deepmoat::scheduler
