#include "cli/local_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

#include <fmt/format.h>

#include "base/file.h"
#include "base/local_socket_path.h"
#include "cli/command.h"

namespace deepmoat::cli {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

constexpr const char* kWaitingForApproval = "waiting_for_approval";
constexpr std::uint64_t kAnswerBytesMax = 64 * 1024 * 1024;

Code code_of(unsigned status) {
  switch (status) {
    case 400:
      return Code::invalid_argument;
    case 403:
      return Code::permission_denied;
    case 404:
      return Code::not_found;
    case 409:
      return Code::already_exists;
    default:
      return Code::unavailable;
  }
}

// Nothing was done: for a script that is no success, and a person is told what comes next. Whoever
// asked through the socket is the machine, so the second person comes with a key.
std::string waiting_text(const nlohmann::ordered_json& answer) {
  const auto text = [&answer](const char* pointer) {
    return answer.value(nlohmann::ordered_json::json_pointer(pointer), std::string());
  };
  const std::string resource = text("/approval/resource");
  return fmt::format(
      "nothing is done yet: {}{}{} waits for a second person, until {} UTC. Another administrator "
      "approves it, with a key: POST /admin/v1/approvals/{}/approve",
      text("/approval/action"), resource.empty() ? "" : " ", resource,
      format_date(answer.value("/approval/expires_at"_json_pointer, std::int64_t{0})),
      text("/approval/id"));
}

Result<nlohmann::ordered_json> read_answer(const http::response<http::string_body>& response) {
  auto json = nlohmann::ordered_json::parse(response.body(), nullptr, false);
  if (json.is_discarded()) {
    return fail(Code::corrupt, "the server's answer is not JSON");
  }
  if (response.result_int() >= 400) {
    const std::string message =
        json.value("/error/message"_json_pointer, std::string("the server refused"));
    return fail(code_of(response.result_int()), message);
  }
  if (json.is_object() && json.contains("state") && json["state"] == kWaitingForApproval) {
    return fail(Code::unavailable, waiting_text(json));
  }
  return json;
}

}  // namespace

std::string admin_path(std::initializer_list<std::string_view> segments) {
  std::string path = "/admin/v1";
  for (const std::string_view segment : segments) {
    path += '/';
    path += boost::urls::encode({segment.data(), segment.size()}, boost::urls::unreserved_chars);
  }
  return path;
}

Result<nlohmann::ordered_json> ask_server(const DataFolder& folder, const std::string& method,
                                          const std::string& path, const std::string& body,
                                          std::string_view key, std::chrono::seconds patience) {
  asio::io_context context;
  boost::beast::basic_stream<asio::local::stream_protocol> stream(context);
  boost::system::error_code error;
  {
    TRY(const LocalSocketPath address, LocalSocketPath::enter(folder.socket()));
    stream.socket().connect(address.text(), error);
  }
  if (error) {
    const int holder = holder_of_lock(folder.lock());
    return fail(Code::unavailable,
                fmt::format("{} holds {} but does not answer on its socket: {}; wait for it to "
                            "start or end",
                            holder > 0 ? fmt::format("process {}", holder) : "a process",
                            folder.root().string(), error.message()));
  }
  http::request<http::string_body> request;
  request.method_string(method);
  request.target(path);
  request.version(11);
  request.set(http::field::host, "localhost");
  if (!key.empty()) {
    request.set("x-api-key", boost::beast::string_view(key.data(), key.size()));
  }
  request.body() = body;
  request.prepare_payload();
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kAnswerBytesMax);
  // Asynchronous, because only such operations know the stream's deadline.
  stream.expires_after(patience);
  http::async_write(stream, request, [&](boost::system::error_code write_error, std::size_t) {
    error = write_error;
    if (!error) {
      http::async_read(
          stream, buffer, parser,
          [&](boost::system::error_code read_error, std::size_t) { error = read_error; });
    }
  });
  context.run();
  if (error == boost::beast::error::timeout) {
    return fail(Code::timeout, fmt::format("the server did not answer within {} s; it may still be "
                                           "doing what it was asked",
                                           patience.count()));
  }
  if (error) {
    return fail(Code::unavailable, "the server did not answer: " + error.message());
  }
  return read_answer(parser.get());
}

}  // namespace deepmoat::cli
