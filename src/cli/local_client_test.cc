#include "cli/local_client.h"

#include <gtest/gtest.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <optional>
#include <thread>

#include "base/scratch_folder.h"
#include "gateway/routes.h"

namespace deepmoat::cli {
namespace {

namespace asio = boost::asio;
using Local = asio::local::stream_protocol;

// Takes one request and answers with `answer`; without one it holds the connection and is silent.
class OneAnswer {
 public:
  OneAnswer(const DataFolder& folder, std::optional<std::string> answer)
      : acceptor_(context_, Local::endpoint(folder.socket().string())),
        thread_([this, answer = std::move(answer)] {
          Local::socket socket(context_);
          boost::system::error_code error;
          acceptor_.accept(socket, error);
          asio::read_until(socket, asio::dynamic_buffer(request_), "\r\n\r\n", error);
          if (answer) {
            asio::write(socket, asio::buffer(*answer), error);
            return;
          }
          char more = 0;
          socket.read_some(asio::buffer(&more, 1), error);  // until the client gives up
        }) {}
  ~OneAnswer() { wait(); }

  const std::string& request() {
    wait();
    return request_;
  }

 private:
  void wait() {
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  asio::io_context context_;
  Local::acceptor acceptor_;
  std::string request_;
  std::thread thread_;
};

TEST(LocalClient, SaysWhatTheServerSaid) {
  const ScratchFolder scratch;
  const DataFolder folder(scratch.path());
  OneAnswer server(folder, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
  const auto answer = ask_server(folder, "GET", admin_path({"keys"}), "");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->at("a"), 1);
  EXPECT_TRUE(server.request().starts_with("GET /admin/v1/keys HTTP/1.1\r\n"));
}

TEST(LocalClient, ARefusalIsItsMessage) {
  const ScratchFolder scratch;
  const DataFolder folder(scratch.path());
  const OneAnswer server(folder,
                         "HTTP/1.1 404 Not Found\r\nContent-Length: 38\r\n\r\n"
                         "{\"error\":{\"message\":\"no such thing\"}}\n");
  const auto answer = ask_server(folder, "GET", admin_path({"keys", "x"}), "");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::not_found);
  EXPECT_EQ(answer.error().message, "no such thing");
}

// Without an end of its patience this test would have none either.
TEST(LocalClient, AServerThatIsSilentIsNotWaitedForForEver) {
  const ScratchFolder scratch;
  const DataFolder folder(scratch.path());
  const OneAnswer server(folder, std::nullopt);
  const auto answer =
      ask_server(folder, "GET", admin_path({"keys"}), "", "", std::chrono::seconds(1));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::timeout);
}

TEST(LocalClient, NobodyOnTheSocket) {
  const ScratchFolder scratch;
  const auto answer = ask_server(DataFolder(scratch.path()), "GET", admin_path({"keys"}), "");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::unavailable);
}

// No argument of a person ends its segment, the path or the request; the server reads it whole.
TEST(LocalClient, AnArgumentStaysOneSegment) {
  EXPECT_EQ(admin_path({"keys", "key_0123-a.b~", "revoke"}), "/admin/v1/keys/key_0123-a.b~/revoke");
  for (const std::string argument :
       {"a/b", "a?b", "a#b", "a b", "%2e", "密钥", "..", "\x9b",
        "x HTTP/1.1\r\nHost: a\r\n\r\nPOST /admin/v1/keys HTTP/1.1\r\nHost: a\r\n\r\n"}) {
    const std::string path = admin_path({"keys", argument, "revoke"});
    EXPECT_EQ(path.find_first_of(" \r\n?#"), std::string::npos) << path;
    const auto target = boost::urls::parse_origin_form(path);
    ASSERT_TRUE(target) << path;
    const gateway::RouteMatch match = gateway::match_route("POST", target->path());
    ASSERT_NE(match.route, nullptr) << path;
    EXPECT_EQ(match.route->handler, gateway::Handler::revoke_key);
    EXPECT_EQ(match.argument, argument);
  }
}

}  // namespace
}  // namespace deepmoat::cli
