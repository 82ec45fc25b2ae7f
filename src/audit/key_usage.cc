#include "audit/key_usage.h"

#include <fmt/format.h>

#include <algorithm>

#include "audit/tail.h"

namespace deepmoat::audit {

namespace {

constexpr std::string_view kOthers = "(others)";
constexpr std::string_view kLocalRoute = "local";
constexpr std::size_t kDayBytes = 10;  // of "2026-03-01T..."
constexpr std::size_t kOpenIntentsMax = 100'000;

void add(UsageCount& count, const Record& record) {
  count.first_ms = count.calls == 0 ? record.unix_ms : std::min(count.first_ms, record.unix_ms);
  count.last_ms = std::max(count.last_ms, record.unix_ms);
  ++count.calls;
  count.tokens_in += record.tokens_in;
  count.tokens_out += record.tokens_out;
  count.bytes_out += record.bytes_out;
}

// Few values in practice, so they are looked for one by one; the newest of them stands last.
void add(std::vector<UsageCount>& counts, std::string_view value, const Record& record) {
  if (value.empty()) {
    return;
  }
  auto found = std::ranges::find(counts, value, &UsageCount::value);
  if (found == counts.end() && counts.size() >= kUsageValuesMax) {
    found = std::ranges::find(counts, kOthers, &UsageCount::value);
    value = kOthers;
  }
  if (found == counts.end()) {
    found = counts.insert(counts.end(), UsageCount{.value = std::string(value)});
  }
  add(*found, record);
}

}  // namespace

KeyUsageCounter::KeyUsageCounter(std::string key_id, UnixMillis since_ms)
    : key_id_(std::move(key_id)) {
  usage_.since_ms = since_ms;
}

void KeyUsageCounter::take(const Entry& entry) {
  const Record& record = entry.record;
  if (record.key_id != key_id_ || record.unix_ms < usage_.since_ms) {
    return;
  }
  if (record.phase == Phase::intent) {
    if (open_intents_.size() < kOpenIntentsMax) {
      open_intents_.insert(entry.sequence);
    }
    return;
  }
  open_intents_.erase(record.intent_sequence);
  take_result(record);
}

void KeyUsageCounter::take_result(const Record& record) {
  add(usage_.total, record);
  add(usage_.days, format_time(record.unix_ms).substr(0, kDayBytes), record);
  add(usage_.models, record.model, record);
  add(usage_.routes, record.route, record);
  add(usage_.data_classes, record.data_class, record);
  add(usage_.addresses, record.ip_address, record);
  add(usage_.outcomes, name_of(record.outcome), record);
  add(usage_.actions, record.action, record);
  const bool went_out =
      !record.route.empty() && record.route != kLocalRoute && record.outcome != Outcome::refused;
  if (went_out) {
    add(usage_.egress, record.route + ", " + record.data_class, record);
  }
  if (record.operation == Operation::write || record.operation == Operation::erase) {
    if (usage_.changes.size() < kUsageChangesMax) {
      usage_.changes.push_back({.unix_ms = record.unix_ms,
                                .action = record.action,
                                .resource = record.resource,
                                .outcome = std::string(name_of(record.outcome))});
    } else {
      ++usage_.changes_left_out;
    }
  }
}

KeyUsage KeyUsageCounter::taken() {
  usage_.unfinished = open_intents_.size();
  return std::move(usage_);
}

KeyUsage read_key_usage(const std::filesystem::path& directory, const std::string& key_id,
                        UnixMillis since_ms, std::uint64_t reach_sequence,
                        const std::atomic<bool>* stop) {
  KeyUsageCounter counter(key_id, since_ms);
  TailReader reader(directory);
  Result<> found = reader.skip_to(since_ms);
  if (found) {
    const auto read = reader.search(
        {.containing = key_id, .last_sequence = reach_sequence + kUsageReadBeyond, .stop = stop},
        [&](const Entry& entry) { counter.take(entry); });
    if (!read) {
      found = std::unexpected(read.error());
    }
  }
  KeyUsage usage = counter.taken();
  usage.last_sequence = reader.position().next_sequence - 1;
  usage.last_hash = reader.position().last_hash;
  if (!found) {
    usage.fault = found.error().message;
  } else if (stop != nullptr && stop->load(std::memory_order_relaxed)) {
    usage.fault = "the reading was stopped";
  } else if (usage.last_sequence < reach_sequence) {
    usage.fault = fmt::format(
        "the audit log cannot be read behind record {}, yet record {} is "
        "there; run `deepmoat audit verify`",
        usage.last_sequence, reach_sequence);
  }
  return usage;
}

}  // namespace deepmoat::audit
