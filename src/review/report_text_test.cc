#include "review/report_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace deepmoat::review {
namespace {

constexpr Language kLanguages[] = {Language::english, Language::chinese};
constexpr AnomalyKind kKinds[] = {
    AnomalyKind::unfinished_calls, AnomalyKind::new_address,          AnomalyKind::refusal_burst,
    AnomalyKind::call_surge,       AnomalyKind::night_administration, AnomalyKind::clock_step,
    AnomalyKind::leaked_key};

bool has_chinese(std::string_view text) {
  // U+4E00 to U+9FFF begin with the bytes E4 to E9.
  return std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0xe4 && byte <= 0xe9;
  });
}

TEST(ReportText, HasAsManyPlacesToFillInInBothLanguages) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(Word::end_); ++i) {
    const Word word = static_cast<Word>(i);
    const auto places = [&](Language language) {
      return std::ranges::count(words(word, language), '{');
    };
    EXPECT_EQ(places(Language::english), places(Language::chinese))
        << words(word, Language::english);
    EXPECT_FALSE(has_chinese(words(word, Language::english))) << words(word, Language::english);
  }
}

TEST(ReportText, IsChineseWhereTheReportIs) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(Word::end_); ++i) {
    const Word word = static_cast<Word>(i);
    // A unit of models that Chinese readers write in Latin letters too; a date and a time of day.
    if (word != Word::number_tokens && word != Word::moment) {
      EXPECT_TRUE(has_chinese(words(word, Language::chinese))) << words(word, Language::chinese);
    }
  }
}

TEST(ReportText, ExplainsEveryKindOfAnomalyInBothLanguages) {
  for (const AnomalyKind kind : kKinds) {
    for (const Language language : kLanguages) {
      for (const std::uint64_t count : {1U, 1234U}) {
        const AnomalyText text = anomaly_text({.kind = kind, .count = count}, language);
        for (const std::string& part : {text.heading, text.sentence, text.advice}) {
          EXPECT_FALSE(part.empty());
          EXPECT_EQ(has_chinese(part), language == Language::chinese) << part;
          EXPECT_EQ(part.find('{'), std::string::npos) << part;
        }
        if (count == 1234) {
          EXPECT_NE(text.sentence.find("1,234"), std::string::npos) << text.sentence;
        }
      }
    }
  }
}

TEST(ReportText, EnglishSaysOneThingInTheSingular) {
  EXPECT_EQ(anomaly_text({.kind = AnomalyKind::night_administration, .count = 1}, Language::english)
                .sentence,
            "1 change fell between 22:00 and 06:00 UTC.");
  EXPECT_EQ(anomaly_text({.kind = AnomalyKind::new_address, .count = 1}, Language::english)
                .sentence.substr(0, 31),
            "The key was used from 1 address");
}

TEST(ReportText, PutsASubjectIntoACommandOnlyIfAShellTakesItLiterally) {
  Anomaly anomaly{.kind = AnomalyKind::leaked_key, .subject = "k_2290", .first_sequence = 98011};
  EXPECT_EQ(anomaly_command(anomaly), "deepmoat audit query --key k_2290 --after 98010");
  for (const char* hostile : {"a; rm -rf x", "$(id)", "`id`", "a b", "-f", "--data", "", "a\nb",
                              "'", "病案科", "a|b", "a&b", "a>b", "*", "~", "a\\b"}) {
    anomaly.subject = hostile;
    EXPECT_EQ(anomaly_command(anomaly), "deepmoat audit query --after 98010") << hostile;
  }
}

TEST(ReportText, AsksTheQueryForTheFirstRecordToo) {
  EXPECT_EQ(anomaly_command({.kind = AnomalyKind::clock_step, .first_sequence = 7}),
            "deepmoat audit query --after 6");
  EXPECT_EQ(anomaly_command({.kind = AnomalyKind::clock_step, .first_sequence = 0}),
            "deepmoat audit query --after 0");
}

TEST(ReportText, CountsWhatIsNotListedAsThat) {
  const Anomaly others{.kind = AnomalyKind::refusal_burst, .count = 1203, .subject = "(others)"};
  const AnomalyText text = anomaly_text(others, Language::english);
  EXPECT_EQ(text.subject, "");
  EXPECT_EQ(text.sentence, "1,203 more of this kind are not listed here.");
  EXPECT_EQ(anomaly_command(others), "deepmoat audit query --outcome refused --after 0");
}

TEST(ReportText, SaysWhichWayTheClockWasSet) {
  const Anomaly step{.kind = AnomalyKind::clock_step, .count = 2, .subject = "backward"};
  EXPECT_EQ(anomaly_text(step, Language::english).subject, "first time: backward");
  EXPECT_EQ(anomaly_text(step, Language::chinese).subject, "首次为拨慢");
}

TEST(ReportText, SeparatesThousands) {
  EXPECT_EQ(number_text(0), "0");
  EXPECT_EQ(number_text(999), "999");
  EXPECT_EQ(number_text(1000), "1,000");
  EXPECT_EQ(number_text(std::numeric_limits<std::uint64_t>::max()), "18,446,744,073,709,551,615");
}

TEST(ReportText, ShortensLargeNumbersInTheUnitsOfTheLanguage) {
  EXPECT_EQ(short_number_text(9'999'999, Language::english), "9,999,999");
  EXPECT_EQ(short_number_text(174'589'599, Language::english), "174.5 M");
  EXPECT_EQ(short_number_text(12'345'000'000, Language::english), "12.3 G");
  EXPECT_EQ(short_number_text(12'345'678, Language::chinese), "1,234 万");
  EXPECT_EQ(short_number_text(174'589'599, Language::chinese), "1.74 亿");
}

TEST(ReportText, WritesSizesInDecimalUnits) {
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(3'211'773), "3.2 MB");
  EXPECT_EQ(bytes_text(999'999), "999.9 kB");
  EXPECT_EQ(bytes_text(std::numeric_limits<std::uint64_t>::max()), "18.4 EB");
}

TEST(ReportText, NeverShowsAFewAsNone) {
  EXPECT_EQ(share_text(0, 100'000), "0.0%");
  EXPECT_EQ(share_text(1, 100'000), "<0.1%");
  EXPECT_EQ(share_text(12, 1000), "1.2%");
  EXPECT_EQ(share_text(0, 0), "");
}

TEST(ReportText, WritesDatesAsTheLanguageDoes) {
  constexpr UnixMillis kTime = 1'796'018'765'123;  // date -u -d @1796018765
  EXPECT_EQ(stamp_text(kTime), "2026-11-30 06:06:05");
  EXPECT_EQ(iso_text(kTime), "2026-11-30T06:06:05Z");
  EXPECT_EQ(moment_text(kTime, Language::english), "30 November 2026, 06:06 UTC");
  EXPECT_EQ(moment_text(kTime, Language::chinese), "2026 年 11 月 30 日 06:06（UTC）");
  EXPECT_EQ(month_text("2026-02", Language::english), "February 2026");
  EXPECT_EQ(month_text("2026-02", Language::chinese), "2026 年 2 月");
}

TEST(ReportText, WritesTimesThatAreNoneWithoutFailing) {
  EXPECT_EQ(stamp_text(-1), "1969-12-31 23:59:59");
  for (const UnixMillis time :
       {std::numeric_limits<UnixMillis>::max(), std::numeric_limits<UnixMillis>::min()}) {
    EXPECT_FALSE(stamp_text(time).empty());
    EXPECT_FALSE(moment_text(time, Language::chinese).empty());
  }
}

TEST(ReportText, TakesOnlyMonthsForMonths) {
  EXPECT_TRUE(is_month("2026-01"));
  EXPECT_TRUE(is_month("2026-12"));
  for (const char* text : {"2026-00", "2026-13", "2026-1", "2026/11", "2026-1x", "", "2026-111"}) {
    EXPECT_FALSE(is_month(text)) << text;
    EXPECT_EQ(month_text(text, Language::english), text);
  }
}

TEST(ReportText, TranslatesTheCodeWordsOfARecordAndKeepsUnknownOnes) {
  for (const char* outcome : {"pending", "success", "refused", "failed", "cancelled"}) {
    EXPECT_TRUE(has_chinese(outcome_text(outcome, Language::chinese))) << outcome;
  }
  for (const char* data_class : {"public", "internal", "sensitive", "restricted"}) {
    EXPECT_TRUE(has_chinese(data_class_text(data_class, Language::chinese))) << data_class;
    EXPECT_EQ(data_class_text(data_class, Language::english), data_class);
  }
  EXPECT_EQ(outcome_text("<b>", Language::chinese), "<b>");
  EXPECT_EQ(data_class_text("<b>", Language::chinese), "<b>");
}

}  // namespace
}  // namespace deepmoat::review
