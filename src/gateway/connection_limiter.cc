#include "gateway/connection_limiter.h"

namespace deepmoat::gateway {

ConnectionSlot::~ConnectionSlot() {
  if (limiter_ != nullptr) {
    limiter_->give_back(address_);
  }
}

ConnectionSlot ConnectionLimiter::take(const std::string& address, std::uint64_t total_max,
                                       std::uint64_t address_max) {
  const std::lock_guard lock(mutex_);
  if (total_ >= total_max) {
    return {};
  }
  std::uint64_t& of_address = by_address_[address];
  if (of_address >= address_max) {
    return {};
  }
  ++of_address;
  ++total_;
  return {this, address};
}

std::uint64_t ConnectionLimiter::open() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

void ConnectionLimiter::give_back(const std::string& address) {
  const std::lock_guard lock(mutex_);
  --total_;
  const auto found = by_address_.find(address);
  if (--found->second == 0) {
    by_address_.erase(found);
  }
}

}  // namespace deepmoat::gateway
