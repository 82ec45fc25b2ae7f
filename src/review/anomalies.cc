// One statement a kind. Times are milliseconds; `:from` and `:until` bound the month.
#include "review/anomalies.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace deepmoat::review {

namespace {

constexpr std::int64_t kHourMs = kDayMs / 24;
constexpr std::int64_t kLookBackMs = 30 * kDayMs;
constexpr std::int64_t kBurstMs = 60'000;
constexpr int kBurstRefusals = 20;
constexpr std::int64_t kSurgeFactor = 5;

// subject, count, time and sequence of the first; SQLite takes the columns beside min() from the
// row that has the minimum.
constexpr std::string_view kUnfinished = R"sql(
SELECT tenant, count(*), min(unix_ms), sequence FROM records
WHERE phase = 'intent' AND result_sequence = 0 AND unix_ms >= :from AND unix_ms < :until
GROUP BY tenant ORDER BY 4)sql";

// The first use in the month has only uses of before the month before it, so that the newest of
// those says whether there was one in its 30 days.
constexpr std::string_view kNewAddress = R"sql(
WITH used AS (
  SELECT key_id, ip_address, min(unix_ms) AS first_ms, sequence AS first_sequence FROM records
  WHERE unix_ms >= :from AND unix_ms < :until AND key_id <> '' AND ip_address <> ''
  GROUP BY key_id, ip_address),
known AS (
  SELECT key_id, ip_address, max(unix_ms) AS last_ms FROM records
  WHERE unix_ms >= :from - {look_back} AND unix_ms < :from AND key_id <> '' AND ip_address <> ''
  GROUP BY key_id, ip_address)
SELECT used.key_id, count(*), min(used.first_ms), used.first_sequence
FROM used LEFT JOIN known ON known.key_id = used.key_id AND known.ip_address = used.ip_address
WHERE (known.last_ms IS NULL OR known.last_ms < used.first_ms - {look_back})
AND EXISTS (SELECT 1 FROM records earlier
            WHERE earlier.key_id = used.key_id AND earlier.unix_ms < used.first_ms)
GROUP BY used.key_id ORDER BY 4)sql";

constexpr std::string_view kRefusalBurst = R"sql(
WITH refused AS (
  SELECT ip_address, unix_ms,
         lag(unix_ms, {others}) OVER address AS burst_ms,
         lag(sequence, {others}) OVER address AS burst_sequence
  FROM records
  WHERE outcome = 'refused' AND ip_address <> ''
  AND unix_ms >= :from - {burst} AND unix_ms < :until
  WINDOW address AS (PARTITION BY ip_address ORDER BY unix_ms, sequence))
SELECT ip_address, sum(unix_ms >= :from),
       min(burst_ms) FILTER (WHERE unix_ms >= :from AND unix_ms - burst_ms <= {burst}) AS first_ms,
       min(burst_sequence) FILTER (WHERE unix_ms >= :from AND unix_ms - burst_ms <= {burst})
FROM refused GROUP BY ip_address HAVING first_ms IS NOT NULL ORDER BY 4)sql";

// Read in order of tenants and days.
constexpr std::string_view kDays = R"sql(
SELECT tenant, count(*), min(unix_ms), sequence FROM records
WHERE operation_type = 'EXECUTE' AND phase = 'result' AND tenant <> ''
AND unix_ms >= :from - {look_back} AND unix_ms < :until
GROUP BY tenant, unix_ms / {day} ORDER BY tenant, 3)sql";

constexpr std::string_view kNightAdministration = R"sql(
SELECT r.operator, count(*), min(r.unix_ms), r.sequence FROM records r
WHERE {is_change} AND r.role = 'admin' AND r.unix_ms >= :from AND r.unix_ms < :until
AND (r.unix_ms % {day} >= 22 * {hour} OR r.unix_ms % {day} < 6 * {hour})
GROUP BY r.operator ORDER BY 4)sql";

// Within one boot the monotonic clock goes on by as much as the other one. After a boot it begins
// anew: then all that is known is that the machine was started after the record before. A second
// is for threads that took their times one after the other.
constexpr std::string_view kClockStep = R"sql(
WITH steps AS (
  SELECT r.unix_ms, r.sequence, r.unix_ms - p.unix_ms AS passed,
         (r.mono_ns - p.mono_ns) / 1000000 AS mono_passed,
         r.unix_ms - r.mono_ns / 1000000 >= p.unix_ms AS may_have_booted
  FROM records r JOIN records p ON p.sequence = r.sequence - 1
  WHERE r.unix_ms >= :from AND r.unix_ms < :until)
SELECT CASE WHEN passed < 0 THEN 'backward' ELSE 'forward' END, 1, unix_ms, sequence FROM steps
WHERE passed < -{hour}
OR (mono_passed > -1000 AND
    (passed - mono_passed < -{hour} OR (passed - mono_passed > {hour} AND NOT may_have_booted)))
ORDER BY sequence)sql";

constexpr std::string_view kLeakedKey = R"sql(
SELECT r.resource, count(*), min(r.unix_ms), r.sequence FROM records r
WHERE r.action = 'key.leak' AND r.operation_type <> 'EXECUTE' AND r.operation_type <> 'READ'
AND r.phase = 'result' AND r.outcome <> 'refused' AND r.unix_ms >= :from AND r.unix_ms < :until
GROUP BY r.resource ORDER BY 4)sql";

struct Month {
  soci::session& sql;
  long long from_ms = 0;
  long long until_ms = 0;
};

// Runs a statement of subject, count, first time, first sequence.
std::vector<Anomaly> select(const Month& month, AnomalyKind kind, const std::string& text) {
  std::string subject;
  long long count = 0;
  long long first_ms = 0;
  long long first_sequence = 0;
  // A name that stands several times in a statement is one value.
  soci::statement statement = (month.sql.prepare << text, soci::use(month.from_ms, "from"),
                               soci::use(month.until_ms, "until"), soci::into(subject),
                               soci::into(count), soci::into(first_ms), soci::into(first_sequence));
  statement.execute();
  std::vector<Anomaly> found;
  while (statement.fetch()) {
    found.push_back({.kind = kind,
                     .count = static_cast<std::uint64_t>(count),
                     .subject = subject,
                     .first_ms = first_ms,
                     .first_sequence = static_cast<std::uint64_t>(first_sequence)});
  }
  return found;
}

// `days` are of one tenant. Twice the median, so that it is a whole number.
std::uint64_t double_median(std::vector<std::uint64_t> counts) {
  std::ranges::sort(counts);
  const std::size_t half = counts.size() / 2;
  return counts[half] + counts[counts.size() % 2 == 0 ? half - 1 : half];
}

std::vector<Anomaly> surges(const Month& month) {
  const std::vector<Anomaly> days =
      select(month, AnomalyKind::call_surge,
             fmt::format(kDays, fmt::arg("look_back", kLookBackMs), fmt::arg("day", kDayMs)));
  std::vector<Anomaly> found;
  for (auto day = days.begin(); day != days.end();) {
    const auto next_tenant = std::find_if(
        day, days.end(), [day](const Anomaly& other) { return other.subject != day->subject; });
    std::vector<std::uint64_t> counts;
    std::transform(day, next_tenant, std::back_inserter(counts),
                   [](const Anomaly& one) { return one.count; });
    const std::uint64_t median = double_median(std::move(counts));
    std::copy_if(day, next_tenant, std::back_inserter(found), [&](const Anomaly& one) {
      return one.first_ms >= month.from_ms && 2 * one.count > kSurgeFactor * median;
    });
    day = next_tenant;
  }
  std::ranges::sort(found, {}, &Anomaly::first_sequence);
  return found;
}

// All steps of the clock are one: the first of them says where to look.
std::vector<Anomaly> clock_steps(const Month& month) {
  std::vector<Anomaly> steps =
      select(month, AnomalyKind::clock_step, fmt::format(kClockStep, fmt::arg("hour", kHourMs)));
  if (!steps.empty()) {
    steps.front().count = steps.size();
    steps.resize(1);
  }
  return steps;
}

void add(std::vector<Anomaly>& all, std::vector<Anomaly> found) {
  if (found.size() > kAnomaliesMax) {
    found[kAnomaliesMax - 1].subject = kOthers;
    found[kAnomaliesMax - 1].count = found.size() - (kAnomaliesMax - 1);
    found.resize(kAnomaliesMax);
  }
  std::ranges::move(found, std::back_inserter(all));
}

}  // namespace

std::vector<Anomaly> find_anomalies(soci::session& sql, UnixMillis from_ms, UnixMillis until_ms) {
  const Month month{.sql = sql, .from_ms = from_ms, .until_ms = until_ms};
  std::vector<Anomaly> all;
  add(all, select(month, AnomalyKind::unfinished_calls, std::string(kUnfinished)));
  add(all, select(month, AnomalyKind::new_address,
                  fmt::format(kNewAddress, fmt::arg("look_back", kLookBackMs))));
  add(all, select(month, AnomalyKind::refusal_burst,
                  fmt::format(kRefusalBurst, fmt::arg("others", kBurstRefusals - 1),
                              fmt::arg("burst", kBurstMs))));
  add(all, surges(month));
  add(all, select(month, AnomalyKind::night_administration,
                  fmt::format(kNightAdministration, fmt::arg("is_change", kIsChange),
                              fmt::arg("day", kDayMs), fmt::arg("hour", kHourMs))));
  add(all, clock_steps(month));
  add(all, select(month, AnomalyKind::leaked_key, std::string(kLeakedKey)));
  return all;
}

}  // namespace deepmoat::review
