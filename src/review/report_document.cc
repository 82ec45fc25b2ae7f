#include "review/report_document.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "review/report_text.h"

namespace deepmoat::review {

namespace {

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  return a > std::numeric_limits<std::uint64_t>::max() - b
             ? std::numeric_limits<std::uint64_t>::max()
             : a + b;
}

// Every call is in the list of tenants, under kNoName where nobody was known.
CallCount total_of(const std::vector<CallCount>& counts) {
  CallCount total;
  for (const CallCount& one : counts) {
    total.calls = sum(total.calls, one.calls);
    total.refused = sum(total.refused, one.refused);
    total.failed = sum(total.failed, one.failed);
    total.cancelled = sum(total.cancelled, one.cancelled);
    total.tokens_in = sum(total.tokens_in, one.tokens_in);
    total.tokens_out = sum(total.tokens_out, one.tokens_out);
  }
  return total;
}

// The records that a signed note speaks of: the number in its second line (tlog-checkpoint).
std::optional<std::uint64_t> size_of(std::string_view checkpoint) {
  const std::size_t begin = checkpoint.find('\n');
  if (begin == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view line = checkpoint.substr(begin + 1);
  line = line.substr(0, line.find('\n'));
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size);
  if (error != std::errc() || end != line.data() + line.size()) {
    return std::nullopt;
  }
  return size;
}

// Makes the parts of the document; knows the report and the language of all of them.
class Author {
 public:
  Author(const MonthlyReport& report, Language language) : report_(report), language_(language) {}

  Document document() {
    Document made;
    made.language_tag = language_tag(language_);
    made.title = say(Word::title);
    made.month = month_text(report_.month, language_);
    made.remark = report_.month_over ? "" : say(Word::month_open);
    made.facts = facts();
    made.numbers = numbers();
    made.sections = {anomalies(), calls(),        egress(),   refusals(),
                     changes(),   verification(), sign_offs()};
    return made;
  }

 private:
  [[nodiscard]] std::string say(Word word) const { return std::string(words(word, language_)); }
  template <class... Values>
  [[nodiscard]] std::string say(Word word, const Values&... values) const {
    return fill(word, language_, values...);
  }
  [[nodiscard]] std::string named(const std::string& name) const {
    return name.empty() || name == kNoName ? say(Word::unnamed)
           : name == kOthers               ? say(Word::others)
                                           : name;
  }
  [[nodiscard]] std::string class_named(const std::string& name) const {
    return data_class_text(named(name), language_);
  }
  [[nodiscard]] Column text_column(Word word, double weight) const {
    return {say(word), ColumnKind::text, weight};
  }
  [[nodiscard]] Column code_column(Word word, double weight) const {
    return {say(word), ColumnKind::code, weight};
  }
  [[nodiscard]] Column number_column(Word word, double weight) const {
    return {say(word), ColumnKind::number, weight};
  }

  [[nodiscard]] std::vector<Fact> facts() const {
    const std::optional<std::uint64_t> size = size_of(report_.checkpoint);
    const std::string records =
        report_.records == 0
            ? say(Word::none)
            : say(Word::records_span, number_text(report_.records),
                  number_text(report_.first_sequence), number_text(report_.last_sequence));
    return {
        {say(Word::fact_log), named(report_.origin)},
        {say(Word::fact_period), period_text(report_.from_ms, report_.until_ms, language_)},
        {say(Word::fact_records), records},
        {say(Word::fact_made), moment_text(report_.made_ms, language_)},
        {say(Word::fact_checkpoint),
         size ? say(Word::checkpoint_size, number_text(*size)) : say(Word::none)},
        {say(Word::fact_digest), named(report_.figures_sha256), true},
    };
  }

  [[nodiscard]] std::vector<KeyNumber> numbers() const {
    const CallCount total = total_of(report_.tenants);
    std::uint64_t egress_calls = 0;
    std::uint64_t egress_bytes = 0;
    for (const EgressCount& one : report_.egress) {
      egress_calls = sum(egress_calls, one.calls);
      egress_bytes = sum(egress_bytes, one.bytes_out);
    }
    const auto share = [&](std::uint64_t part) {
      return total.calls == 0 ? "" : say(Word::share_of_calls, share_text(part, total.calls));
    };
    const auto brief = [&](std::uint64_t number) { return short_number_text(number, language_); };
    return {
        {say(Word::number_calls), brief(total.calls),
         say(Word::cancelled_detail, number_text(total.cancelled)), 1},
        {say(Word::number_refused), brief(total.refused), share(total.refused), 0.9},
        {say(Word::number_failed), brief(total.failed), share(total.failed), 0.9},
        {say(Word::number_tokens), brief(sum(total.tokens_in, total.tokens_out)),
         say(Word::tokens_detail, brief(total.tokens_in), brief(total.tokens_out)), 1.3},
        {say(Word::number_egress), brief(egress_calls),
         say(Word::egress_detail, bytes_text(egress_bytes)), 1},
    };
  }

  [[nodiscard]] Section anomalies() const {
    Section section{"anomalies", say(Word::anomalies), {}};
    if (report_.anomalies.empty()) {
      section.blocks.emplace_back(Paragraph{say(Word::anomalies_none)});
      return section;
    }
    section.blocks.emplace_back(Paragraph{say(Word::anomalies_lead), true});
    std::vector<Finding> findings;
    for (const Anomaly& anomaly : report_.anomalies) {
      AnomalyText text = anomaly_text(anomaly, language_);
      findings.push_back({.heading = std::move(text.heading),
                          .subject = std::move(text.subject),
                          .sentence = std::move(text.sentence),
                          .advice = std::move(text.advice),
                          .where = say(Word::first_seen, moment_text(anomaly.first_ms, language_),
                                       number_text(anomaly.first_sequence)),
                          .command = anomaly_command(anomaly)});
    }
    section.blocks.emplace_back(std::move(findings));
    return section;
  }

  [[nodiscard]] Table call_table(Word caption, Word name, const std::vector<CallCount>& counts,
                                 bool data_classes) const {
    Table table{
        say(caption),
        {text_column(name, 2.3), number_column(Word::number_calls, 1.15),
         Column{say(Word::outcomes), ColumnKind::bar, 1.9}, number_column(Word::refused, 1.05),
         number_column(Word::failed, 0.9), number_column(Word::cancelled, 1.1),
         number_column(Word::tokens_in, 1.5), number_column(Word::tokens_out, 1.5)},
        {}};
    std::uint64_t longest = 1;
    for (const CallCount& one : counts) {
      longest = std::max(longest, one.calls);
    }
    for (const CallCount& one : counts) {
      table.rows.push_back(
          {{data_classes ? class_named(one.name) : named(one.name), number_text(one.calls), "",
            number_text(one.refused), number_text(one.failed), number_text(one.cancelled),
            number_text(one.tokens_in), number_text(one.tokens_out)},
           bar_of(one, longest)});
    }
    return table;
  }

  // Clamped from left to right, so that figures which do not add up cannot leave the cell.
  static OutcomeBar bar_of(const CallCount& count, std::uint64_t longest) {
    std::uint64_t left = count.calls;
    const auto part = [&](std::uint64_t number) {
      const std::uint64_t taken = std::min(number, left);
      left -= taken;
      return static_cast<double>(taken) / static_cast<double>(longest);
    };
    OutcomeBar bar;
    bar.refused = part(count.refused);
    bar.failed = part(count.failed);
    bar.cancelled = part(count.cancelled);
    bar.succeeded = part(left);
    return bar;
  }

  [[nodiscard]] Section calls() const {
    Section section{"calls", say(Word::calls), {}};
    const std::size_t rows = report_.tenants.size() + report_.models.size() +
                             report_.data_classes.size() + report_.routes.size();
    if (rows == 0) {
      section.blocks.emplace_back(Paragraph{say(Word::calls_none)});
      return section;
    }
    section.blocks.emplace_back(Legend{say(Word::calls_lead), say(Word::succeeded),
                                       say(Word::refused), say(Word::failed),
                                       say(Word::cancelled)});
    const auto add = [&](Word caption, Word name, const std::vector<CallCount>& counts) {
      if (!counts.empty()) {
        section.blocks.emplace_back(
            call_table(caption, name, counts, caption == Word::by_data_class));
      }
    };
    add(Word::by_tenant, Word::tenant, report_.tenants);
    add(Word::by_model, Word::model, report_.models);
    add(Word::by_data_class, Word::data_class, report_.data_classes);
    add(Word::by_route, Word::route, report_.routes);
    return section;
  }

  [[nodiscard]] Section egress() const {
    Section section{"egress", say(Word::egress), {}};
    if (report_.egress.empty()) {
      section.blocks.emplace_back(Paragraph{say(Word::egress_none)});
      return section;
    }
    section.blocks.emplace_back(Paragraph{say(Word::egress_lead), true});
    Table table{"",
                {text_column(Word::route, 2.2), text_column(Word::data_class, 2),
                 text_column(Word::tenant, 2.2), number_column(Word::number_calls, 1.2),
                 number_column(Word::bytes_out, 1.8)},
                {}};
    for (const EgressCount& one : report_.egress) {
      table.rows.push_back({{named(one.route), class_named(one.data_class), named(one.tenant),
                             number_text(one.calls), number_text(one.bytes_out)},
                            {}});
    }
    section.blocks.emplace_back(std::move(table));
    return section;
  }

  [[nodiscard]] Section refusals() const {
    Section section{"refusals", say(Word::refusals), {}};
    if (report_.refusals.empty()) {
      section.blocks.emplace_back(Paragraph{say(Word::refusals_none)});
      return section;
    }
    section.blocks.emplace_back(Paragraph{say(Word::refusals_lead), true});
    Table table{
        "",
        {code_column(Word::reason, 3.4), number_column(Word::count, 1.3),
         number_column(Word::different_keys, 1.5), number_column(Word::different_addresses, 1.8)},
        {}};
    for (const RefusalCount& one : report_.refusals) {
      table.rows.push_back({{named(one.reason), number_text(one.count), number_text(one.keys),
                             number_text(one.addresses)},
                            {}});
    }
    section.blocks.emplace_back(std::move(table));
    return section;
  }

  [[nodiscard]] Section changes() const {
    Section section{"changes", say(Word::changes), {}};
    if (report_.changes.empty() && report_.changes_left_out == 0) {
      section.blocks.emplace_back(Paragraph{say(Word::changes_none)});
      return section;
    }
    section.blocks.emplace_back(Paragraph{say(Word::changes_lead), true});
    Table table{"",
                {text_column(Word::time_utc, 50), number_column(Word::sequence, 38),
                 code_column(Word::action, 72), code_column(Word::resource, 74),
                 text_column(Word::tenant, 56), text_column(Word::operator_id, 46),
                 text_column(Word::outcome, 44), code_column(Word::reason, 60)},
                {}};
    for (const ChangeEvent& one : report_.changes) {
      table.rows.push_back(
          {{stamp_text(one.unix_ms), number_text(one.sequence), named(one.action), one.resource,
            one.tenant, named(one.operator_id), outcome_text(one.outcome, language_), one.reason},
           {}});
    }
    section.blocks.emplace_back(std::move(table));
    if (report_.changes_left_out > 0) {
      section.blocks.emplace_back(
          Paragraph{say(Word::changes_left_out, number_text(report_.changes_left_out))});
    }
    return section;
  }

  [[nodiscard]] Section verification() const {
    Section section{"verification", say(Word::verification), {}};
    if (report_.checkpoint.empty()) {
      section.blocks.emplace_back(Paragraph{say(Word::checkpoint_none)});
    } else {
      section.blocks.emplace_back(Paragraph{say(Word::checkpoint_lead)});
      section.blocks.emplace_back(Verbatim{say(Word::checkpoint_text), report_.checkpoint});
      const std::optional<std::uint64_t> size = size_of(report_.checkpoint);
      if (size.value_or(0) < report_.last_sequence) {
        section.blocks.emplace_back(
            Paragraph{say(Word::checkpoint_short, number_text(size.value_or(0)),
                          number_text(report_.last_sequence))});
      }
    }
    section.blocks.emplace_back(Paragraph{say(Word::verify_lead)});
    section.blocks.emplace_back(Verbatim{say(Word::verification), "deepmoat audit verify"});
    section.blocks.emplace_back(Paragraph{say(Word::verify_again), true});
    return section;
  }

  [[nodiscard]] Section sign_offs() const {
    Section section{"sign-offs", say(Word::sign_offs), {}};
    if (!report_.sign_offs.empty()) {
      section.blocks.emplace_back(Paragraph{say(Word::sign_offs_lead), true});
      section.blocks.emplace_back(sign_off_table());
      return section;
    }
    section.blocks.emplace_back(Paragraph{say(Word::sign_offs_none)});
    if (!report_.month_over) {
      section.blocks.emplace_back(Paragraph{say(Word::sign_later)});
    } else {
      const std::string month = is_month(report_.month) ? report_.month : "MONTH";
      section.blocks.emplace_back(Paragraph{say(Word::sign_how)});
      section.blocks.emplace_back(Verbatim{
          say(Word::sign_offs), "deepmoat audit sign-off --month " + month + " \\\n  --figures " +
                                    report_.figures_sha256 + " \\\n  --note \"...\""});
    }
    section.blocks.emplace_back(
        SignatureLines{{say(Word::paper_name), say(Word::paper_date), say(Word::paper_signature)}});
    return section;
  }

  [[nodiscard]] Table sign_off_table() const {
    Table table{"",
                {text_column(Word::reviewer, 1.6), text_column(Word::time_utc, 1.5),
                 text_column(Word::signed_figures, 2.4), text_column(Word::note, 3.2)},
                {}};
    for (const SignOff& one : report_.sign_offs) {
      const bool these = !one.report_sha256.empty() && one.report_sha256 == report_.figures_sha256;
      table.rows.push_back(
          {{named(one.reviewer), stamp_text(one.unix_ms),
            these ? say(Word::these_figures) : say(Word::other_figures, named(one.report_sha256)),
            one.note},
           {}});
    }
    return table;
  }

  const MonthlyReport& report_;
  Language language_;
};

}  // namespace

Document report_document(const MonthlyReport& report, Language language) {
  return Author(report, language).document();
}

}  // namespace deepmoat::review
