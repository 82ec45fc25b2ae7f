// What poppler reads out of the PDF: pdftotext and pdfinfo.
#include "review/report_pdf.h"

#include <cairo.h>
#include <fmt/format.h>
#include <fontconfig/fontconfig.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "base/scratch_folder.h"
#include "review/pdf_sheet.h"
#include "review/scratch_report.h"

namespace deepmoat::review {
namespace {

// What the libraries keep for the next report, given back so that a leak checker sees only leaks:
// fontconfig holds much of it by offsets, which no checker follows.
class FontCaches : public testing::Environment {
 public:
  void TearDown() override {
    cairo_debug_reset_static_data();
    FcFini();
  }
};
const testing::Environment* const kFontCaches =
    testing::AddGlobalTestEnvironment(std::make_unique<FontCaches>().release());

constexpr Language kLanguages[] = {Language::english, Language::chinese};

// What `program` prints of `pdf`; the path is of ours and needs no quoting.
std::string shown_by(const std::string& program, const std::string& pdf,
                     const std::string& after = "") {
  const ScratchFolder folder;
  const std::string path = folder / "report.pdf";
  std::ofstream(path, std::ios::binary) << pdf;
  const std::string command = program + " " + path + " " + after;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  EXPECT_TRUE(pipe);
  std::string shown;
  std::array<char, 4096> bytes{};
  for (std::size_t got = 1; got > 0;) {
    got = std::fread(bytes.data(), 1, bytes.size(), pipe.get());
    shown.append(bytes.data(), got);
  }
  return shown;
}

std::string text_of(const std::string& pdf) {
  return shown_by("pdftotext -layout", pdf, "-");
}

std::string pdf_of(const MonthlyReport& report, Language language) {
  const auto made = report_pdf(report, language);
  EXPECT_TRUE(made) << made.error().message;
  return made.value_or("");
}

int pages_of(const std::string& pdf) {
  const std::string info = shown_by("pdfinfo", pdf);
  std::smatch found;
  return std::regex_search(info, found, std::regex("Pages: +([0-9]+)")) ? std::stoi(found[1]) : 0;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

std::string without_spaces(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n' || c == '\f'; });
  return text;
}

TEST(ReportPdf, GivesBackTheFiguresInBothLanguages) {
  for (const Language language : kLanguages) {
    const std::string pdf = pdf_of(hospital_month(), language);
    EXPECT_TRUE(pdf.starts_with("%PDF-"));
    const std::string text = text_of(pdf);
    for (const char* figure :
         {"116,338", "1,086", "1,142", "48,210", "61,204,118", "2,410,331", "3.2 MB", "233,901",
          "radiology", "病案科", "qwen3-32b-instruct", "rate_limit_exceeded", "2026-11-02",
          "deepmoat audit verify", "deepmoat audit sign-off --month 2026-11",
          "deepmoat audit query --ip 10.20.7.93 --outcome refused --after 160219",
          "1TzSbnCPPYaBMYIXdnZKBZfYRvT1MuGRcZp4ZgMVWsI=", "— deepmoat/5f0c9a1e77b2d340 3p0mPq"}) {
      EXPECT_NE(text.find(figure), std::string::npos) << figure;
    }
  }
}

TEST(ReportPdf, HasItsHeadingsInTheLanguage) {
  const std::string chinese = text_of(pdf_of(hospital_month(), Language::chinese));
  for (const char* heading : {"审计月报", "2026 年 11 月", "需要核查的情况", "调用情况", "数据外发",
                              "拒绝情况", "密钥与管理操作", "检查点与校验", "签核"}) {
    EXPECT_NE(chinese.find(heading), std::string::npos) << heading;
  }
  const std::string english = text_of(pdf_of(hospital_month(), Language::english));
  for (const char* heading : {"Monthly audit report", "November 2026", "What to look at",
                              "What left the building", "Sign-off"}) {
    EXPECT_NE(english.find(heading), std::string::npos) << heading;
  }
}

TEST(ReportPdf, ShowsHostileTextsLiterally) {
  for (const std::string& hostile : kHostile) {
    const std::string text = without_spaces(text_of(pdf_of(month_of(hostile), Language::english)));
    EXPECT_NE(text.find(without_spaces(hostile)), std::string::npos) << hostile;
  }
}

// A hyphen of pango's is ink without text: poppler does not tell of it, the width of a line does.
TEST(ReportPdf, PutsNoHyphenWhereItBreaksAName) {
  auto sheets = Sheets::make({}, false);
  ASSERT_TRUE(sheets);
  const double one = sheets->lay_out("m", {}, 100).drawn_width();
  const LaidOut broken = sheets->lay_out(std::string(100, 'm'), {}, 10.5 * one);
  EXPECT_EQ(broken.lines().size(), 10U);
  EXPECT_NEAR(broken.drawn_width(), 10 * one, 0.1);
}

TEST(ReportPdf, SurvivesBytesThatAreNoText) {
  const std::string hostile =
      std::string("a\0b\xff\xc3", 5) + "\xed\xa0\x80\x1b[2J\r\n\t\xe2\x80\xae";
  const std::string text = text_of(pdf_of(month_of(hostile), Language::chinese));
  EXPECT_NE(without_spaces(text).find("a?b??"), std::string::npos);
}

TEST(ReportPdf, WritesTheNumberOfACharacterThatNoFontHas) {
  MonthlyReport report = empty_month();
  report.tenants = {{"ward \xf3\xb0\x80\x80", 1, 0, 0, 0, 0, 0}};  // private use, plane 15
  const std::string text = text_of(pdf_of(report, Language::english));
  EXPECT_NE(text.find("ward U+F0000"), std::string::npos);
}

// pdftotext tells where each word stands: none may stick out of the sheet's margins.
TEST(ReportPdf, KeepsLongTextsOnThePage) {
  std::string word;
  for (int i = 0; i < 90; ++i) {
    word += "0123456789";
  }
  std::string wide;
  for (int i = 0; i < 400; ++i) {
    wide += "审";
  }
  std::string spaced;
  for (int i = 0; i < 300; ++i) {
    spaced += "ab c";
  }
  for (const std::string& text : {word, wide, spaced}) {
    const std::string boxes =
        shown_by("pdftotext -bbox", pdf_of(month_of(text), Language::english), "-");
    const std::regex box(R"re(<word xMin="([-0-9.]+)" yMin="([-0-9.]+)" )re"
                         R"re(xMax="([-0-9.]+)" yMax="([-0-9.]+)")re");
    int count = 0;
    for (std::sregex_iterator at(boxes.begin(), boxes.end(), box), end; at != end; ++at, ++count) {
      EXPECT_GT(std::stod((*at)[1]), 45) << at->str();
      EXPECT_GT(std::stod((*at)[2]), 40) << at->str();
      EXPECT_LT(std::stod((*at)[3]), 595.3 - 45) << at->str();
      EXPECT_LT(std::stod((*at)[4]), 841.9 - 25) << at->str();
    }
    EXPECT_GT(count, 100);
  }
}

TEST(ReportPdf, CutsATextOfATableAtTheStatedLength) {
  MonthlyReport report = empty_month();
  report.refusals = {{std::string(kPdfCellCharactersMax, 'a') + "b", 1, 1, 1}};
  std::string text = without_spaces(text_of(pdf_of(report, Language::english)));
  EXPECT_EQ(text.find("ab"), std::string::npos);
  EXPECT_NE(text.find("…"), std::string::npos);
  report.refusals[0].reason.erase(1, 1);
  text = without_spaces(text_of(pdf_of(report, Language::english)));
  EXPECT_NE(text.find("ab"), std::string::npos);
}

TEST(ReportPdf, NumbersItsPages) {
  for (const Language language : kLanguages) {
    const std::string pdf = pdf_of(hospital_month(), language);
    const int pages = pages_of(pdf);
    EXPECT_EQ(pages, 4);
    for (int page = 1; page <= pages; ++page) {
      const std::string one = shown_by(
          "pdftotext -layout -f " + std::to_string(page) + " -l " + std::to_string(page), pdf, "-");
      EXPECT_EQ(count_of(without_spaces(one) + "$", fmt::format("{}/{}$", page, pages)), 1U);
    }
  }
}

TEST(ReportPdf, FitsAnEmptyMonthOnTwoPagesAndSaysWhatIsEmpty) {
  const std::string english = pdf_of(empty_month(), Language::english);
  EXPECT_LE(pages_of(english), 2);
  const std::string text = text_of(english);
  for (const char* sentence :
       {"The rules found nothing unusual", "There were no calls", "Nothing left the building",
        "No call was refused", "Nothing was changed", "No signed checkpoint",
        "Nobody has signed"}) {
    EXPECT_NE(text.find(sentence), std::string::npos) << sentence;
  }
}

TEST(ReportPdf, HasARowForEachOfTenThousandChangesUnderAHeadOnEachPage) {
  MonthlyReport report = empty_month();
  for (std::uint64_t i = 1; i <= 10'000; ++i) {
    report.changes.push_back({kNovember2026, i, "key.create", "k_" + std::to_string(i) + "_", "t",
                              "alice", "success", ""});
  }
  report.changes_left_out = 12'345;
  const std::string pdf = pdf_of(report, Language::english);
  const std::string text = text_of(pdf);
  EXPECT_EQ(count_of(text, "key.create"), 10'000U);
  for (const int i : {1, 5'000, 10'000}) {
    EXPECT_EQ(count_of(text, "k_" + std::to_string(i) + "_"), 1U) << i;
  }
  EXPECT_NE(text.find("12,345 later changes are not shown here"), std::string::npos);
  // Every page but the last one, with the checkpoint, has rows under a head.
  EXPECT_GE(count_of(text, "Time (UTC)"), static_cast<std::size_t>(pages_of(pdf)) - 1);
}

TEST(ReportPdf, IsTheSameForTheSameReportAndDatedByIt) {
  const std::string pdf = pdf_of(hospital_month(), Language::chinese);
  EXPECT_EQ(pdf, pdf_of(hospital_month(), Language::chinese));
  EXPECT_NE(shown_by("TZ=UTC pdfinfo -isodates", pdf).find("2026-12-01T06:05:00Z"),
            std::string::npos);
}

TEST(ReportPdf, IsMadeOnSeveralThreadsAtOnce) {
  const std::string expected = pdf_of(hospital_month(), Language::chinese);
  std::array<std::string, 4> made;
  {
    std::vector<std::jthread> threads;
    for (std::string& one : made) {
      threads.emplace_back([&one] { one = pdf_of(hospital_month(), Language::chinese); });
    }
  }
  for (const std::string& one : made) {
    EXPECT_TRUE(one == expected);
  }
}

// fontconfig's current configuration belongs to the process: put back at the end.
TEST(ReportPdf, NamesAPackageWhenThereIsNoFontRatherThanDrawBoxes) {
  FcConfig* before = FcConfigReference(nullptr);
  FcConfig* without_fonts = FcConfigCreate();
  FcConfigSetCurrent(without_fonts);
  FcConfigDestroy(without_fonts);
  for (const Language language : kLanguages) {
    const auto made = report_pdf(hospital_month(), language);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::unavailable);
    EXPECT_NE(made.error().message.find("package fonts-"), std::string::npos);
  }
  FcConfigSetCurrent(before);
  FcConfigDestroy(before);
  EXPECT_TRUE(report_pdf(hospital_month(), Language::chinese));
}

}  // namespace
}  // namespace deepmoat::review
