#include "review/csv.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "review/scratch_index.h"

namespace deepmoat::review {
namespace {

// The fields of one record of RFC 4180, with its line end.
std::vector<std::string> parse(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[++i];
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == ',' && !quoted) {
      fields.emplace_back();
    } else if (line.substr(i) == "\r\n" && !quoted) {
      return fields;
    } else {
      fields.back() += line[i];
    }
  }
  ADD_FAILURE() << "no line end: " << line;
  return fields;
}

TEST(Csv, QuotesWhatHasTo) {
  EXPECT_EQ(csv_field("plain text"), "plain text");
  EXPECT_EQ(csv_field(""), "");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("say \"no\""), "\"say \"\"no\"\"\"");
  EXPECT_EQ(csv_field("two\r\nlines"), "\"two\r\nlines\"");
}

TEST(Csv, TakesTheForceFromFormulas) {
  EXPECT_EQ(csv_field("=1+1"), "'=1+1");
  EXPECT_EQ(csv_field("+1"), "'+1");
  EXPECT_EQ(csv_field("-1"), "'-1");
  EXPECT_EQ(csv_field("@SUM(A1)"), "'@SUM(A1)");
  EXPECT_EQ(csv_field("\t=1"), "'\t=1");
  EXPECT_EQ(csv_field("\r=1"), "\"'\r=1\"");
  EXPECT_EQ(csv_field("\n=1"), "\"'\n=1\"");
  EXPECT_EQ(csv_field("\xef\xbc\x9d"
                      "1"),
            "'\xef\xbc\x9d"
            "1");
  EXPECT_EQ(csv_field("=HYPERLINK(\"http://x\",\"y\")"),
            "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"");
  EXPECT_EQ(csv_field("a=1"), "a=1");
  EXPECT_EQ(csv_field("'=1"), "'=1");
}

TEST(Csv, HasNothingThatATerminalObeys) {
  EXPECT_EQ(csv_field("\x1b[2J"), "?[2J");
  EXPECT_EQ(csv_field(std::string("a\0b", 3)), "a?b");
  EXPECT_EQ(csv_field("\xff"), "?");
  EXPECT_EQ(csv_field("\xe6\xb3\x95\xe5\x8a\xa1"), "\xe6\xb3\x95\xe5\x8a\xa1");
}

TEST(Csv, HasAsManyFieldsAsNamesWhateverTheTexts) {
  const std::vector<std::string> names = parse(csv_header());
  EXPECT_EQ(names.front(), "sequence");
  EXPECT_EQ(names.back(), "reason");
  audit::Entry entry{.sequence = 7, .record = sample_call()};
  entry.record.reason = "a,\"b\"\r\nc";
  entry.record.tenant = ",,,";
  const std::vector<std::string> fields = parse(csv_row(entry));
  ASSERT_EQ(fields.size(), names.size());
  EXPECT_EQ(fields[0], "7");
  EXPECT_EQ(fields[1], "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(fields.back(), "a,\"b\"\r\nc");
  const auto field = [&](std::string_view name) {
    return fields.at(static_cast<std::size_t>(std::ranges::find(names, name) - names.begin()));
  };
  EXPECT_EQ(field("tenant"), ",,,");
  EXPECT_EQ(field("phase"), "result");
  EXPECT_EQ(field("operation_type"), "EXECUTE");
  EXPECT_EQ(field("outcome"), "success");
  EXPECT_EQ(field("model_version"), "0123456789abcdef");
  EXPECT_EQ(field("tokens_out"), "20");
}

RC_GTEST_PROP(Csv, AnyTextIsOneFieldAndNoFormula, (const std::string& text)) {
  const std::vector<std::string> fields = parse("x," + csv_field(text) + ",y\r\n");
  RC_ASSERT(fields.size() == 3U);
  RC_ASSERT(fields[1].empty() ||
            std::string_view("=+-@\t\r\n").find(fields[1][0]) == std::string_view::npos);
}

}  // namespace
}  // namespace deepmoat::review
