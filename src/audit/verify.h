// Checks a whole audit log from its bytes alone: shares the format with the log, not its code,
// state or lock, so it also runs beside a serving gateway.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace deepmoat::audit {

// The first thing that is wrong.
struct FirstBad {
  std::string segment;         // file name; empty when the folder itself is wrong
  std::uint64_t sequence = 0;  // of the record that should stand there
  std::uint64_t offset = 0;    // bytes from the start of the file
  std::string why;
};

// What an interrupted last commit left behind the last whole record; the next start of the server
// cuts it off. Nobody was answered on it, if nobody altered the end of the log: only a checkpoint
// kept elsewhere can tell these two apart.
struct TornTail {
  std::string segment;
  std::uint64_t offset = 0;
  std::uint64_t whole_records = 0;  // whole records of that commit, behind the tear
  std::string why;
};

struct VerifyReport {
  std::uint64_t segments = 0;  // with records; a blank spare does not count
  std::uint64_t records = 0;   // good ones, from the first on
  UnixMillis first_unix_ms = 0;
  UnixMillis last_unix_ms = 0;
  std::string last_hash_hex;  // of the last good record; zeros when there is none
  std::optional<TornTail> torn_tail;
  std::optional<FirstBad> bad;

  // Calls that were running when the server died, or are running now: intents without a result.
  std::uint64_t unfinished = 0;
  std::vector<std::uint64_t> unfinished_first;  // the first 20 of them, by sequence

  [[nodiscard]] bool intact() const { return !bad.has_value(); }
};

// Told after each segment: bytes done and bytes in all.
using VerifyProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Reads everything once and stops at the first bad record. An alteration is a report with `bad`
// set; an error is only that the log could not be read: Code::not_found without the folder,
// Code::io. Any thread; needs the memory of one segment.
[[nodiscard]] Result<VerifyReport> verify(const std::filesystem::path& directory,
                                          const VerifyProgress& progress = {});

// The report for a person: a few lines, the last of which sums it up. No line end at the end.
[[nodiscard]] std::string describe(const VerifyReport& report);

}  // namespace deepmoat::audit
