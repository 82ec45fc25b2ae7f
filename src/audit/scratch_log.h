// For this module's tests: a folder that goes away, records that differ, and short-hands.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "audit/log.h"
#include "audit/record_json.h"
#include "audit/segment.h"
#include "audit/tail.h"
#include "verifier/log.h"

namespace deepmoat::audit {

class ScratchFolder {
 public:
  ScratchFolder() {
    // In memory where that is offered: no test here cuts the power, and thousands of syncs are
    // slow.
    std::string name = (::access("/dev/shm", W_OK) == 0 ? std::filesystem::path("/dev/shm")
                                                        : std::filesystem::temp_directory_path()) /
                       "deepmoat-audit-XXXXXX";
    const char* const made = ::mkdtemp(name.data());
    EXPECT_NE(made, nullptr) << name;
    path_ = made == nullptr ? "" : made;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path log() const { return path_ / "audit"; }
  [[nodiscard]] std::filesystem::path segment(std::uint64_t number) const {
    return log() / segment_name(number);
  }

 private:
  std::filesystem::path path_;
};

inline Record sample_record(std::uint64_t i) {
  Record record;
  record.phase = i % 2 == 0 ? Phase::intent : Phase::result;
  record.outcome = i % 2 == 0 ? Outcome::pending : Outcome::success;
  record.request_id = "req_" + std::to_string(i);
  record.tenant = "tenant-" + std::to_string(i % 7);
  record.action = "chat.completions";
  record.tokens_in = i * 3;
  return record;
}

inline std::unique_ptr<Log> open_log(const ScratchFolder& folder, const Clock& clock,
                                     std::uint64_t segment_bytes = kSegmentBytesMin) {
  auto log = Log::open({.directory = folder.log(), .segment_bytes = segment_bytes}, clock);
  EXPECT_TRUE(log.has_value()) << (log ? "" : log.error().message);
  return log ? std::move(*log) : nullptr;
}

// Appends records first..first+count-1, one commit each.
inline void append_records(Log& log, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t i = first; i < first + count; ++i) {
    const auto sequence = log.append_and_wait(sample_record(i));
    ASSERT_TRUE(sequence.has_value()) << sequence.error().message;
    ASSERT_EQ(*sequence, i);
  }
}

inline std::vector<Entry> all_entries(const ScratchFolder& folder) {
  std::vector<Entry> entries;
  TailReader reader(folder.log());
  const auto count = reader.poll([&](const Entry& entry) { entries.push_back(entry); });
  EXPECT_TRUE(count.has_value()) << (count ? "" : count.error().message);
  return entries;
}

// By the independent verifier.
inline verifier::LogReport verified_folder(const std::filesystem::path& folder) {
  auto report = verifier::verify_log(folder);
  EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
  return report ? *report : verifier::LogReport{};
}

inline verifier::LogReport verified(const ScratchFolder& folder) {
  return verified_folder(folder.log());
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace deepmoat::audit
