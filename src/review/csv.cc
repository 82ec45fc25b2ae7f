// CSV of records. Pure, any thread.
#include "review/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <type_traits>

#include "base/printable.h"
#include "review/index_row.h"

namespace deepmoat::review {

namespace {

constexpr std::string_view kKeptControls = "\t\r\n";

bool begins_a_formula(std::string_view text) {
  // The last four: U+FF1D, U+FF0B, U+FF0D, U+FF20, which some spreadsheets read like = + - @.
  constexpr std::array<std::string_view, 11> kBeginnings{"=",
                                                         "+",
                                                         "-",
                                                         "@",
                                                         "\t",
                                                         "\r",
                                                         "\n",
                                                         "\xef\xbc\x9d",
                                                         "\xef\xbc\x8b",
                                                         "\xef\xbc\x8d",
                                                         "\xef\xbc\xa0"};
  return std::ranges::any_of(kBeginnings,
                             [text](std::string_view one) { return text.starts_with(one); });
}

// What a row of the table is made of, in the order of the columns.
template <class Visit>
void each_value(const audit::Entry& entry, Visit&& visit) {
  visit("sequence", entry.sequence);
  visit("time", audit::format_time(entry.record.unix_ms));
  const IndexRow row{.entry = entry};
  each_column(row, [&](std::string_view name, const auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    const bool of_the_index = name == "sequence" || name == "segment" || name == "frame_offset" ||
                              name == "result_sequence";
    if (of_the_index) {
      return;
    }
    if constexpr (std::is_enum_v<Value>) {
      visit(name, name_of(value));
    } else {
      visit(name, value);
    }
  });
}

}  // namespace

std::string csv_field(std::string_view text) {
  std::string field = begins_a_formula(text) ? "'" : "";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(kKeptControls), text.size());
    field += printable(text.substr(0, end));
    if (end < text.size()) {
      field += text[end];
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (field.find_first_of(",\"\r\n") == std::string::npos) {
    return field;
  }
  std::string quoted = "\"";
  for (const char c : field) {
    quoted.append(c == '"' ? 2 : 1, c);
  }
  return quoted + "\"";
}

std::string csv_header() {
  std::string line;
  each_value(audit::Entry{}, [&](std::string_view name, const auto&) {
    line.append(line.empty() ? "" : ",").append(name);
  });
  return line + "\r\n";
}

std::string csv_row(const audit::Entry& entry) {
  std::string line;
  bool first = true;
  each_value(entry, [&](std::string_view, const auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    line += first ? "" : ",";
    first = false;
    if constexpr (std::is_integral_v<Value>) {
      line += fmt::format("{}", value);
    } else {
      line += csv_field(value);
    }
  });
  return line + "\r\n";
}

}  // namespace deepmoat::review
