// The figures of a month, counted from the index: what a reviewer reads and signs off (report.h).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "review/audit_index.h"
#include "review/report.h"

namespace deepmoat::review {

inline constexpr std::size_t kFigureNamesMax = 1000;  // of a dimension; the rest is "(others)"
inline constexpr std::size_t kChangesMax = 1000;
// The action of a sign-off: its resource is the month, its reason "SHA256 NOTE".
inline constexpr std::string_view kSignOffAction = "audit.report.sign_off";

// The report of `month` ("2026-11", UTC) as the log `origin` has it by now; `now_ms` says whether
// the month is over, and is `made_ms`. All but `checkpoint` is filled.
//
// - A record belongs to the month by its time. Calls are EXECUTE results.
// - A call without a tenant, model, data class or route counts under "(none)"; a refusal without a
//   reason too. Names are sorted by their count, the greatest first, then by their bytes.
// - Egress: calls on a route other than "local" that were not refused.
// - Changes: see anomalies.h. Their reason is the result's (an error code) or, where it has none,
//   the intent's (what was set, or why).
// - The figures of a month that is over change with three things: a call that was running at its
//   end gets its result, retention deletes records, and the index was behind the log.
//
// Code::invalid_argument for a month that there is not, Code::unavailable while the index is not
// complete, Code::corrupt, Code::io. Reads one state of the index; several seconds for millions of
// records.
Result<MonthlyReport> monthly_figures(AuditIndex& index, std::string_view month, UnixMillis now_ms,
                                      std::string_view origin);

// "unfinished_calls", ...
[[nodiscard]] std::string_view anomaly_name(AnomalyKind kind);

// The text that `figures_sha256` is the digest of, so that anybody can compute it: one JSON object
// without white space, printable ASCII (everything else as \uXXXX in lower-case digits), its fields
// in the order of MonthlyReport from `origin` to `anomalies` without `made_ms`, the fields of their
// parts in the order of report.h. `kind` of an anomaly is its name; numbers are decimal integers,
// `month_over` is true or false. No line end.
[[nodiscard]] std::string canonical_figures(const MonthlyReport& report);
// SHA-256 of that text, 64 lower-case hexadecimal digits.
[[nodiscard]] std::string figures_sha256(const MonthlyReport& report);

}  // namespace deepmoat::review
