// What one key did, counted from the audit log: the report of an incident. Reads the log beside a
// running server, record by record; no index, and the memory of some thousands of counters.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_set>
#include <vector>

#include "audit/record_json.h"
#include "base/clock.h"
#include "base/result.h"
#include "crypto/digest.h"

namespace deepmoat::audit {

// Values of one dimension that are counted apart; further ones go under "(others)".
inline constexpr std::size_t kUsageValuesMax = 1000;
inline constexpr std::size_t kUsageChangesMax = 1000;

struct UsageCount {
  std::string value;  // of the dimension: a day, a model, ...
  std::uint64_t calls = 0;
  std::uint64_t tokens_in = 0;
  std::uint64_t tokens_out = 0;
  std::uint64_t bytes_out = 0;
  UnixMillis first_ms = 0;
  UnixMillis last_ms = 0;
};

// Something that the key changed: a key that it made, a model that it loaded.
struct UsageChange {
  UnixMillis unix_ms = 0;
  std::string action;
  std::string resource;
  std::string outcome;
};

struct KeyUsage {
  UnixMillis since_ms = 0;
  UsageCount total;              // of calls with a result
  std::uint64_t unfinished = 0;  // calls without one: running when it was read, or cut by a crash
  std::vector<UsageCount> days;  // UTC, "2026-03-01"
  std::vector<UsageCount> models;
  std::vector<UsageCount> routes;
  std::vector<UsageCount> data_classes;
  std::vector<UsageCount> addresses;
  std::vector<UsageCount> outcomes;
  std::vector<UsageCount> actions;
  std::vector<UsageCount> egress;  // what went to a route other than "local": "route, data class"
  std::vector<UsageChange> changes;
  std::uint64_t changes_left_out = 0;

  // Where the reading ended: the sequence and the hash of the last record read.
  std::uint64_t last_sequence = 0;
  crypto::Digest last_hash{};
  std::string fault;  // not empty: the log could not be read further; the counts are too low
};

// Adds up entries of one key. Pure.
class KeyUsageCounter {
 public:
  KeyUsageCounter(std::string key_id, UnixMillis since_ms);
  void take(const Entry& entry);
  [[nodiscard]] KeyUsage taken();

 private:
  void take_result(const Record& record);

  std::string key_id_;
  KeyUsage usage_;
  std::unordered_set<std::uint64_t> open_intents_;
};

// Records behind `reach_sequence` that are read at most, so that reading ends on a busy log.
inline constexpr std::uint64_t kUsageReadBeyond = 100'000;

// The records of `since_ms` and later, up to the log's present end. `reach_sequence` is one that is
// known to be there: a log that ends before it is damaged. Never fails: what could not be read is
// in `fault`, so that an emergency goes on with a damaged log. Ends early once `stop` is set.
[[nodiscard]] KeyUsage read_key_usage(const std::filesystem::path& directory,
                                      const std::string& key_id, UnixMillis since_ms,
                                      std::uint64_t reach_sequence,
                                      const std::atomic<bool>* stop = nullptr);

}  // namespace deepmoat::audit
