// Looks names up without being held up. getaddrinfo() blocks for as long as a dead name server
// likes and cannot be called off, so each look-up has a thread of its own that nobody waits for,
// and an owner has few of them at once: whoever has slow names holds up his own messages alone.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace deepmoat::gateway {

inline constexpr std::size_t kLookupsOfOwnerMax = 4;
inline constexpr std::size_t kLookupsMax = 32;  // of all: threads

class NameLookup {
 public:
  using Addresses = std::vector<boost::asio::ip::address>;
  // Blocks. Code::not_found, Code::unavailable.
  using Resolve = std::function<Result<Addresses>(const std::string& host)>;

  // The system's resolver.
  [[nodiscard]] static Result<Addresses> resolve(const std::string& host);

  explicit NameLookup(Resolve resolve = &NameLookup::resolve);
  // Lets go of what still runs; the io_context of the waiting coroutines must live until then.
  ~NameLookup();
  NameLookup(const NameLookup&) = delete;
  NameLookup& operator=(const NameLookup&) = delete;

  // An address is its own answer. Code::timeout after `patience`: the look-up goes on and counts
  // until it ends. Code::resource_exhausted when `owner`, or all together, have too many. For
  // coroutines of one single-threaded io_context.
  [[nodiscard]] boost::asio::awaitable<Result<Addresses>> look_up(
      std::string owner, std::string host, std::chrono::milliseconds patience);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace deepmoat::gateway
