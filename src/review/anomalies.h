// What a reviewer of a month should look at. For the .cc files of this folder.
#pragma once

#include <soci/soci.h>

#include <string_view>
#include <vector>

#include "review/report.h"

namespace deepmoat::review {

inline constexpr std::size_t kAnomaliesMax = 1000;  // of a kind; the rest is one "(others)"

// The results that change who may do what, and what they need to know of them: of keys, people,
// tenants, second factors, approvals, certificates, webhooks, custody, imported models and the
// audit log itself. `r` is the table of records.
inline constexpr std::string_view kIsChange =
    "r.operation_type <> 'EXECUTE' AND r.operation_type <> 'READ' AND r.phase = 'result' "
    "AND (r.action GLOB 'key.*' OR r.action GLOB 'person.*' OR r.action GLOB 'tenant.*' "
    "OR r.action GLOB 'second_factor.*' OR r.action GLOB 'approval.*' "
    "OR r.action GLOB 'certificate.*' OR r.action GLOB 'webhook.*' OR r.action GLOB 'custody.*' "
    "OR r.action GLOB 'audit.*' "
    "OR r.action IN ('model.import', 'model.remove', 'model.pin', 'model.unpin'))";

// Of the records with a time from `from_ms` on and before `until_ms`, by kind and then as the log
// has them:
//
//   unfinished_calls      one a tenant: its intents that have no result by now
//   new_address           one a key: the addresses it was used from that it had not been used from
//                         in the 30 days before. The first use of a key at all is none.
//   refusal_burst         one an address that had 20 refusals within 60 seconds (they may have
//   begun
//                         in the month before): its refusals of the month; time and place are of
//                         the first of those 20
//   call_surge            one a tenant and day: that day's calls, if they are more than 5 times the
//                         median of the days of this month and the 30 days before on which the
//                         tenant made any
//   night_administration  one an operator: changes (kIsChange) in the role of an administrator from
//                         22:00:00.000 to 05:59:59.999 UTC
//   clock_step            one: the clock went back, or forward, by more than an hour between two
//                         records that follow each other, as the monotonic clock has it. A jump
//                         forward that a restart of the machine explains too is none; when such a
//                         clock is set right again, that shows.
//   leaked_key            one a key that was reported as leaked
//
// Throws what SOCI throws.
[[nodiscard]] std::vector<Anomaly> find_anomalies(soci::session& sql, UnixMillis from_ms,
                                                  UnixMillis until_ms);

}  // namespace deepmoat::review
