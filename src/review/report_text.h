// All wording of the monthly report, in English and Chinese: headings, labels, sentences, and how
// numbers, dates and sizes are written. Pure; any thread.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "review/report.h"

namespace deepmoat::review {

// One text of the report. "{}" in it stands for a value that fill() puts there.
enum class Word : std::uint8_t {
  title,
  month_open,
  date_range,
  date_long,
  moment,
  none,
  unnamed,
  others,
  fact_log,
  fact_period,
  fact_records,
  fact_made,
  fact_checkpoint,
  fact_digest,
  records_span,
  checkpoint_size,
  number_calls,
  number_refused,
  number_failed,
  number_tokens,
  number_egress,
  share_of_calls,
  cancelled_detail,
  tokens_detail,
  egress_detail,
  anomalies,
  anomalies_lead,
  anomalies_none,
  anomaly_others,
  clock_forward,
  clock_backward,
  first_seen,
  calls,
  calls_lead,
  calls_none,
  by_tenant,
  by_model,
  by_data_class,
  by_route,
  tenant,
  model,
  data_class,
  route,
  succeeded,
  refused,
  failed,
  cancelled,
  pending,
  outcomes,
  tokens_in,
  tokens_out,
  egress,
  egress_lead,
  egress_none,
  bytes_out,
  refusals,
  refusals_lead,
  refusals_none,
  reason,
  count,
  different_keys,
  different_addresses,
  changes,
  changes_lead,
  changes_none,
  changes_left_out,
  time_utc,
  sequence,
  action,
  resource,
  operator_id,
  outcome,
  verification,
  checkpoint_lead,
  checkpoint_none,
  checkpoint_short,
  checkpoint_text,
  verify_lead,
  verify_again,
  sign_offs,
  sign_offs_lead,
  sign_offs_none,
  sign_how,
  sign_later,
  reviewer,
  signed_figures,
  note,
  these_figures,
  other_figures,
  paper_name,
  paper_date,
  paper_signature,
  end_,
};

// The text as it stands in the table.
[[nodiscard]] std::string_view words(Word word, Language language);

// The same with its "{}" filled in, in order. A text has as many in English as in Chinese.
template <class... Values>
[[nodiscard]] std::string fill(Word word, Language language, const Values&... values) {
  return fmt::format(fmt::runtime(words(word, language)), values...);
}

// How a page names its language: "en", "zh-CN" (BCP 47).
[[nodiscard]] std::string_view language_tag(Language language);

// 1,234,567 in both languages: GB/T 15835 allows the comma too.
[[nodiscard]] std::string number_text(std::uint64_t number);

// As above below ten million; from there on "412.3 M", "4.12 亿" or "2,335 万", cut and not
// rounded.
[[nodiscard]] std::string short_number_text(std::uint64_t number, Language language);

// Decimal units: "999 B", "3.2 MB"; cut and not rounded.
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

// "1.2%" of `whole`; "<0.1%" for less than that; empty when `whole` is 0.
[[nodiscard]] std::string share_text(std::uint64_t part, std::uint64_t whole);

// "November 2026", "2026 年 11 月". A month that is none (not "YYYY-MM") comes back as it is.
[[nodiscard]] std::string month_text(std::string_view month, Language language);

// True for "YYYY-MM" with a month from 01 to 12: such a text may stand in a command line.
[[nodiscard]] bool is_month(std::string_view month);

// "1 November 2026, 00:00 UTC", "2026 年 11 月 1 日 00:00（UTC）".
[[nodiscard]] std::string moment_text(UnixMillis unix_ms, Language language);

// The time of day is left out where both are midnight.
[[nodiscard]] std::string period_text(UnixMillis from_ms, UnixMillis until_ms, Language language);

// "2026-11-03 08:12:45", UTC, in both languages; for tables.
[[nodiscard]] std::string stamp_text(UnixMillis unix_ms);

// "2026-11-03T08:12:45Z", ISO 8601.
[[nodiscard]] std::string iso_text(UnixMillis unix_ms);

// What a record says in its code word, for a person; an unknown word comes back as it is.
[[nodiscard]] std::string outcome_text(std::string_view outcome, Language language);
[[nodiscard]] std::string data_class_text(std::string_view data_class, Language language);

// What an anomaly is, in sentences. A subject "(others)" counts what is not listed one by one.
struct AnomalyText {
  std::string heading;
  std::string subject;   // may be empty; as it came from outside
  std::string sentence;  // what was counted
  std::string advice;    // what to look at, and what it can mean
};
[[nodiscard]] AnomalyText anomaly_text(const Anomaly& anomaly, Language language);

// The command that shows the records behind an anomaly. The subject comes from outside and the
// line will be pasted into a shell: it stands there only if it is made of letters, digits and
// "._:/@-" and does not begin with "-".
[[nodiscard]] std::string anomaly_command(const Anomaly& anomaly);

}  // namespace deepmoat::review
