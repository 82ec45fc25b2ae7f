#include "scheduler/tenants.h"

#include <algorithm>

namespace deepmoat::scheduler {

namespace {

constexpr std::size_t kIdleTenantsMax = 1024;

}  // namespace

Tenants::Id Tenants::enter(const std::string& name, double weight) {
  reached_ = std::max(reached_, least_service());
  auto known = ids_.find(name);
  if (known == ids_.end()) {
    forget_idle();
    Id id = static_cast<Id>(tenants_.size());
    if (free_.empty()) {
      tenants_.emplace_back();
    } else {
      id = free_.back();
      free_.pop_back();
    }
    tenants_[id] = {.name = name};
    known = ids_.emplace(name, id).first;
  }
  Tenant& tenant = tenants_[known->second];
  tenant.weight = weight > 0 ? weight : 1;
  if (tenant.calls++ == 0) {
    tenant.service = std::max(tenant.service, reached_);
  }
  return known->second;
}

void Tenants::leave(Id id) {
  reached_ = std::max(reached_, least_service());
  --tenants_[id].calls;
}

void Tenants::charge(Id id, double service) {
  tenants_[id].service += service / tenants_[id].weight;
}

const Tenant* Tenants::find(const std::string& name) const {
  const auto known = ids_.find(name);
  return known == ids_.end() ? nullptr : &tenants_[known->second];
}

double Tenants::total_weight() const {
  double sum = 0;
  for (const Tenant& tenant : tenants_) {
    sum += tenant.calls > 0 ? tenant.weight : 0;
  }
  return sum;
}

double Tenants::least_service() const {
  double least = std::numeric_limits<double>::infinity();
  for (const Tenant& tenant : tenants_) {
    if (tenant.calls > 0) {
      least = std::min(least, tenant.service);
    }
  }
  return least == std::numeric_limits<double>::infinity() ? reached_ : least;
}

// An idle tenant that is not ahead would be lifted when it returns: nothing of it need be kept.
void Tenants::forget_idle() {
  if (ids_.size() < kIdleTenantsMax) {
    return;
  }
  for (auto at = ids_.begin(); at != ids_.end();) {
    const Tenant& tenant = tenants_[at->second];
    if (tenant.calls == 0 && tenant.service <= reached_) {
      free_.push_back(at->second);
      at = ids_.erase(at);
    } else {
      ++at;
    }
  }
}

}  // namespace deepmoat::scheduler
