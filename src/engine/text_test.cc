#include "engine/text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace deepmoat::engine {
namespace {

TEST(Utf8Stream, HoldsHalfCharactersBack) {
  Utf8Stream stream;
  EXPECT_EQ(stream.feed("a\xE4\xBD"), "a");
  EXPECT_EQ(stream.feed("\xA0"
                        "b"),
            "\xE4\xBD\xA0"
            "b");
  EXPECT_EQ(stream.feed("\xF0\x9F\x98"), "");
}

TEST(Utf8Stream, ReplacesWhatIsNoUtf8) {
  EXPECT_EQ(Utf8Stream().feed("a\xFFz"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(Utf8Stream().feed("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD") << "overlong";
  EXPECT_EQ(Utf8Stream().feed("\xED\xA0\x80z").substr(0, 3), "\xEF\xBF\xBD") << "surrogate";
  EXPECT_EQ(Utf8Stream().feed("\xE4z"), "\xEF\xBF\xBDz");
}

TEST(Utf8Stream, AnySplitGivesTheSameCharacters) {
  EXPECT_TRUE(rc::check([](const std::string& bytes, const std::vector<std::uint8_t>& cuts) {
    Utf8Stream whole;
    const std::string expected = whole.feed(bytes);
    Utf8Stream stream;
    std::string got;
    std::string_view rest = bytes;
    for (const std::uint8_t cut : cuts) {
      const std::size_t n = std::min<std::size_t>(cut % 5, rest.size());
      got += stream.feed(rest.substr(0, n));
      rest.remove_prefix(n);
    }
    got += stream.feed(rest);
    RC_ASSERT(got == expected);
  }));
}

TEST(StopMatcher, FindsAStopTextOverPieces) {
  StopMatcher stop({"END", "\n\n"});
  EXPECT_EQ(stop.feed("hello E").text, "hello ");
  EXPECT_EQ(stop.feed("N").text, "");
  const auto out = stop.feed("D more");
  EXPECT_TRUE(out.stopped);
  EXPECT_EQ(out.text, "");
}

TEST(StopMatcher, LetsGoWhatOnlyLookedLikeOne) {
  StopMatcher stop({"END"});
  EXPECT_EQ(stop.feed("aEN").text, "a");
  EXPECT_EQ(stop.feed("x").text, "ENx");
  EXPECT_EQ(stop.feed("yE").text, "y");
  EXPECT_EQ(stop.finish(), "E");
}

TEST(StopMatcher, TheFirstOfSeveralWins) {
  StopMatcher stop({"bc", "c", ""});
  const auto out = stop.feed("abcd");
  EXPECT_TRUE(out.stopped);
  EXPECT_EQ(out.text, "a");
}

TEST(StopMatcher, AgreesWithASearchInTheWholeText) {
  EXPECT_TRUE(rc::check([] {
    const auto letters = rc::gen::container<std::string>(rc::gen::element('a', 'b', 'c'));
    const std::string text = *letters;
    const std::string one = *rc::gen::nonEmpty(letters);
    const std::string two = *rc::gen::nonEmpty(letters);
    StopMatcher stop({one, two});
    std::string got;
    bool stopped = false;
    for (const char c : text) {
      const auto out = stop.feed(std::string_view(&c, 1));
      got += out.text;
      stopped = out.stopped;
      if (stopped) {
        break;
      }
    }
    if (!stopped) {
      got += stop.finish();
    }
    // Letter by letter the stop text that ends first is seen first; the cut is before its start.
    std::size_t best_end = std::string::npos;
    std::size_t cut = text.size();
    for (const std::string& s : {one, two}) {
      const std::size_t at = text.find(s);
      if (at != std::string::npos &&
          (at + s.size() < best_end || (at + s.size() == best_end && at < cut))) {
        best_end = at + s.size();
        cut = at;
      }
    }
    RC_ASSERT(stopped == (best_end != std::string::npos));
    RC_ASSERT(got == text.substr(0, cut));
  }));
}

}  // namespace
}  // namespace deepmoat::engine
