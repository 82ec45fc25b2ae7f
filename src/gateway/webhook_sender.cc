#include "gateway/webhook_sender.h"

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <future>
#include <thread>
#include <utility>

#include "base/log.h"
#include "gateway/blocking.h"
#include "gateway/name_lookup.h"
#include "gateway/tls_client.h"

namespace deepmoat::gateway {

namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;

namespace {

using Tcp = asio::ip::tcp;
using Request = http::request<http::string_body>;
using Keys = std::vector<identity::KeyInfo>;
using Deadline = std::chrono::steady_clock::time_point;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

constexpr std::int64_t kRoundMs = 3'600'000;  // notices of keys that end, and what can be forgotten
constexpr std::int64_t kTroubleMs = 30'000;   // before the database or the log is asked again
constexpr std::int64_t kShortestWaitMs = 10;
constexpr std::chrono::seconds kLastWords{3};
constexpr std::chrono::seconds kNoteAgain{2};
constexpr std::uint64_t kAnswerBytesMax = 64 * 1024;

Request make_request(const webhook::Job& job, const webhook::Address& address, const Clock& clock) {
  Request request{http::verb::post, address.target, 11};
  request.set(http::field::host, address.host_header);
  request.set(http::field::user_agent, "Deepmoat");
  request.set(http::field::content_type, "application/json");
  request.set(http::field::connection, "close");
  request.set("X-Deepmoat-Event", job.row.event);
  request.set("X-Deepmoat-Delivery", job.row.delivery_id);
  request.set("X-Deepmoat-Signature",
              webhook::signature_header(job.secret, clock.unix_ms() / 1000, job.row.body));
  request.body() = job.row.body;
  request.prepare_payload();
  return request;
}

webhook::Outcome failed(std::string_view step, const boost::system::error_code& error) {
  const bool late = error == beast::error::timeout || error == asio::error::operation_aborted;
  return {.error = late ? fmt::format("{}: no answer in time", step)
                        : fmt::format("{}: {}", step, error.message())};
}

webhook::Outcome judge(unsigned status) {
  webhook::Outcome outcome{.status = static_cast<int>(status)};
  if (status >= 300 && status < 400) {
    outcome.error = fmt::format("status {}: redirects are not followed", status);
  } else if (status < 200 || status >= 300) {
    outcome.error = fmt::format("status {}", status);
  }
  return outcome;
}

// Plain HTTP was allowed for this machine's own addresses; a name must not lead elsewhere. And the
// owner of a name decides anew each time where it leads.
std::vector<Tcp::endpoint> allowed_endpoints(const NameLookup::Addresses& found,
                                             const webhook::Address& to, webhook::Reach reach) {
  std::vector<Tcp::endpoint> endpoints;
  std::uint16_t port = 0;
  std::from_chars(to.port.data(), to.port.data() + to.port.size(), port);  // parse_url() saw it
  for (const asio::ip::address& address : found) {
    if ((to.tls || address.is_loopback()) && webhook::may_reach(address, reach)) {
      endpoints.emplace_back(address, port);
    }
  }
  return endpoints;
}

Deadline deadline_in(const asio::any_io_executor& executor, std::chrono::seconds patience) {
  return asio::steady_timer(executor, patience).expiry();
}

// Sends the request and reads the status line. `stream`: connected, and its handshake done.
template <class Stream>
asio::awaitable<webhook::Outcome> exchange(Stream& stream, Request request, Deadline deadline) {
  auto [write_error, written] = co_await http::async_write(stream, request, kAwait);
  if (write_error) {
    co_return failed("send", write_error);
  }
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kAnswerBytesMax);
  auto [read_error, read] = co_await http::async_read_header(stream, buffer, parser, kAwait);
  if (read_error) {
    co_return failed("receive", read_error);
  }
  const webhook::Outcome outcome = judge(parser.get().result_int());
  // The status is the answer. The rest is read so that the receiver can finish it in peace.
  beast::get_lowest_layer(stream).expires_at(
      std::min(deadline, deadline_in(stream.get_executor(), std::chrono::seconds(1))));
  [[maybe_unused]] const auto rest = co_await http::async_read(stream, buffer, parser, kAwait);
  co_return outcome;
}

}  // namespace

class WebhookSender::Impl {
 public:
  Impl(webhook::WebhookService& webhooks, ListKeys keys, asio::thread_pool& blocking,
       const Clock& clock, WebhookSenderOptions options, std::shared_ptr<ssl::context> tls)
      : webhooks_(webhooks),
        keys_(std::move(keys)),
        blocking_(blocking),
        clock_(clock),
        options_(std::move(options)),
        tls_(std::move(tls)),
        timer_(context_) {}

  void start() {
    asio::co_spawn(context_, run(), [](const std::exception_ptr& failure) {
      if (failure) {
        log::error("the sender of webhooks has ended with an exception");
      }
    });
    thread_ = std::thread([this] { context_.run(); });
  }

  void wake() {
    asio::post(context_, [this] {
      woken_ = true;
      timer_.cancel();
    });
  }

  void stop() {
    if (!thread_.joinable()) {
      return;
    }
    asio::post(context_, [this] {
      stopping_ = true;
      timer_.cancel();
    });
    if (ended_.get_future().wait_for(kLastWords) != std::future_status::ready) {
      log::warn("messages to webhooks were still on their way; they are sent again at the start");
    }
    context_.stop();
    thread_.join();
  }

 private:
  asio::awaitable<void> run() {
    while (!stopping_) {
      woken_ = false;
      std::int64_t wait_ms = kTroubleMs;
      const bool rounds_made = co_await make_rounds();
      if (rounds_made) {
        wait_ms = co_await send_due();
      }
      if (!woken_ && !stopping_) {
        timer_.expires_after(std::chrono::milliseconds(wait_ms));
        co_await timer_.async_wait(kAwait);
      }
    }
    while (!busy_.empty()) {
      timer_.expires_after(std::chrono::milliseconds(kShortestWaitMs));
      co_await timer_.async_wait(kAwait);
    }
    ended_.set_value();
  }

  // Once an hour: which keys end soon, and what can be forgotten.
  asio::awaitable<bool> make_rounds() {
    if (clock_.unix_ms() < next_round_ms_) {
      co_return true;
    }
    std::move_only_function<Result<Keys>()> list = [this] { return keys_(); };
    Result<Keys> listed = co_await run_blocking<Result<Keys>>(blocking_, std::move(list));
    Result<> announced = {};
    if (listed) {
      announced = co_await announce_expiring(*std::move(listed));
    } else {
      announced = std::unexpected(listed.error());
    }
    if (!announced) {
      log::error("webhooks: keys that end could not be announced",
                 {{"error", announced.error().message}});
      co_return false;
    }
    next_round_ms_ = clock_.unix_ms() + kRoundMs;
    co_return true;
  }

  // In pieces: between two of them what others ask of the database's thread is done.
  asio::awaitable<Result<>> announce_expiring(Keys keys) {
    const auto shared = std::make_shared<const Keys>(std::move(keys));
    for (std::size_t at = 0; at < shared->size() && !stopping_;) {
      std::move_only_function<Result<std::size_t>()> announce = [this, shared, at] {
        return webhooks_.announce_expiring(*shared, at);
      };
      const Result<std::size_t> next =
          co_await run_blocking<Result<std::size_t>>(blocking_, std::move(announce));
      if (!next) {
        co_return std::unexpected(next.error());
      }
      at = *next;
    }
    std::move_only_function<Result<>()> prune = [this] { return webhooks_.prune(); };
    const Result<> pruned = co_await run_blocking<Result<>>(blocking_, std::move(prune));
    co_return pruned;
  }

  // Begins to send what is due; how long to wait before it is asked for again.
  asio::awaitable<std::int64_t> send_due() {
    const std::size_t room =
        options_.in_flight_max - std::min(options_.in_flight_max, busy_.size());
    std::move_only_function<Result<webhook::DueJobs>()> work = [this, room, busy = busy_] {
      return webhooks_.take_due(room, busy);
    };
    Result<webhook::DueJobs> due =
        co_await run_blocking<Result<webhook::DueJobs>>(blocking_, std::move(work));
    if (!due) {
      log::error("webhooks: what waits could not be read", {{"error", due.error().message}});
      co_return kTroubleMs;
    }
    for (webhook::Job& job : due->jobs) {
      busy_.emplace(job.row.webhook_id, job.row.tenant);
      asio::co_spawn(context_, send(std::move(job)), [](const std::exception_ptr& failure) {
        if (failure) {
          log::error("a webhook's message ended with an exception");
        }
      });
    }
    if (due->next_ms == 0) {
      co_return kRoundMs;
    }
    co_return std::clamp(due->next_ms - clock_.unix_ms(), kShortestWaitMs, kRoundMs);
  }

  asio::awaitable<void> send(webhook::Job job) {
    const std::string webhook_id = job.row.webhook_id;
    webhook::Outcome outcome = co_await deliver(job);
    if (!outcome.error.empty()) {
      log::warn("a webhook was not reached", {{"webhook", webhook_id}, {"error", outcome.error}});
    }
    const auto shared = std::make_shared<const webhook::Job>(std::move(job));
    // Until it is on record the webhook gets nothing further: it would get this one again.
    for (bool kept = false; !kept && !stopping_;) {
      kept = co_await note(shared, outcome);
    }
    busy_.erase(webhook_id);
    woken_ = true;
    timer_.cancel();
  }

  asio::awaitable<bool> note(std::shared_ptr<const webhook::Job> job, webhook::Outcome outcome) {
    std::move_only_function<Result<>()> work = [this, job, outcome] {
      return webhooks_.note(*job, outcome);
    };
    const Result<> noted = co_await run_blocking<Result<>>(blocking_, std::move(work));
    if (!noted) {
      log::error("webhooks: what became of a message could not be kept",
                 {{"webhook", job->row.webhook_id}, {"error", noted.error().message}});
      asio::steady_timer pause(context_);
      pause.expires_after(kNoteAgain);
      co_await pause.async_wait(kAwait);
    }
    co_return noted.has_value();
  }

  asio::awaitable<webhook::Outcome> deliver(const webhook::Job& job) {
    const auto address = webhook::parse_url(job.url);
    if (!address) {
      co_return webhook::Outcome{.error = address.error().message};
    }
    Request request = make_request(job, *address, clock_);
    // One bound over all of it, from here to the status line.
    const std::chrono::seconds patience(options_.timeout_s);
    const Deadline deadline = deadline_in(context_.get_executor(), patience);
    const Result<NameLookup::Addresses> found =
        co_await names_.look_up(job.row.tenant, address->host, patience);
    if (!found) {
      co_return webhook::Outcome{.error = "resolve: " + found.error().message};
    }
    const std::vector<Tcp::endpoint> endpoints = allowed_endpoints(*found, *address, job.reach);
    if (endpoints.empty()) {
      co_return webhook::Outcome{.error = "the name leads to where this webhook may not go"};
    }
    TlsClientStream stream(context_, *tls_);
    beast::tcp_stream& lowest = stream.next_layer();
    lowest.expires_at(deadline);
    auto [connect_error, endpoint] = co_await lowest.async_connect(endpoints, kAwait);
    if (connect_error) {
      co_return failed("connect", connect_error);
    }
    if (!address->tls) {
      webhook::Outcome outcome = co_await exchange(lowest, std::move(request), deadline);
      co_return outcome;
    }
    webhook::Outcome outcome =
        co_await exchange_over_tls(stream, *address, std::move(request), deadline);
    co_return outcome;
  }

  static asio::awaitable<webhook::Outcome> exchange_over_tls(TlsClientStream& stream,
                                                             const webhook::Address& address,
                                                             Request request, Deadline deadline) {
    const boost::system::error_code error = co_await verified_handshake(stream, address.host);
    if (error) {
      co_return failed("TLS", error);
    }
    webhook::Outcome outcome = co_await exchange(stream, std::move(request), deadline);
    co_return outcome;
  }

  webhook::WebhookService& webhooks_;
  const ListKeys keys_;
  asio::thread_pool& blocking_;
  const Clock& clock_;
  const WebhookSenderOptions options_;
  const std::shared_ptr<ssl::context> tls_;
  asio::io_context context_{1};
  NameLookup names_;
  // Of the context's thread.
  asio::steady_timer timer_;
  webhook::OnTheirWay busy_;
  UnixMillis next_round_ms_ = 0;
  bool woken_ = false;
  bool stopping_ = false;
  std::promise<void> ended_;
  std::thread thread_;
};

WebhookSender::WebhookSender(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WebhookSender::~WebhookSender() {
  impl_->stop();
}
void WebhookSender::stop() {
  impl_->stop();
}

Result<std::unique_ptr<WebhookSender>> WebhookSender::start(webhook::WebhookService& webhooks,
                                                            ListKeys keys,
                                                            asio::thread_pool& blocking,
                                                            const Clock& clock,
                                                            WebhookSenderOptions options) {
  auto tls = tls_client_context(options.ca_file);
  if (!tls) {
    return fail(tls.error().code, "webhooks.ca_file: " + tls.error().message);
  }
  auto impl = std::make_unique<Impl>(webhooks, std::move(keys), blocking, clock, std::move(options),
                                     std::make_shared<ssl::context>(*std::move(tls)));
  impl->start();
  return std::unique_ptr<WebhookSender>(new WebhookSender(std::move(impl)));
}

void WebhookSender::wake() {
  impl_->wake();
}

}  // namespace deepmoat::gateway
