#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

namespace deepmoat {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) {
    return fail(Code::invalid_argument, "odd");
  }
  return value / 2;
}

Result<int> quarter(int value) {
  TRY(const int once, half(value));
  TRY(const int twice, half(once));
  return twice;
}

Result<> check_both(int a, int b) {
  CHECK_OK(quarter(a));
  CHECK_OK(quarter(b));
  return {};
}

TEST(Result, TryGivesTheValueOrReturnsTheError) {
  EXPECT_EQ(quarter(12).value(), 3);
  ASSERT_FALSE(quarter(6));
  EXPECT_EQ(quarter(6).error().code, Code::invalid_argument);
  EXPECT_EQ(quarter(6).error().message, "odd");
}

TEST(Result, CheckOkStopsAtTheFirstError) {
  EXPECT_TRUE(check_both(4, 8));
  EXPECT_FALSE(check_both(4, 6));
  EXPECT_FALSE(check_both(6, 4));
}

TEST(Result, TryMovesWhatCannotBeCopied) {
  const auto pass_on = []() -> Result<std::unique_ptr<int>> {
    TRY(auto made, Result<std::unique_ptr<int>>(std::make_unique<int>(7)));
    return made;
  };
  EXPECT_EQ(**pass_on(), 7);
}

TEST(Result, EveryCodeHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(Code::internal); ++code) {
    names.insert(code_name(static_cast<Code>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Code::internal) + 1);
  EXPECT_EQ(code_name(Code::resource_exhausted), "resource_exhausted");
}

TEST(Result, ErrnoIsSpelledOut) {
  errno = ENOSPC;
  const Error error = fail_errno(Code::io, "open segment").error();
  EXPECT_EQ(error.code, Code::io);
  EXPECT_EQ(error.message, "open segment: No space left on device");
}

}  // namespace
}  // namespace deepmoat
