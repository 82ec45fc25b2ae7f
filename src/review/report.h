// The monthly report of the audit log: what a reviewer reads, counted from the index, and signs
// off. Plain data; report_html.h and report_pdf.h make pages of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace deepmoat::review {

// Names in the figures that are no names: calls without one, and what is not listed one by one.
inline constexpr std::string_view kNoName = "(none)";
inline constexpr std::string_view kOthers = "(others)";

// Calls of one tenant, model, data class or route. A call is an EXECUTE result.
struct CallCount {
  std::string name;
  std::uint64_t calls = 0;  // all outcomes
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t tokens_in = 0;
  std::uint64_t tokens_out = 0;
};

// What left the building: calls on a route other than "local".
struct EgressCount {
  std::string route;
  std::string data_class;
  std::string tenant;
  std::uint64_t calls = 0;
  std::uint64_t bytes_out = 0;
};

struct RefusalCount {
  std::string reason;  // error code
  std::uint64_t count = 0;
  std::uint64_t keys = 0;       // different keys
  std::uint64_t addresses = 0;  // different addresses
};

// A change of a key, person, tenant, policy, hold, approval, certificate or webhook.
struct ChangeEvent {
  UnixMillis unix_ms = 0;
  std::uint64_t sequence = 0;
  std::string action;
  std::string resource;
  std::string tenant;
  std::string operator_id;
  std::string outcome;
  std::string reason;
};

enum class AnomalyKind : std::uint8_t {
  unfinished_calls,      // intents without a result
  new_address,           // a key used from an address that it never used in the 30 days before
  refusal_burst,         // an address with 20 or more refusals within one minute
  call_surge,            // a day on which a tenant made over 5 times its median day's calls
  night_administration,  // changes by an administrator between 22:00 and 06:00 UTC
  clock_step,            // the clock was set by more than an hour
  leaked_key,            // key.leak
};

struct Anomaly {
  AnomalyKind kind = AnomalyKind::unfinished_calls;
  std::uint64_t count = 0;
  std::string subject;  // key, address, tenant, operator
  UnixMillis first_ms = 0;
  std::uint64_t first_sequence = 0;  // where in the log to look
};

struct SignOff {
  std::string reviewer;
  UnixMillis unix_ms = 0;
  std::string report_sha256;  // of the figures that were signed, MonthlyReport::figures_sha256
  std::string note;
};

struct MonthlyReport {
  std::string origin;  // which log
  std::string month;   // "2026-11", UTC
  UnixMillis from_ms = 0;
  UnixMillis until_ms = 0;  // exclusive
  UnixMillis made_ms = 0;
  std::uint64_t first_sequence = 0;  // of the month's records; 0: none
  std::uint64_t last_sequence = 0;
  std::uint64_t records = 0;
  bool month_over = false;  // false: figures so far

  std::vector<CallCount> tenants;
  std::vector<CallCount> models;
  std::vector<CallCount> data_classes;
  std::vector<CallCount> routes;
  std::vector<EgressCount> egress;
  std::vector<RefusalCount> refusals;
  std::vector<ChangeEvent> changes;
  std::uint64_t changes_left_out = 0;  // behind the first 1,000
  std::vector<Anomaly> anomalies;
  std::vector<SignOff> sign_offs;

  std::string checkpoint;      // the signed note that the figures rest on, docs/formats/audit.md
  std::string figures_sha256;  // of all that stands above `sign_offs`, without `made_ms`
};

enum class Language : std::uint8_t { english, chinese };

}  // namespace deepmoat::review
