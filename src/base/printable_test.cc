#include "base/printable.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace deepmoat {
namespace {

using namespace std::string_literals;

TEST(Printable, TextOfAnyLanguageStays) {
  for (const std::string text : {"", "plain ~ text", "Müller", "密钥泄露", "مفتاح", "😀",
                                 "a\xc2\xa0z", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_printable(text)) << text;
    EXPECT_EQ(printable(text), text);
  }
}

struct Bad {
  std::string text;
  std::string shown;
};

TEST(Printable, WhatATerminalWouldObeyDoesNot) {
  const std::vector<Bad> all = {
      {"a\x1b[2Jb", "a?[2Jb"},
      {"a\nb\r\tc"s, "a?b??c"},
      {"nul\0end"s, "nul?end"},
      {"del\x7f", "del?"},
      {"csi\xc2\x9b"
       "2J",
       "csi?2J"},
      {"nel\xc2\x85", "nel?"},
      {"line\xe2\x80\xa8", "line?"},
      {"over\xe2\x80\xae"
       "dne",
       "over?dne"},
      {"isolate\xe2\x81\xa6", "isolate?"},
  };
  for (const Bad& bad : all) {
    EXPECT_FALSE(is_printable(bad.text)) << bad.shown;
    EXPECT_EQ(printable(bad.text), bad.shown);
  }
}

TEST(Printable, BytesThatAreNoUtf8DoNotEither) {
  const std::vector<Bad> all = {
      {"\x9b"
       "2J",
       "?2J"},                          // C1 as one byte
      {"\xc3", "?"},                    // cut
      {"\xe5\xaf", "??"},               // cut later
      {"\xc0\xaf", "??"},               // a longer spelling of '/'
      {"\xe0\x80\xaf", "???"},          // longer still
      {"\xed\xa0\x80", "???"},          // a surrogate
      {"\xf4\x90\x80\x80", "????"},     // beyond the last
      {"\xff\xfe", "??"},               // never
      {"\xc3(\xc3\xa4", "?(\xc3\xa4"},  // goes on behind it
  };
  for (const Bad& bad : all) {
    EXPECT_FALSE(is_printable(bad.text)) << bad.shown;
    EXPECT_EQ(printable(bad.text), bad.shown);
  }
}

RC_GTEST_PROP(Printable, WhateverIsShownIsPrintable, (const std::string& bytes)) {
  const std::string shown = printable(bytes);
  RC_ASSERT(is_printable(shown));
  RC_ASSERT(is_printable(bytes) == (shown == bytes));
  RC_ASSERT(shown.size() <= bytes.size());
}

}  // namespace
}  // namespace deepmoat
