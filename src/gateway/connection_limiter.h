// A cap on open connections, in all and per address, before any byte is read.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

namespace deepmoat::gateway {

class ConnectionLimiter;

// The right to one open connection; given back when dropped. Must not outlive its limiter.
class ConnectionSlot {
 public:
  ConnectionSlot() = default;
  ConnectionSlot(ConnectionLimiter* limiter, std::string address)
      : limiter_(limiter), address_(std::move(address)) {}
  ConnectionSlot(const ConnectionSlot&) = delete;
  ConnectionSlot& operator=(const ConnectionSlot&) = delete;
  ConnectionSlot(ConnectionSlot&& other) noexcept
      : limiter_(std::exchange(other.limiter_, nullptr)), address_(std::move(other.address_)) {}
  ConnectionSlot& operator=(ConnectionSlot&&) = delete;
  ~ConnectionSlot();

  [[nodiscard]] bool held() const { return limiter_ != nullptr; }

 private:
  ConnectionLimiter* limiter_ = nullptr;
  std::string address_;
};

// Thread-safe.
class ConnectionLimiter {
 public:
  // Not held: a limit is full, close the connection.
  [[nodiscard]] ConnectionSlot take(const std::string& address, std::uint64_t total_max,
                                    std::uint64_t address_max);
  [[nodiscard]] std::uint64_t open() const;

 private:
  friend class ConnectionSlot;
  void give_back(const std::string& address);

  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::uint64_t> by_address_;
  std::uint64_t total_ = 0;
};

}  // namespace deepmoat::gateway
