// How the pipeline answers, without knowing what carries the bytes.
#pragma once

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wire/refusal.h"

namespace deepmoat::gateway {

namespace asio = boost::asio;

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Response {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  Headers headers;
  std::string error_code = {};  // of a refusal; for the audit log and the metrics
  std::string fault = {};       // of a refusal; goes into the server's log when it is sent
};

// The error body of a refusal, with Retry-After and WWW-Authenticate where they belong.
[[nodiscard]] Response to_response(const wire::Refusal& refusal,
                                   wire::ErrorShape shape = wire::ErrorShape::openai,
                                   std::string_view request_id = "");

// One answer on one connection. Used by one coroutine. After a false the client is gone and
// further calls do nothing.
class Responder {
 public:
  virtual ~Responder() = default;

  virtual asio::awaitable<bool> send(Response response) = 0;

  // A streamed answer: headers, then any number of pieces, then the end.
  virtual asio::awaitable<bool> begin_stream(Headers headers) = 0;
  virtual asio::awaitable<bool> stream(std::string bytes) = 0;
  // `complete` false: the connection is closed without the last chunk, so that the client sees a
  // cut stream rather than a whole one.
  virtual asio::awaitable<bool> end_stream(bool complete) = 0;

  // Headers of this answer, whatever it becomes.
  virtual void add_headers(Headers headers) = 0;

  // Calls `gone` once if the client closes the connection before the answer is whole.
  virtual void watch(std::function<void()> gone) = 0;

  [[nodiscard]] virtual std::uint64_t bytes_sent() const = 0;
};

}  // namespace deepmoat::gateway
