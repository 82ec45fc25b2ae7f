// Sends what waits for webhooks, from a thread of its own: a POST each, signed, over verified TLS
// (or to this machine), with a deadline, without following redirects. What became of it goes back
// to the WebhookService, which decides when it is tried again.
#pragma once

#include <boost/asio/thread_pool.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "identity/key_service.h"
#include "webhook/service.h"

namespace deepmoat::gateway {

struct WebhookSenderOptions {
  std::string ca_file;  // authorities that receivers are checked against; empty: the system's
  std::size_t in_flight_max = 16;  // messages at once, one of a webhook
  std::int64_t timeout_s = 10;     // from the name's resolution to the status line
};

class WebhookSender {
 public:
  using ListKeys = std::function<Result<std::vector<identity::KeyInfo>>()>;

  // `webhooks` and `keys` (all keys, for notices of those that end) are called on `blocking` only.
  // All outlive it. Code::invalid_argument when `ca_file` does not load.
  static Result<std::unique_ptr<WebhookSender>> start(webhook::WebhookService& webhooks,
                                                      ListKeys keys,
                                                      boost::asio::thread_pool& blocking,
                                                      const Clock& clock,
                                                      WebhookSenderOptions options);
  // `blocking` must have ended before: its work answers to this.
  ~WebhookSender();
  WebhookSender(const WebhookSender&) = delete;
  WebhookSender& operator=(const WebhookSender&) = delete;

  // Something new waits. Any thread.
  void wake();

  // Gives what is on its way a few seconds; the rest is sent after the next start.
  void stop();

 private:
  class Impl;
  explicit WebhookSender(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace deepmoat::gateway
