// call_latency FOLDER [--seconds N] [--rounds N] [--pause_ms N]: what the audit log adds to a call.
// The same call of a gateway in this process, whose backend answers at once, with the log on the
// disk of FOLDER and with a log whose writes and syncs do nothing; the two take turns. FOLDER is
// used up: give a new one. `--pause_ms`: how long a connection rests after a call; with 0 the
// clients, who share this process, keep the machine busy, and waiting is mostly for the CPU.
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "instant_disk.h"
#include "load.h"
#include "scratch_gateway.h"

namespace deepmoat::bench {
namespace {

using audit::Figures;

struct Arguments {
  std::filesystem::path folder;
  double seconds = 3;
  int rounds = 3;
  int pause_ms = 5;
};

// One kept connection that sends the same call again and again.
class Client {
 public:
  Client(std::uint16_t port, const std::string& key) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const std::string body =
        fmt::format(R"({{"model":"demo","messages":[{{"role":"user","content":"{}"}}]}})",
                    std::string(1024, 'x'));
    request_ = fmt::format(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n"
        "Content-Length: {}\r\n\r\n{}",
        key, body.size(), body);
  }

  // False unless the answer is 200.
  bool call() {
    if (::send(socket_.get(), request_.data(), request_.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request_.size())) {
      return false;
    }
    received_.clear();
    std::size_t wanted = std::string::npos;
    while (received_.size() < wanted) {
      char buffer[8192];
      const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
      if (got <= 0) {
        return false;
      }
      received_.append(buffer, static_cast<std::size_t>(got));
      wanted = wanted == std::string::npos ? whole_length() : wanted;
    }
    return received_.starts_with("HTTP/1.1 200");
  }
  [[nodiscard]] const std::string& answer() const { return received_; }

 private:
  // npos as long as the head is not whole.
  [[nodiscard]] std::size_t whole_length() const {
    constexpr std::string_view kLength = "Content-Length: ";
    const std::size_t end = received_.find("\r\n\r\n");
    const std::size_t at = received_.find(kLength);
    if (end == std::string::npos || at > end) {
      return std::string::npos;
    }
    std::size_t length = 0;
    std::from_chars(received_.data() + at + kLength.size(), received_.data() + end, length);
    return end + 4 + length;
  }

  UniqueFd socket_;
  std::string request_;
  std::string received_;
};

std::optional<Figures> run_clients(const ScratchGateway& gateway, unsigned connections,
                                   const Arguments& arguments) {
  const audit::Load load{
      .threads = connections, .seconds = arguments.seconds, .pause_ms = arguments.pause_ms};
  return audit::run_load(load, [&]() -> audit::Act {
    const auto client = std::make_shared<Client>(gateway.port(), gateway.key());
    return [client] {
      const bool good = client->call();
      if (!good) {
        fmt::print(stderr, "a call failed: {}\n", client->answer());
      }
      return good;
    };
  });
}

Result<> run(const Arguments& arguments) {
  CHECK_OK(make_directory(arguments.folder, 0700));
  audit::InstantDisk instant;
  TRY(const auto on_disk, ScratchGateway::start({.folder = arguments.folder / "disk"}));
  TRY(const auto nowhere,
      ScratchGateway::start(
          {.folder = arguments.folder / "nowhere", .disk = &instant, .checkpoints = false}));
  fmt::print("medians of {} rounds of {} s, pause {} ms\n", arguments.rounds, arguments.seconds,
             arguments.pause_ms);
  audit::print_header("connections", "calls/s");
  for (const unsigned connections : {1U, 8U, 32U}) {
    std::vector<Figures> with;
    std::vector<Figures> without;
    for (int round = 0; round < arguments.rounds; ++round) {
      for (const bool disk : {true, false}) {
        const auto figures = run_clients(disk ? *on_disk : *nowhere, connections, arguments);
        if (!figures) {
          return fail(Code::internal, "calls failed");
        }
        (disk ? with : without).push_back(*figures);
      }
    }
    const Figures disk = audit::median(with);
    const Figures none = audit::median(without);
    audit::print_row("log on the disk", connections, disk);
    audit::print_row("no disk", connections, none);
    fmt::print("{:<20} {:>11} {:>10} {:>+9.3f} {:>+9.3f}\n", "difference", connections, "",
               disk.p50_ms - none.p50_ms, disk.p99_ms - none.p99_ms);
  }
  return {};
}

std::optional<Arguments> read_arguments(int argc, char** argv) {
  Arguments arguments;
  if (argc < 2 || argc % 2 != 0) {
    return std::nullopt;
  }
  arguments.folder = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    const auto read = [&](auto& number) {
      const char* const end = value.data() + value.size();
      return std::from_chars(value.data(), end, number).ptr == end;
    };
    const bool good = name == "--seconds"    ? read(arguments.seconds)
                      : name == "--rounds"   ? read(arguments.rounds)
                      : name == "--pause_ms" ? read(arguments.pause_ms)
                                             : false;
    if (!good) {
      return std::nullopt;
    }
  }
  return arguments.rounds > 0 ? std::optional(arguments) : std::nullopt;
}

}  // namespace
}  // namespace deepmoat::bench

int main(int argc, char** argv) {
  const auto arguments = deepmoat::bench::read_arguments(argc, argv);
  if (!arguments) {
    fmt::print(stderr, "use: call_latency FOLDER [--seconds N] [--rounds N] [--pause_ms N]\n");
    return 64;
  }
  const auto done = deepmoat::bench::run(*arguments);
  if (!done) {
    fmt::print(stderr, "{}\n", done.error().message);
    return 1;
  }
  return 0;
}
