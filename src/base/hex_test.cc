#include "base/hex.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/random.h"

namespace deepmoat {
namespace {

RC_GTEST_PROP(Hex, RoundTrip, (const std::string& bytes)) {
  const std::string text = to_hex(bytes);
  RC_ASSERT(text.size() == bytes.size() * 2);
  RC_ASSERT(from_hex(text).value() == bytes);
}

RC_GTEST_PROP(Hex, WhatParsesHasOneSpelling, ()) {
  const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("0189abfAF ")));
  const auto bytes = from_hex(text);
  if (bytes) {
    RC_ASSERT(to_hex(*bytes) == text);
  }
}

TEST(Hex, KnownValues) {
  EXPECT_EQ(to_hex(std::string_view("\x00\xff\x10", 3)), "00ff10");
  EXPECT_EQ(from_hex("00ff10").value(), std::string("\x00\xff\x10", 3));
  EXPECT_EQ(from_hex("").value(), "");
}

TEST(Hex, RefusesWhatIsNotLowerCaseHex) {
  for (const char* text :
       {"0", "abc", "0g", "g0", "AB", "0x", " 0", "0 ", "a\n", "/0", ":0", "`0"}) {
    const auto bytes = from_hex(text);
    ASSERT_FALSE(bytes) << text;
    EXPECT_EQ(bytes.error().code, Code::invalid_argument) << text;
  }
}

TEST(Random, GivesTheCountAskedForAndNotTheSameTwice) {
  EXPECT_EQ(random_bytes(0)->size(), 0U);
  EXPECT_EQ(random_bytes(1000)->size(), 1000U);
  EXPECT_NE(*random_bytes(32), *random_bytes(32));
}

}  // namespace
}  // namespace deepmoat
