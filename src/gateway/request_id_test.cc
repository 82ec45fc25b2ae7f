#include "gateway/request_id.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

namespace deepmoat::gateway {
namespace {

TEST(RequestId, ClientsOwnWhenItIsSafe) {
  for (const std::string& id :
       {std::string("a"), std::string("order-66.a_B"), std::string(128, 'x')}) {
    EXPECT_EQ(choose_request_id(id)->value(), id);
  }
}

TEST(RequestId, AnythingElseGetsANewOne) {
  for (const std::string& id :
       {std::string(), std::string(129, 'x'), std::string("a b"), std::string("a\r\nx: y"),
        std::string("a\0b", 3), std::string("\"}"), std::string("\xc3\xa9"), std::string("a/b")}) {
    const std::string made = choose_request_id(id)->value();
    EXPECT_EQ(made.size(), 32U);
    EXPECT_EQ(made.find_first_not_of("0123456789abcdef"), std::string::npos);
  }
}

TEST(RequestId, NewOnesDiffer) {
  std::set<std::string> made;
  for (int i = 0; i < 1'000; ++i) {
    made.insert(choose_request_id("")->value());
  }
  EXPECT_EQ(made.size(), 1'000U);
}

RC_GTEST_PROP(RequestId, IsAlwaysSafeInAHeaderAndALog, (const std::string& id)) {
  const std::string chosen = choose_request_id(id)->value();
  RC_ASSERT(!chosen.empty() && chosen.size() <= 128U);
  RC_ASSERT(std::ranges::all_of(chosen, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
  }));
}

}  // namespace
}  // namespace deepmoat::gateway
