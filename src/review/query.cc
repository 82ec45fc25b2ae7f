// A Filter as SQL. No value becomes part of a statement's text.
#include "review/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <deque>
#include <utility>

#include "base/data_class.h"
#include "review/index_row.h"
#include "review/index_session.h"

namespace deepmoat::review {

namespace {

constexpr std::array<std::pair<std::string_view, PhaseFilter>, 4> kPhaseNames{
    {{"operations", PhaseFilter::operations},
     {"intents", PhaseFilter::intents},
     {"results", PhaseFilter::results},
     {"all", PhaseFilter::all}}};

constexpr std::string_view kPersonPrefix = "person:";
// Of a sign-in the operator is who is claimed, and the action says that it was one.
constexpr std::string_view kByPerson = "(authentication = 'session' OR action = 'session.open')";

// Rows of a tenant, key or operator that are found by an index and sorted; of more than these
// enough are met soon when the table is walked in its order.
constexpr long long kFewRows = 20'000;

// How the rows are come by.
enum class Access : std::uint8_t {
  by_index,  // those of a request, a key, a time, ...: then sorted
  walk,      // in the table's order until there are enough
};

// The conditions of a WHERE, and the values that they are about, each in its place.
class Conditions {
 public:
  explicit Conditions(Access access) : access_(access) {}

  void add(std::string_view condition) {
    text_ += text_.empty() ? " WHERE " : " AND ";
    text_ += condition;
  }
  void add_equal(std::string_view column, const std::string& value) {
    if (!value.empty()) {
      // A sign keeps SQLite from an index.
      const char* const sign = access_ == Access::walk ? "+" : "";
      add(fmt::format("{}{} = {}", sign, column, next_name()));
      values_.push_back({.text = value});
    }
  }
  void add_number(std::string_view comparison, std::int64_t value) {
    add(fmt::format("{} {}", comparison, next_name()));
    values_.push_back({.is_number = true, .number = value});
  }

  void bind(soci::statement& statement) {
    for (Value& value : values_) {
      if (value.is_number) {
        kUse(statement, value.number);
      } else {
        kUse(statement, value.text);
      }
    }
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  struct Value {
    std::string text = {};
    bool is_number = false;
    long long number = 0;
  };
  [[nodiscard]] std::string next_name() const { return fmt::format(":v{}", values_.size()); }

  Access access_;
  std::string text_;
  std::deque<Value> values_;  // stay where they are: a statement is bound to them
};

Result<> check_one_of(const std::string& name, const std::string& value,
                      std::initializer_list<std::string_view> known) {
  for (const std::string_view one : known) {
    if (value == one) {
      return {};
    }
  }
  if (value.empty()) {
    return {};
  }
  return fail(Code::invalid_argument, fmt::format("{}: one of {}", name, fmt::join(known, ", ")));
}

void add_phase(Conditions& conditions, PhaseFilter phase) {
  switch (phase) {
    case PhaseFilter::operations:
      conditions.add("result_sequence = 0");
      break;
    case PhaseFilter::intents:
      conditions.add("phase = 'intent'");
      break;
    case PhaseFilter::results:
      conditions.add("phase = 'result'");
      break;
    case PhaseFilter::all:
      break;
  }
}

// "alice" of "person:alice"; else the whole.
std::string operator_of(const Filter& filter) {
  const bool person = filter.operator_id.starts_with(kPersonPrefix);
  return person ? filter.operator_id.substr(kPersonPrefix.size()) : filter.operator_id;
}

Conditions conditions_of(const Filter& filter, Access access) {
  Conditions conditions(access);
  conditions.add_equal("tenant", filter.tenant);
  conditions.add_equal("key_id", filter.key_id);
  conditions.add_equal("operator", operator_of(filter));
  if (filter.operator_id.starts_with(kPersonPrefix)) {
    conditions.add(kByPerson);
  }
  conditions.add_equal("model", filter.model);
  conditions.add_equal("route", filter.route);
  conditions.add_equal("data_class", filter.data_class);
  conditions.add_equal("action", filter.action);
  conditions.add_equal("operation_type", filter.operation);
  conditions.add_equal("outcome", filter.outcome);
  conditions.add_equal("reason", filter.reason);
  conditions.add_equal("request_id", filter.request_id);
  conditions.add_equal("ip_address", filter.ip_address);
  if (filter.since_ms) {
    conditions.add_number("unix_ms >=", *filter.since_ms);
  }
  if (filter.until_ms) {
    conditions.add_number("unix_ms <", *filter.until_ms);
  }
  if (filter.after_sequence) {
    conditions.add_number(filter.newest_first ? "sequence <" : "sequence >",
                          static_cast<std::int64_t>(*filter.after_sequence));
  }
  if (filter.last_sequence) {
    conditions.add_number("sequence <=", static_cast<std::int64_t>(*filter.last_sequence));
  }
  add_phase(conditions, filter.phase);
  return conditions;
}

bool has_few(soci::session& sql, std::string_view column, const std::string& value) {
  if (value.empty()) {
    return false;
  }
  long long rows = 0;
  sql << fmt::format("SELECT count(*) FROM (SELECT 1 FROM records WHERE {} = :value LIMIT {})",
                     column, kFewRows),
      soci::use(value), soci::into(rows);
  return rows < kFewRows;
}

// SQLite would always take an index, and then sort all rows of a tenant for the newest ten.
Access access_of(soci::session& sql, const Filter& filter) {
  const bool few = !filter.request_id.empty() || filter.since_ms || filter.until_ms ||
                   has_few(sql, "key_id", filter.key_id) ||
                   has_few(sql, "operator", operator_of(filter)) ||
                   has_few(sql, "tenant", filter.tenant);
  return few ? Access::by_index : Access::walk;
}

// A sign keeps SQLite from the walk.
std::string order_of(const Filter& filter, Access access) {
  return fmt::format(" ORDER BY {}sequence{}", access == Access::by_index ? "+" : "",
                     filter.newest_first ? " DESC" : "");
}

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

// Digits at `at` of `text`, nothing else.
bool digits_at(std::string_view text, std::size_t at, std::size_t count, unsigned& number) {
  const std::string_view digits = text.substr(std::min(at, text.size()), count);
  return digits.size() == count &&
         std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; }) &&
         parse_number(digits, number);
}

std::optional<UnixMillis> parse_date(std::string_view text) {
  unsigned year = 0;
  unsigned month = 0;
  unsigned day = 0;
  if (text.size() != 10 || text[4] != '-' || text[7] != '-' || !digits_at(text, 0, 4, year) ||
      !digits_at(text, 5, 2, month) || !digits_at(text, 8, 2, day)) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)),
                                         std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok()) {
    return std::nullopt;
  }
  return std::chrono::sys_days(date).time_since_epoch().count() * kDayMs;
}

// "T12:00:00Z" or "T12:00:00.000Z": milliseconds of the day.
std::optional<std::int64_t> parse_time_of_day(std::string_view text) {
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  unsigned millis = 0;
  const bool long_form = text.size() == 14;
  if ((text.size() != 10 && !long_form) || text[0] != 'T' || text[3] != ':' || text[6] != ':' ||
      text.back() != 'Z' || (long_form && (text[9] != '.' || !digits_at(text, 10, 3, millis))) ||
      !digits_at(text, 1, 2, hour) || !digits_at(text, 4, 2, minute) ||
      !digits_at(text, 7, 2, second) || hour > 23 || minute > 59 || second > 59) {
    return std::nullopt;
  }
  return ((hour * 60LL + minute) * 60 + second) * 1000 + millis;
}

// "7d", "24h", "90m": milliseconds.
std::optional<std::int64_t> parse_age(std::string_view text) {
  constexpr std::array<std::pair<char, std::int64_t>, 3> kUnits{
      {{'d', kDayMs}, {'h', kDayMs / 24}, {'m', kDayMs / 24 / 60}}};
  constexpr std::uint64_t kAgeMax = 10'000'000;  // minutes to days: no overflow
  std::uint64_t count = 0;
  for (const auto& [unit, unit_ms] : kUnits) {
    if (text.ends_with(unit) && parse_number(text.substr(0, text.size() - 1), count) &&
        count <= kAgeMax) {
      return static_cast<std::int64_t>(count) * unit_ms;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<> check_filter(const Filter& filter, std::string_view prefix) {
  const auto named = [prefix](std::string_view name) { return fmt::format("{}{}", prefix, name); };
  if (filter.limit == 0 || filter.limit > kQueryRowsMax) {
    return fail(Code::invalid_argument,
                fmt::format("{}: from 1 to {}", named("limit"), kQueryRowsMax));
  }
  CHECK_OK(
      check_one_of(named("operation"), filter.operation, {"READ", "WRITE", "DELETE", "EXECUTE"}));
  CHECK_OK(check_one_of(named("outcome"), filter.outcome,
                        {"pending", "success", "refused", "failed", "cancelled"}));
  CHECK_OK(check_one_of(
      named("class"), filter.data_class,
      {data_class_name(DataClass::public_), data_class_name(DataClass::internal),
       data_class_name(DataClass::sensitive), data_class_name(DataClass::restricted)}));
  if (filter.since_ms && filter.until_ms && *filter.until_ms <= *filter.since_ms) {
    return fail(Code::invalid_argument,
                fmt::format("{}: {} is not after {}, {}", named("until"),
                            audit::format_time(*filter.until_ms), named("since"),
                            audit::format_time(*filter.since_ms)));
  }
  return {};
}

Result<std::uint64_t> query(AuditIndex& index, const Filter& filter,
                            const audit::OnEntry& on_entry) {
  return query_rows(index, filter, [&](const IndexRow& row) { on_entry(row.entry); });
}

Result<std::uint64_t> query_rows(AuditIndex& index, const Filter& filter,
                                 const std::function<void(const IndexRow&)>& on_row) {
  CHECK_OK(check_filter(filter));
  IndexSession& session = index.session();
  return session.guarded([&]() -> Result<std::uint64_t> {
    const Access access = access_of(session.sql(), filter);
    Conditions conditions = conditions_of(filter, access);
    BoundIndexRow bound;
    auto limit = static_cast<long long>(filter.limit);
    soci::statement statement(session.sql());
    bound.bind_all(statement, kInto);
    conditions.bind(statement);
    statement.exchange(soci::use(limit));
    statement.alloc();
    statement.prepare(fmt::format("SELECT {} FROM records{}{} LIMIT :limit", column_names(),
                                  conditions.text(), order_of(filter, access)));
    statement.define_and_bind();
    statement.execute();
    std::uint64_t count = 0;
    for (; statement.fetch(); ++count) {
      bound.read();
      on_row(bound.row);
    }
    return count;
  });
}

Result<UnixMillis> parse_time(std::string_view flag, std::string_view text, UnixMillis now_ms) {
  // A date has ten characters; what follows one is a time of the day.
  constexpr std::size_t kDateBytes = 10;
  // 1973: a smaller number is one of seconds, or a year.
  constexpr UnixMillis kFirstMillis = 100'000'000'000;
  if (const auto date = parse_date(text.substr(0, kDateBytes))) {
    const auto time = parse_time_of_day(text.substr(kDateBytes));
    if (time || text.size() == kDateBytes) {
      return *date + time.value_or(0);
    }
  } else if (const auto age = parse_age(text)) {
    return now_ms - *age;
  } else if (UnixMillis millis = 0; parse_number(text, millis) && millis >= kFirstMillis) {
    return millis;
  }
  return fail(Code::invalid_argument,
              fmt::format("{}: \"{}\" is no time; write a date (2026-11-30), a time in UTC "
                          "(2026-11-30T12:00:00Z), how long ago (7d, 24h, 90m) or milliseconds "
                          "since 1970",
                          flag, text));
}

std::string_view phase_name(PhaseFilter phase) {
  for (const auto& [name, one] : kPhaseNames) {
    if (one == phase) {
      return name;
    }
  }
  return "";
}

std::vector<std::pair<std::string, std::string>> filter_texts(const Filter& filter) {
  std::vector<std::pair<std::string, std::string>> texts;
  const auto add = [&](const char* name, std::string text) {
    if (!text.empty()) {
      texts.emplace_back(name, std::move(text));
    }
  };
  const auto time = [](std::optional<UnixMillis> ms) {
    return ms ? audit::format_time(*ms) : std::string();
  };
  add("tenant", filter.tenant);
  add("key", filter.key_id);
  add("operator", filter.operator_id);
  add("model", filter.model);
  add("route", filter.route);
  add("class", filter.data_class);
  add("action", filter.action);
  add("operation", filter.operation);
  add("outcome", filter.outcome);
  add("reason", filter.reason);
  add("request", filter.request_id);
  add("ip", filter.ip_address);
  add("since", time(filter.since_ms));
  add("until", time(filter.until_ms));
  add("phase", std::string(phase_name(filter.phase)));
  return texts;
}

Result<PhaseFilter> parse_phase(std::string_view flag, std::string_view text) {
  for (const auto& [name, phase] : kPhaseNames) {
    if (text == name) {
      return phase;
    }
  }
  return fail(Code::invalid_argument,
              fmt::format("{}: one of operations, intents, results, all", flag));
}

}  // namespace deepmoat::review
