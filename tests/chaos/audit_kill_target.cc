// The program that audit_kill.py kills. `append FOLDER COUNT` appends, prints each acknowledged
// sequence and takes checkpoints into FOLDER-second too; `retain FOLDER` deletes the text of all
// records that it may; `verify FOLDER` prints the number of good records, 1 for a torn tail and the
// number of records without text.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>

#include "audit/checkpointer.h"
#include "audit/retention.h"
#include "audit/segment.h"
#include "base/file.h"
#include "verifier/log.h"

namespace {

namespace audit = deepmoat::audit;
namespace verifier = deepmoat::verifier;
namespace fs = std::filesystem;
using deepmoat::Result;

constexpr const char* kOrigin = "deepmoat/chaos";
constexpr std::uint64_t kSegmentBytes = 8 * 1024;

// One write a line: what the log acknowledged is in the pipe before the next append.
bool print_line(const std::string& line) {
  const std::string text = line + "\n";
  return ::write(STDOUT_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

deepmoat::transparency::NoteSigner make_signer() {
  auto key =
      deepmoat::crypto::SigningKey::from_seed(deepmoat::Secret::copy_of(std::string(32, 'k')));
  return deepmoat::transparency::NoteSigner::make(kOrigin, std::move(*key), std::nullopt).value();
}

fs::path second_of(const fs::path& folder) {
  return folder.string() + "-second";
}

std::vector<std::unique_ptr<audit::CheckpointPlace>> places_of(const fs::path& folder) {
  std::vector<std::unique_ptr<audit::CheckpointPlace>> places;
  places.push_back(audit::directory_place(second_of(folder), kOrigin));
  return places;
}

Result<> append(const fs::path& folder, int count) {
  const deepmoat::SystemClock clock;
  const auto signer = make_signer();
  audit::LogOptions options{.directory = folder, .segment_bytes = kSegmentBytes};
  TRY(options.known_checkpoints, audit::known_checkpoints(folder, places_of(folder), signer));
  TRY(const auto log, audit::Log::open(options, clock));
  audit::Checkpointer checkpointer(*log, signer, places_of(folder), clock);
  for (int i = 0; i < count; ++i) {
    audit::Record record;
    record.request_id = fmt::format("req_{}", i);
    record.resource = std::string(200, 'r');
    TRY(const std::uint64_t sequence, log->append_and_wait(std::move(record)));
    print_line(fmt::format("{}", sequence));
    if (i % 10 == 9) {
      CHECK_OK(checkpointer.covering(sequence));
    }
  }
  return {};
}

Result<> retain(const fs::path& folder) {
  const audit::RetentionPolicy policy;
  const audit::RetentionOptions options{.directory = folder,
                                        .now_ms = 4'000'000'000'000};  // all is over by then
  CHECK_OK(audit::remove_unfinished_segments(folder));
  TRY(const audit::RetentionReport report,
      audit::delete_expired(options, policy, nullptr, [](const auto&) { return Result<>(); }));
  print_line(fmt::format("{}", report.removed));
  return {};
}

int verify(const fs::path& folder) {
  verifier::LogOptions options;
  options.tiles = true;
  std::string note;
  for (const fs::path& path :
       {folder / "checkpoint", second_of(folder) / "deepmoat_chaos.checkpoint"}) {
    if (fs::exists(path)) {
      options.keys = {verifier::parse_key(make_signer().verifier_key()).value()};
      options.checkpoints.push_back({path.string(), deepmoat::read_file(path, 64 * 1024).value()});
    }
  }
  const auto report = verifier::verify_log(folder, options);
  if (!report) {
    print_line(report.error().message);
    return 2;
  }
  print_line(fmt::format("{} {} {}", report->records, report->torn_tail ? 1 : 0, report->stubs));
  print_line(describe(*report));
  return report->intact() ? 0 : 1;
}

int exit_status(const Result<>& done) {
  if (!done) {
    print_line(done.error().message);
  }
  return done ? 0 : 3;
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
    return exit_status(append(argv[2], count));
  }
  if (command == "retain") {
    return exit_status(retain(argv[2]));
  }
  if (command == "verify") {
    return verify(argv[2]);
  }
  print_line("use: audit_kill_target append FOLDER COUNT | retain FOLDER | verify FOLDER");
  return 64;
}
