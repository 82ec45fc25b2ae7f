// Classes only rise; routes are found by name and never doubled.
#include <gtest/gtest.h>

#include "policy/data_class.h"
#include "policy/route.h"

namespace deepmoat::policy {
namespace {

TEST(DataClass, IsInternalWhenNobodySaysMore) {
  EXPECT_EQ(*classify(""), DataClass::internal);
  EXPECT_EQ(*classify("internal"), DataClass::internal);
}

TEST(DataClass, IsRaisedByTheCallerAndNeverLowered) {
  EXPECT_EQ(*classify("public"), DataClass::internal);
  EXPECT_EQ(*classify("sensitive"), DataClass::sensitive);
  EXPECT_EQ(*classify("restricted"), DataClass::restricted);
}

TEST(DataClass, IsTheHighestOfWhatTheKeyAndTheCallSay) {
  using enum DataClass;
  for (const DataClass of_key : {public_, internal, sensitive, restricted}) {
    for (const DataClass said : {public_, internal, sensitive, restricted}) {
      EXPECT_EQ(*classify(data_class_name(said), of_key), std::max({said, of_key, internal}));
    }
    EXPECT_EQ(*classify("", of_key), std::max(of_key, internal));
    EXPECT_FALSE(classify("secret", of_key));
  }
}

TEST(DataClass, IsNotGuessed) {
  for (const char* text :
       {"Restricted", "secret", " sensitive", "restricted ", "internal,public"}) {
    ASSERT_FALSE(classify(text)) << text;
    EXPECT_EQ(classify(text).error().code, Code::invalid_argument);
  }
}

TEST(DataClass, ReadsWhatItWrites) {
  for (const DataClass data_class :
       {DataClass::public_, DataClass::internal, DataClass::sensitive, DataClass::restricted}) {
    EXPECT_EQ(*parse_data_class(data_class_name(data_class)), data_class);
  }
}

TEST(RouteTable, FindsALocalWorkerForEveryClass) {
  const auto table =
      RouteTable::make({{ModelName("smollm2"), "worker-0"}, {ModelName("deepseek"), "worker-1"}});
  ASSERT_TRUE(table);
  const auto route = table->route(ModelName("deepseek"), DataClass::restricted);
  ASSERT_TRUE(route);
  EXPECT_EQ(route->backend, "worker-1");
  EXPECT_TRUE(route->local);
  EXPECT_EQ(table->models(), (std::vector{ModelName("deepseek"), ModelName("smollm2")}));
}

TEST(RouteTable, NamesTheModelThatItDoesNotHave) {
  const auto table = RouteTable::make({{ModelName("smollm2"), "worker-0"}});
  const auto route = table->route(ModelName("gpt-4o"), DataClass::internal);
  ASSERT_FALSE(route);
  EXPECT_EQ(route.error().code, Code::not_found);
  EXPECT_NE(route.error().message.find("gpt-4o"), std::string::npos);
  EXPECT_FALSE(RouteTable().route(ModelName(""), DataClass::internal));
}

TEST(RouteTable, RefusesTwoBackendsForOneName) {
  const auto table = RouteTable::make({{ModelName("a"), "x"}, {ModelName("a"), "y"}});
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code, Code::already_exists);
}

}  // namespace
}  // namespace deepmoat::policy
