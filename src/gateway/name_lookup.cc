#include "gateway/name_lookup.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>

#include <cstdint>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "gateway/mailbox.h"

namespace deepmoat::gateway {

namespace {

using Tcp = asio::ip::tcp;
using Box = Mailbox<Result<NameLookup::Addresses>>;

}  // namespace

// Held by the threads too, which may outlive everything else. The boxes belong to an io_context,
// so a thread reaches its own only through here, and only until the end of NameLookup.
struct NameLookup::State {
  explicit State(Resolve with) : resolve(std::move(with)) {}

  const Resolve resolve;
  std::mutex mutex;
  std::map<std::string, std::size_t> running;  // of each owner
  std::size_t running_in_all = 0;
  std::uint64_t last_id = 0;
  std::map<std::uint64_t, std::shared_ptr<Box>> waiting;

  // The look-up's number; 0: there are too many.
  std::uint64_t begin(const std::string& owner, const std::shared_ptr<Box>& box) {
    const std::lock_guard lock(mutex);
    if (running_in_all >= kLookupsMax || running[owner] >= kLookupsOfOwnerMax) {
      return 0;
    }
    ++running[owner];
    ++running_in_all;
    waiting.emplace(++last_id, box);
    return last_id;
  }

  void end(const std::string& owner, std::uint64_t id, Result<Addresses> found) {
    const std::lock_guard lock(mutex);
    if (--running[owner] == 0) {
      running.erase(owner);
    }
    --running_in_all;
    const auto box = waiting.find(id);
    if (box != waiting.end()) {
      box->second->push(std::move(found));
      waiting.erase(box);
    }
  }

  void forget(std::uint64_t id) {
    const std::lock_guard lock(mutex);
    waiting.erase(id);
  }
};

NameLookup::NameLookup(Resolve resolve) : state_(std::make_shared<State>(std::move(resolve))) {}

NameLookup::~NameLookup() {
  const std::lock_guard lock(state_->mutex);
  state_->waiting.clear();
}

Result<NameLookup::Addresses> NameLookup::resolve(const std::string& host) {
  asio::io_context context;
  Tcp::resolver resolver(context);
  boost::system::error_code error;
  const auto found = resolver.resolve(host, "", error);
  if (error) {
    return fail(error == asio::error::host_not_found ? Code::not_found : Code::unavailable,
                error.message());
  }
  Addresses addresses;
  for (const auto& entry : found) {
    addresses.push_back(entry.endpoint().address());
  }
  return addresses;
}

asio::awaitable<Result<NameLookup::Addresses>> NameLookup::look_up(
    std::string owner, std::string host, std::chrono::milliseconds patience) {
  boost::system::error_code no_address;
  const asio::ip::address literal = asio::ip::make_address(host, no_address);
  if (!no_address) {
    co_return Addresses{literal};
  }
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto box = std::make_shared<Box>(executor);
  const std::uint64_t id = state_->begin(owner, box);
  if (id == 0) {
    co_return fail(Code::resource_exhausted, "earlier look-ups have not ended yet");
  }
  try {
    std::thread([state = state_, owner, host, id] {
      state->end(owner, id, state->resolve(host));
    }).detach();
  } catch (const std::system_error&) {
    state_->end(owner, id, fail(Code::unavailable, "no thread for a look-up"));
  }
  std::vector<Result<Addresses>> found = co_await box->take(patience);
  state_->forget(id);
  if (found.empty()) {
    co_return fail(Code::timeout, "no answer in time");
  }
  co_return std::move(found.front());
}

}  // namespace deepmoat::gateway
