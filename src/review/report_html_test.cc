#include "review/report_html.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <regex>
#include <set>
#include <string>
#include <vector>

#include "review/scratch_report.h"

namespace deepmoat::review {
namespace {

constexpr Language kLanguages[] = {Language::english, Language::chinese};

// All tags of a page in their order, as a parser that knows no comments and no scripts finds them.
std::vector<std::string> tags_of(const std::string& page) {
  std::vector<std::string> tags;
  for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    tags.push_back(page.substr(at, page.find('>', at) + 1 - at));
  }
  return tags;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

// What a browser shows for what we escaped.
std::string unescaped(std::string text) {
  const std::pair<const char*, const char*> names[] = {
      {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&#39;", "'"}, {"&amp;", "&"}};
  for (const auto& [name, character] : names) {
    text = std::regex_replace(text, std::regex(name), character);
  }
  return text;
}

TEST(ReportHtml, HostileTextsInEveryFieldMakeNoTagAndNoAttribute) {
  for (const Language language : kLanguages) {
    const std::vector<std::string> expected = tags_of(report_html(month_of("x"), language));
    for (const std::string& hostile : kHostile) {
      const std::string page = report_html(month_of(hostile), language);
      EXPECT_EQ(tags_of(page), expected) << hostile;
      EXPECT_EQ(page.find(hostile), std::string::npos) << hostile;
      EXPECT_GE(count_of(unescaped(page), hostile), 20U) << hostile;
    }
  }
}

RC_GTEST_PROP(ReportHtml, AnyTextMakesNoTagAndNoAttribute, (const std::string& text)) {
  RC_PRE(!text.empty());
  static const std::vector<std::string> expected =
      tags_of(report_html(month_of("x"), Language::english));
  RC_ASSERT(tags_of(report_html(month_of(text), Language::english)) == expected);
}

TEST(ReportHtml, HoldsNoControlCharactersAndNothingThatTurnsALine) {
  const std::string page = report_html(
      month_of("a\x1b[2Jb\0c\x7f\xe2\x80\xae\xff\r" + std::string(1, '\0')), Language::english);
  EXPECT_NE(page.find("a?[2Jb"), std::string::npos);
  for (const char c : {'\x1b', '\x7f', '\0', '\r', '\xff'}) {
    EXPECT_EQ(page.find(c), std::string::npos) << static_cast<int>(c);
  }
  EXPECT_EQ(page.find("\xe2\x80\xae"), std::string::npos);
}

TEST(ReportHtml, NeedsNothingFromOutside) {
  for (const Language language : kLanguages) {
    const std::string page = report_html(hospital_month(), language);
    for (const char* part : {"<script", "src=", "href=", "url(", "@import", "<link"}) {
      EXPECT_EQ(page.find(part), std::string::npos) << part;
    }
    EXPECT_EQ(count_of(page, "style=\""), count_of(page, "<col style=\"width:"));
    EXPECT_NE(page.find("default-src 'none'; style-src 'unsafe-inline'"), std::string::npos);
  }
}

TEST(ReportHtml, NamesItsLanguageItsHeadingsAndTheCellsThatHeadOthers) {
  const std::string english = report_html(hospital_month(), Language::english);
  EXPECT_TRUE(english.starts_with("<!doctype html>\n<html lang=\"en\">"));
  EXPECT_EQ(count_of(english, "<h1>"), 1U);
  EXPECT_EQ(count_of(english, "<th>"), 0U);
  EXPECT_EQ(count_of(english, "<th scope=\"col\""), 4 * 8U + 5 + 4 + 8);
  // A row each of tenants, models, classes, routes, egress, refusals and changes.
  EXPECT_EQ(count_of(english, "<th scope=\"row\""), 6 + 4 + 4 + 3 + 2 + 5 + 8U);
  const std::string chinese = report_html(hospital_month(), Language::chinese);
  EXPECT_NE(chinese.find("<html lang=\"zh-CN\">"), std::string::npos);
  for (const char* heading : {"审计月报", "需要核查的情况", "调用情况", "数据外发", "拒绝情况",
                              "密钥与管理操作", "检查点与校验", "签核"}) {
    EXPECT_NE(chinese.find(heading), std::string::npos) << heading;
  }
}

TEST(ReportHtml, ShowsTheFigures) {
  const std::string page = report_html(hospital_month(), Language::english);
  for (const char* figure :
       {"<strong>116,338</strong>", "<strong>1,086</strong>", "<strong>174.4 M</strong>",
        "<strong>1,142</strong>", "calls, 3.2 MB sent", "232,677, sequences 1,188 to 233,864",
        "covers the first 233,901 records", "61,204,118", "2,410,331", "deepmoat audit verify",
        "deepmoat audit query --ip 10.20.7.93 --outcome refused --after 160219",
        "1 November 2026 to 1 December 2026 UTC"}) {
    EXPECT_NE(page.find(figure), std::string::npos) << figure;
  }
}

TEST(ReportHtml, ShowsTheCheckpointVerbatim) {
  const MonthlyReport report = hospital_month();
  EXPECT_NE(report_html(report, Language::chinese).find("\">\n" + report.checkpoint + "</pre>"),
            std::string::npos);
}

TEST(ReportHtml, SaysWhenTheCheckpointIsOlderThanTheMonth) {
  MonthlyReport report = hospital_month();
  EXPECT_EQ(report_html(report, Language::english).find("make the report again"),
            std::string::npos);
  report.last_sequence = 233'902;
  EXPECT_NE(report_html(report, Language::english)
                .find("covers the log up to sequence 233,901, but the month goes up to 233,902"),
            std::string::npos);
}

TEST(ReportHtml, SaysInSentencesWhatIsEmpty) {
  const std::string english = report_html(empty_month(), Language::english);
  for (const char* sentence :
       {"The rules found nothing unusual", "There were no calls", "Nothing left the building",
        "No call was refused", "Nothing was changed", "No signed checkpoint",
        "Nobody has signed"}) {
    EXPECT_NE(english.find(sentence), std::string::npos) << sentence;
  }
  EXPECT_EQ(english.find("<table"), std::string::npos);
  const std::string chinese = report_html(empty_month(), Language::chinese);
  for (const char* sentence : {"未发现异常", "本月没有调用", "没有数据外发", "没有调用被拒绝",
                               "没有管理变更", "没有签名检查点", "尚无人签核"}) {
    EXPECT_NE(chinese.find(sentence), std::string::npos) << sentence;
  }
}

TEST(ReportHtml, NamesWhatHasNoNameAsTheLanguageDoes) {
  MonthlyReport report = empty_month();
  const std::string nothing = report_html(report, Language::chinese);
  report.tenants = report.data_classes = {{std::string(kNoName), 3, 0, 0, 0, 0, 0},
                                          {std::string(kOthers), 2, 0, 0, 0, 0, 0}};
  const std::string chinese = report_html(report, Language::chinese);
  EXPECT_EQ(count_of(chinese, "（无）"), count_of(nothing, "（无）") + 2);
  EXPECT_EQ(count_of(chinese, "（其他）"), 2U);
  EXPECT_EQ(chinese.find("(none)"), std::string::npos);
  EXPECT_EQ(chinese.find("(others)"), std::string::npos);
}

TEST(ReportHtml, HasARowForEachOfTenThousandChangesAndSaysHowManyWereLeftOut) {
  MonthlyReport report = empty_month();
  for (std::uint64_t i = 1; i <= 10'000; ++i) {
    report.changes.push_back({kNovember2026, i, "key.create", "k_" + std::to_string(i) + "_", "t",
                              "alice", "success", ""});
  }
  report.changes_left_out = 12'345;
  const std::string page = report_html(report, Language::english);
  EXPECT_EQ(count_of(page, "<th scope=\"row\""), 10'000U);
  for (const int i : {1, 5'000, 10'000}) {
    EXPECT_EQ(count_of(page, "k_" + std::to_string(i) + "_"), 1U);
  }
  EXPECT_NE(page.find("12,345 later changes are not shown here"), std::string::npos);
}

TEST(ReportHtml, TellsASignOffOfTheseFiguresFromOneOfOthers) {
  MonthlyReport report = hospital_month();
  sign(report);
  const std::string page = report_html(report, Language::english);
  EXPECT_EQ(count_of(page, "these figures</td>"), 1U);
  EXPECT_EQ(count_of(page, "other figures: 60303ae2"), 1U);
  EXPECT_EQ(page.find("Nobody has signed"), std::string::npos);
}

TEST(ReportHtml, AsksForASignatureOnlyWhenTheMonthIsOver) {
  MonthlyReport report = hospital_month();
  EXPECT_NE(report_html(report, Language::english).find("audit sign-off --month 2026-11"),
            std::string::npos);
  report.month_over = false;
  const std::string page = report_html(report, Language::english);
  EXPECT_EQ(page.find("audit sign-off --month"), std::string::npos);
  EXPECT_NE(page.find("The month is not over"), std::string::npos);
}

TEST(ReportHtml, DrawsNoBarBeyondItsCellWhenFiguresDoNotAddUp) {
  MonthlyReport report = empty_month();
  report.tenants = {{"a", 10, 8, 8, 8, 0, 0}, {"b", 5, 0, 0, 0, 0, 0}};
  const std::string page = report_html(report, Language::english);
  EXPECT_NE(page.find("<rect class=\"refused\" x=\"0.00\" width=\"80.00\" height=\"8\"/>"
                      "<rect class=\"failed\" x=\"80.00\" width=\"20.00\" height=\"8\"/></svg>"),
            std::string::npos);
  EXPECT_NE(page.find("<rect class=\"ok\" x=\"0.00\" width=\"50.00\" height=\"8\"/></svg>"),
            std::string::npos);
}

}  // namespace
}  // namespace deepmoat::review
