// For this module's tests: a client that sends and reads bytes as they are.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"

namespace deepmoat::gateway {

// One connection. Every wait ends after a while, so that a test fails rather than hangs.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  explicit RawClient(const std::filesystem::path& path)
      : socket_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (put <= 0) {
        return;  // the server has closed; what it answered says why
      }
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
  }
  void end_sending() { ::shutdown(socket_.get(), SHUT_WR); }
  void close() { socket_.reset(); }

  // Everything up to the server's close.
  std::string rest() {
    while (receive()) {
    }
    return std::exchange(received_, "");
  }
  std::string until(std::string_view text) {
    std::size_t at = 0;
    while ((at = received_.find(text)) == std::string::npos) {
      if (!receive()) {
        ADD_FAILURE() << "no \"" << text << "\" in: " << received_;
        return std::exchange(received_, "");
      }
    }
    std::string taken = received_.substr(0, at + text.size());
    received_.erase(0, taken.size());
    return taken;
  }
  // A head, and the body that its Content-Length frames.
  std::string answer() {
    const std::string head = until("\r\n\r\n");
    const std::size_t at = head.find("Content-Length: ");
    return head + (at == std::string::npos ? "" : bytes(std::stoul(head.substr(at + 16))));
  }
  std::string bytes(std::size_t count) {
    while (received_.size() < count && receive()) {
    }
    std::string taken = received_.substr(0, count);
    received_.erase(0, taken.size());
    return taken;
  }

 private:
  void connect_to(const sockaddr* address, socklen_t length) {
    const timeval patience{60, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(::connect(socket_.get(), address, length), 0);
  }
  bool receive() {
    char buffer[4096];
    const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (got > 0) {
      received_.append(buffer, static_cast<std::size_t>(got));
    }
    EXPECT_FALSE(got < 0 && errno == EAGAIN) << "the server neither answers nor closes";
    return got > 0;
  }

  UniqueFd socket_;
  std::string received_;
};

inline std::uint16_t free_port() {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
  ::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

// What a call was answered with; the body of a stream is not JSON and so discarded.
struct Answer {
  int status = 0;
  nlohmann::json body;

  [[nodiscard]] std::string code() const { return body.at("error").at("code"); }
};

// One call with a key or a session's token; empty: none.
inline Answer answer_of(RawClient client, const std::string& method, const std::string& path,
                        const std::string& token, const nlohmann::json& body) {
  const std::string text = body.is_null() ? "" : body.dump();
  client.send(fmt::format("{} {} HTTP/1.1\r\nHost: a\r\n{}Content-Length: {}\r\n\r\n{}", method,
                          path, token.empty() ? "" : "Authorization: Bearer " + token + "\r\n",
                          text.size(), text));
  const std::string answer = client.answer();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 ")) << method << " " << path;
  return {std::stoi(answer.substr(9, 3)),
          nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4), nullptr, false)};
}

}  // namespace deepmoat::gateway
