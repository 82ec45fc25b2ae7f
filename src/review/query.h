// Questions to the index: a filter becomes one parameterised statement, rows come one by one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "audit/record_json.h"
#include "audit/tail.h"
#include "base/clock.h"
#include "base/result.h"
#include "review/audit_index.h"
#include "review/index_row.h"

namespace deepmoat::review {

inline constexpr std::uint64_t kQueryRowsDefault = 1000;
inline constexpr std::uint64_t kQueryRowsMax = 100'000;

enum class PhaseFilter : std::uint8_t {
  operations,  // one row an operation: its result, or the intent that came to none
  intents,
  results,
  all,
};

// Which records. Empty texts and absent bounds ask for nothing. Texts are compared byte by byte.
struct Filter {
  std::string tenant;
  std::string key_id;
  std::string operator_id;  // a client, or "person:NAME": what NAME did signed in, and sign-ins
  std::string model;
  std::string route;
  std::string data_class;  // "public", "internal", "sensitive", "restricted"
  std::string action;
  std::string operation;  // "READ", "WRITE", "DELETE", "EXECUTE"
  std::string outcome;    // "pending", "success", "refused", "failed", "cancelled"
  std::string reason;
  std::string request_id;
  std::string ip_address;
  std::optional<UnixMillis> since_ms;
  std::optional<UnixMillis> until_ms;  // exclusive
  PhaseFilter phase = PhaseFilter::operations;
  std::uint64_t limit = kQueryRowsDefault;      // 1 to kQueryRowsMax
  std::optional<std::uint64_t> after_sequence;  // where the last answer ended: only what follows
  std::optional<std::uint64_t> last_sequence;   // nothing behind it
  bool newest_first = false;                    // by sequence, like the order without it
};

// Code::invalid_argument for what no record can fit: a limit, operation, outcome or class that
// there is not, or an end that is not after the beginning. The message names it as the parameter
// does, behind `prefix`: "--" for the options of a command, which have the same names.
[[nodiscard]] Result<> check_filter(const Filter& filter, std::string_view prefix = "");

// Hands out the records in the order of their sequences; says how many. Errors of check_filter(),
// too.
Result<std::uint64_t> query(AuditIndex& index, const Filter& filter,
                            const audit::OnEntry& on_entry);

// The same with where each record lies.
Result<std::uint64_t> query_rows(AuditIndex& index, const Filter& filter,
                                 const std::function<void(const IndexRow&)>& on_row);

// What the filter asks for, by the names of the parameters of GET /admin/v1/audit/records; the
// times in UTC. Neither `limit` nor the order is among them.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> filter_texts(const Filter& filter);

// "operations", ...
[[nodiscard]] std::string_view phase_name(PhaseFilter phase);

// A point in time as people write it: "2026-11-30" (its first moment in UTC),
// "2026-11-30T12:00:00Z" (also with milliseconds), "7d", "24h", "90m" (before `now_ms`), or
// milliseconds since 1970. Code::invalid_argument names `flag`.
Result<UnixMillis> parse_time(std::string_view flag, std::string_view text, UnixMillis now_ms);

// "operations", "intents", "results", "all". Code::invalid_argument names `flag`.
Result<PhaseFilter> parse_phase(std::string_view flag, std::string_view text);

}  // namespace deepmoat::review
