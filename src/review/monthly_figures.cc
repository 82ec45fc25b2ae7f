// Counts by SQL. The month's calls are read once, into a small table of sums that all dimensions
// are then counted from.
#include "review/monthly_figures.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <optional>

#include "base/hex.h"
#include "review/anomalies.h"
#include "review/index_session.h"

namespace deepmoat::review {

namespace {

constexpr std::size_t kDigestDigits = 64;

constexpr const char* kMonthCalls = R"sql(
CREATE TEMP TABLE month_calls AS
SELECT CASE tenant WHEN '' THEN '(none)' ELSE tenant END AS tenant,
       CASE model WHEN '' THEN '(none)' ELSE model END AS model,
       CASE data_class WHEN '' THEN '(none)' ELSE data_class END AS data_class,
       CASE route WHEN '' THEN '(none)' ELSE route END AS route,
       outcome, count(*) AS calls, sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out,
       sum(bytes_out) AS bytes_out
FROM records
WHERE operation_type = 'EXECUTE' AND phase = 'result' AND unix_ms >= :from AND unix_ms < :until
GROUP BY 1, 2, 3, 4, 5)sql";

constexpr const char* kChanges = R"sql(
SELECT r.unix_ms, r.sequence, r.action, r.resource, r.tenant, r.operator, r.outcome,
       CASE WHEN r.reason <> '' THEN r.reason ELSE coalesce(i.reason, '') END
FROM records r LEFT JOIN records i ON i.sequence = r.intent_sequence AND i.phase = 'intent'
WHERE {} AND r.unix_ms >= :from AND r.unix_ms < :until ORDER BY r.sequence)sql";

constexpr const char* kSignOffs = R"sql(
SELECT r.operator, r.unix_ms,
       CASE WHEN r.reason <> '' THEN r.reason ELSE coalesce(i.reason, '') END
FROM records r LEFT JOIN records i ON i.sequence = r.intent_sequence AND i.phase = 'intent'
WHERE r.action = :action AND r.operation_type <> 'EXECUTE' AND r.operation_type <> 'READ'
AND r.phase = 'result' AND r.outcome = 'success' AND r.resource = :month ORDER BY r.sequence)sql";

std::uint64_t unsigned_of(long long number) {
  return static_cast<std::uint64_t>(number);
}

// Milliseconds of a month's first moment and of the next one's.
std::optional<std::pair<UnixMillis, UnixMillis>> parse_month(std::string_view text) {
  constexpr std::size_t kMonthBytes = 7;  // "2026-11"
  unsigned year = 0;
  unsigned month = 0;
  const auto number = [text](std::size_t from, std::size_t to, unsigned& out) {
    const auto [end, error] = std::from_chars(text.data() + from, text.data() + to, out);
    return error == std::errc{} && end == text.data() + to;
  };
  if (text.size() != kMonthBytes || text[4] != '-' || !number(0, 4, year) ||
      !number(5, kMonthBytes, month) || year < 1970 || month < 1 || month > 12) {
    return std::nullopt;
  }
  const std::chrono::year_month first{std::chrono::year(static_cast<int>(year)),
                                      std::chrono::month(month)};
  const auto start_of = [](std::chrono::year_month one) -> UnixMillis {
    return std::chrono::sys_days(one / std::chrono::day(1)).time_since_epoch().count() * kDayMs;
  };
  return std::pair(start_of(first), start_of(first + std::chrono::months(1)));
}

void count_records(soci::session& sql, MonthlyReport& report) {
  const long long from = report.from_ms;
  const long long until = report.until_ms;
  long long records = 0;
  long long first = 0;
  long long last = 0;
  sql << "SELECT count(*), coalesce(min(sequence), 0), coalesce(max(sequence), 0) FROM records "
         "WHERE unix_ms >= :from AND unix_ms < :until",
      soci::use(from), soci::use(until), soci::into(records), soci::into(first), soci::into(last);
  report.records = unsigned_of(records);
  report.first_sequence = unsigned_of(first);
  report.last_sequence = unsigned_of(last);
}

// The calls behind the first names go under one.
void add_up(CallCount& sum, const CallCount& one) {
  sum.calls += one.calls;
  sum.refused += one.refused;
  sum.failed += one.failed;
  sum.cancelled += one.cancelled;
  sum.tokens_in += one.tokens_in;
  sum.tokens_out += one.tokens_out;
}

std::vector<CallCount> count_calls(soci::session& sql, std::string_view column) {
  std::string name;
  long long calls = 0;
  long long refused = 0;
  long long failed = 0;
  long long cancelled = 0;
  long long tokens_in = 0;
  long long tokens_out = 0;
  soci::statement statement =
      (sql.prepare << fmt::format(
           "SELECT {0}, sum(calls), coalesce(sum(calls) FILTER (WHERE outcome = 'refused'), 0), "
           "coalesce(sum(calls) FILTER (WHERE outcome = 'failed'), 0), "
           "coalesce(sum(calls) FILTER (WHERE outcome = 'cancelled'), 0), sum(tokens_in), "
           "sum(tokens_out) FROM month_calls GROUP BY {0} ORDER BY 2 DESC, 1",
           column),
       soci::into(name), soci::into(calls), soci::into(refused), soci::into(failed),
       soci::into(cancelled), soci::into(tokens_in), soci::into(tokens_out));
  statement.execute();
  std::vector<CallCount> counts;
  while (statement.fetch()) {
    CallCount one{.name = name,
                  .calls = unsigned_of(calls),
                  .refused = unsigned_of(refused),
                  .failed = unsigned_of(failed),
                  .cancelled = unsigned_of(cancelled),
                  .tokens_in = unsigned_of(tokens_in),
                  .tokens_out = unsigned_of(tokens_out)};
    if (counts.size() < kFigureNamesMax) {
      counts.push_back(std::move(one));
    } else {
      counts.back().name = kOthers;
      add_up(counts.back(), one);
    }
  }
  return counts;
}

std::vector<EgressCount> count_egress(soci::session& sql) {
  EgressCount one;
  long long calls = 0;
  long long bytes_out = 0;
  soci::statement statement =
      (sql.prepare << "SELECT route, data_class, tenant, sum(calls), sum(bytes_out) "
                      "FROM month_calls WHERE route NOT IN ('local', '(none)') "
                      "AND outcome <> 'refused' GROUP BY 1, 2, 3 ORDER BY 5 DESC, 1, 2, 3",
       soci::into(one.route), soci::into(one.data_class), soci::into(one.tenant), soci::into(calls),
       soci::into(bytes_out));
  statement.execute();
  std::vector<EgressCount> counts;
  while (statement.fetch()) {
    one.calls = unsigned_of(calls);
    one.bytes_out = unsigned_of(bytes_out);
    if (counts.size() < kFigureNamesMax) {
      counts.push_back(one);
    } else {
      EgressCount& others = counts.back();
      others.route = others.data_class = others.tenant = kOthers;
      others.calls += one.calls;
      others.bytes_out += one.bytes_out;
    }
  }
  return counts;
}

// Different keys and addresses do not add up, so that what is behind the first names is left away.
std::vector<RefusalCount> count_refusals(soci::session& sql, const MonthlyReport& report) {
  const long long from = report.from_ms;
  const long long until = report.until_ms;
  const long long limit = kFigureNamesMax;
  RefusalCount one;
  long long count = 0;
  long long keys = 0;
  long long addresses = 0;
  soci::statement statement =
      (sql.prepare << "SELECT CASE reason WHEN '' THEN '(none)' ELSE reason END, count(*), "
                      "count(DISTINCT nullif(key_id, '')), count(DISTINCT nullif(ip_address, '')) "
                      "FROM records WHERE outcome = 'refused' AND phase = 'result' "
                      "AND unix_ms >= :from AND unix_ms < :until "
                      "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :limit",
       soci::use(from), soci::use(until), soci::use(limit), soci::into(one.reason),
       soci::into(count), soci::into(keys), soci::into(addresses));
  statement.execute();
  std::vector<RefusalCount> counts;
  while (statement.fetch()) {
    one.count = unsigned_of(count);
    one.keys = unsigned_of(keys);
    one.addresses = unsigned_of(addresses);
    counts.push_back(one);
  }
  return counts;
}

void list_changes(soci::session& sql, MonthlyReport& report) {
  const long long from = report.from_ms;
  const long long until = report.until_ms;
  ChangeEvent one;
  long long unix_ms = 0;
  long long sequence = 0;
  soci::statement statement =
      (sql.prepare << fmt::format(fmt::runtime(kChanges), kIsChange), soci::use(from),
       soci::use(until), soci::into(unix_ms), soci::into(sequence), soci::into(one.action),
       soci::into(one.resource), soci::into(one.tenant), soci::into(one.operator_id),
       soci::into(one.outcome), soci::into(one.reason));
  statement.execute();
  while (statement.fetch()) {
    if (report.changes.size() >= kChangesMax) {
      ++report.changes_left_out;
      continue;
    }
    one.unix_ms = unix_ms;
    one.sequence = unsigned_of(sequence);
    report.changes.push_back(one);
  }
}

// A reason that begins with no digest is no sign-off of figures.
std::optional<SignOff> parse_sign_off(const std::string& reviewer, UnixMillis unix_ms,
                                      std::string_view reason) {
  const std::string_view digest = reason.substr(0, kDigestDigits);
  const std::string_view rest = reason.substr(digest.size());
  if (digest.size() != kDigestDigits || !from_hex(digest) ||
      (!rest.empty() && !rest.starts_with(' '))) {
    return std::nullopt;
  }
  return SignOff{.reviewer = reviewer,
                 .unix_ms = unix_ms,
                 .report_sha256 = std::string(digest),
                 .note = std::string(rest.empty() ? rest : rest.substr(1))};
}

void list_sign_offs(soci::session& sql, MonthlyReport& report) {
  const std::string action(kSignOffAction);
  std::string reviewer;
  std::string reason;
  long long unix_ms = 0;
  soci::statement statement = (sql.prepare << kSignOffs, soci::use(action), soci::use(report.month),
                               soci::into(reviewer), soci::into(unix_ms), soci::into(reason));
  statement.execute();
  while (statement.fetch()) {
    if (const auto sign_off = parse_sign_off(reviewer, unix_ms, reason)) {
      report.sign_offs.push_back(*sign_off);
    }
  }
}

// The table of sums; it goes away with the transaction.
void sum_up_calls(soci::session& sql, const MonthlyReport& report) {
  const long long from = report.from_ms;
  const long long until = report.until_ms;
  sql << kMonthCalls, soci::use(from), soci::use(until);
}

// All of one state of the index.
Result<> count(AuditIndex& index, MonthlyReport& report) {
  IndexSession& session = index.session();
  return session.guarded([&]() -> Result<> {
    soci::session& sql = session.sql();
    const ReadTransaction one_state(sql);
    CHECK_OK(require_complete(index));
    sum_up_calls(sql, report);
    count_records(sql, report);
    report.tenants = count_calls(sql, "tenant");
    report.models = count_calls(sql, "model");
    report.data_classes = count_calls(sql, "data_class");
    report.routes = count_calls(sql, "route");
    report.egress = count_egress(sql);
    report.refusals = count_refusals(sql, report);
    list_changes(sql, report);
    report.anomalies = find_anomalies(sql, report.from_ms, report.until_ms);
    list_sign_offs(sql, report);
    return {};
  });
}

}  // namespace

Result<MonthlyReport> monthly_figures(AuditIndex& index, std::string_view month, UnixMillis now_ms,
                                      std::string_view origin) {
  const auto span = parse_month(month);
  if (!span) {
    return fail(Code::invalid_argument, "month: write it as 2026-11");
  }
  MonthlyReport report{.origin = std::string(origin),
                       .month = std::string(month),
                       .from_ms = span->first,
                       .until_ms = span->second,
                       .made_ms = now_ms,
                       .month_over = now_ms >= span->second};
  CHECK_OK(count(index, report));
  report.figures_sha256 = figures_sha256(report);
  return report;
}

}  // namespace deepmoat::review
