// audit_bench FOLDER [--seconds N] [--rounds N] [--writers A,B,C]: durable records a second and
// latency of the audit log as the server runs it, beside SQLite; then what the log that the most
// writers have left is like, and how fast the verifier reads it. FOLDER must be on the disk to
// measure and is used up: give a new one. Contenders take turns within a round; of several rounds
// the table of medians is what counts.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "after_run.h"
#include "audit/record_json.h"
#include "base/file.h"
#include "load.h"
#include "product_log.h"
#include "sqlite_log.h"

namespace deepmoat::audit {
namespace {

struct Arguments {
  std::filesystem::path folder;
  double seconds = 3;
  int rounds = 1;
  std::vector<unsigned> writers{1, 8, 64};
};

// What a writer is: a thread that blocks, or, as in the server, one of many that an event loop has
// under way.
enum class Contender : std::uint8_t { log, sqlite, log_sm3, log_loops, sqlite_loops, log_signed };
constexpr unsigned kLoops = 2;

constexpr std::string_view name_of(Contender contender) {
  switch (contender) {
    case Contender::log:
      return "audit log";
    case Contender::log_sm3:
      return "audit log, SM3 too";
    case Contender::log_signed:
      return "audit log, signed";
    case Contender::log_loops:
      return "audit log, 2 loops";
    case Contender::sqlite:
      return "SQLite WAL";
    case Contender::sqlite_loops:
      return "SQLite WAL, 2 loops";
  }
  return "";
}

std::filesystem::path folder_of(const Arguments& arguments, Contender contender) {
  return arguments.folder / (contender == Contender::log_sm3      ? "both"
                             : contender == Contender::log_signed ? "signed"
                             : contender == Contender::log_loops  ? "loops"
                                                                  : "sha256");
}

// What the run before left in memory must not be written during this one.
void settle(const std::filesystem::path& folder) {
  const UniqueFd opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY));
  ::syncfs(opened.get());
}

std::optional<Figures> measure_log(const Arguments& arguments, Contender contender,
                                   unsigned writers) {
  const SystemClock clock;
  auto product = ProductLog::open(
      {.folder = folder_of(arguments, contender), .sm = contender == Contender::log_sm3}, clock);
  if (!product) {
    fmt::print(stderr, "{}\n", product.error().message);
    return std::nullopt;
  }
  Log& log = (*product)->log();
  Checkpointer& checkpointer = (*product)->checkpointer();
  const Load load{.threads = writers, .seconds = arguments.seconds};
  if (contender == Contender::log_loops) {
    return run_loops(load, std::min(kLoops, writers), [&](std::function<void(bool)> done) {
      log.append(call_record(), [done = std::move(done)](const Result<std::uint64_t>& sequence) {
        done(sequence.has_value());
      });
    });
  }
  return run_load(load, [&]() -> Act {
    return [&, record = call_record()] {
      const auto sequence = log.append_and_wait(record);
      return sequence && (contender != Contender::log_signed || checkpointer.covering(*sequence));
    };
  });
}

std::optional<Figures> measure(const Arguments& arguments, Contender contender, unsigned writers) {
  settle(arguments.folder);
  if (contender != Contender::sqlite && contender != Contender::sqlite_loops) {
    return measure_log(arguments, contender, writers);
  }
  SqliteLog log((arguments.folder / fmt::format("sqlite-{}.db", writers)).string());
  const Load load{.threads = writers, .seconds = arguments.seconds};
  if (contender == Contender::sqlite_loops) {
    return run_loops(load, std::min(kLoops, writers), [&](std::function<void(bool)> done) {
      log.append(call_record(), std::move(done));
    });
  }
  return run_load(load, [&]() -> Act {
    return [&, record = call_record()] { return log.append_and_wait(record); };
  });
}

bool run_rounds(const Arguments& arguments) {
  std::map<std::pair<unsigned, Contender>, std::vector<Figures>> taken;
  for (int round = 0; round < arguments.rounds; ++round) {
    fmt::print("round {}\n", round + 1);
    print_header("writers", "records/s");
    for (const unsigned writers : arguments.writers) {
      for (const Contender contender :
           {Contender::log, Contender::sqlite, Contender::log_sm3, Contender::log_loops,
            Contender::sqlite_loops, Contender::log_signed}) {
        const auto figures = measure(arguments, contender, writers);
        if (!figures) {
          return false;
        }
        print_row(name_of(contender), writers, *figures);
        taken[{writers, contender}].push_back(*figures);
      }
    }
  }
  if (arguments.rounds > 1) {
    fmt::print("medians of {} rounds\n", arguments.rounds);
    print_header("writers", "records/s");
    for (const auto& [key, rounds] : taken) {
      print_row(name_of(key.second), key.first, median(rounds));
    }
  }
  return true;
}

Result<> run_after(const Arguments& arguments) {
  const SystemClock clock;
  for (const bool sm : {false, true}) {
    const std::filesystem::path folder =
        folder_of(arguments, sm ? Contender::log_sm3 : Contender::log);
    {
      TRY(const auto product, ProductLog::open({.folder = folder, .sm = sm}, clock));
      fmt::print("\n{}\n", name_of(sm ? Contender::log_sm3 : Contender::log));
      CHECK_OK(describe_log(*product));
    }
    CHECK_OK(measure_verifier(folder / "log", sm));
  }
  return {};
}

bool run(const Arguments& arguments) {
  fmt::print("a body has {} bytes, its frame {}\n", encode_record(call_record()).size(),
             encode_record(call_record()).size() + kFrameBytesMin);
  if (!run_rounds(arguments)) {
    return false;
  }
  const Result<> after = run_after(arguments);
  if (!after) {
    fmt::print(stderr, "{}\n", after.error().message);
  }
  return after.has_value();
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
  return std::from_chars(text.data(), text.data() + text.size(), number).ptr ==
         text.data() + text.size();
}

bool read_writers(std::string_view text, std::vector<unsigned>& writers) {
  writers.clear();
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (!read_number(text.substr(0, comma), writers.emplace_back())) {
      return false;
    }
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return !writers.empty() && std::ranges::min(writers) > 0;
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
    const bool read = name == "--seconds"   ? read_number(value, arguments.seconds)
                      : name == "--rounds"  ? read_number(value, arguments.rounds)
                      : name == "--writers" ? read_writers(value, arguments.writers)
                                            : false;
    if (!read) {
      return std::nullopt;
    }
  }
  return arguments.rounds > 0 ? std::optional(arguments) : std::nullopt;
}

}  // namespace
}  // namespace deepmoat::audit

int main(int argc, char** argv) {
  const auto arguments = deepmoat::audit::read_arguments(argc, argv);
  if (!arguments) {
    fmt::print(stderr, "use: audit_bench FOLDER [--seconds N] [--rounds N] [--writers A,B,C]\n");
    return 64;
  }
  std::error_code error;
  std::filesystem::create_directories(arguments->folder, error);
  return !error && deepmoat::audit::run(*arguments) ? 0 : 1;
}
