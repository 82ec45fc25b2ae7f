// The program that audit_kill.py kills: `append FOLDER COUNT` appends and prints each acknowledged
// sequence; `verify FOLDER` prints the number of good records and 1 for a torn tail.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <string>
#include <string_view>

#include "audit/log.h"
#include "verifier/log.h"

namespace {

using deepmoat::SystemClock;
using deepmoat::audit::Log;
using deepmoat::audit::Record;

// One write a line: what the log acknowledged is in the pipe before the next append.
bool print_line(const std::string& line) {
  const std::string text = line + "\n";
  return ::write(STDOUT_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

int append(std::string_view folder, int count) {
  const SystemClock clock;
  auto log = Log::open({.directory = folder, .segment_bytes = 8 * 1024}, clock);
  if (!log) {
    print_line(log.error().message);
    return 2;
  }
  for (int i = 0; i < count; ++i) {
    Record record;
    record.request_id = fmt::format("req_{}", i);
    record.resource = std::string(200, 'r');
    const auto sequence = (*log)->append_and_wait(std::move(record));
    if (!sequence) {
      print_line(sequence.error().message);
      return 3;
    }
    print_line(fmt::format("{}", *sequence));
  }
  return 0;
}

int verify(std::string_view folder) {
  const auto report = deepmoat::verifier::verify_log(folder);
  if (!report) {
    print_line(report.error().message);
    return 2;
  }
  print_line(fmt::format("{} {}", report->records, report->torn_tail ? 1 : 0));
  print_line(describe(*report));
  return report->intact() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc > 2 ? argv[1] : "";
  int count = 0;
  if (argc > 3) {
    const std::string_view text = argv[3];
    std::from_chars(text.data(), text.data() + text.size(), count);
  }
  if (command == "append") {
    return append(argv[2], count);
  }
  if (command == "verify") {
    return verify(argv[2]);
  }
  print_line("use: audit_kill_target append FOLDER COUNT | verify FOLDER");
  return 64;
}
