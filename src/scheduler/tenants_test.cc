#include "scheduler/tenants.h"

#include <gtest/gtest.h>

namespace deepmoat::scheduler {
namespace {

TEST(Tenants, ServiceIsDividedByWeight) {
  Tenants tenants;
  const auto light = tenants.enter("light", 1);
  const auto heavy = tenants.enter("heavy", 4);
  tenants.charge(light, 100);
  tenants.charge(heavy, 100);
  EXPECT_EQ(tenants.at(light).service, 100);
  EXPECT_EQ(tenants.at(heavy).service, 25);
  EXPECT_EQ(tenants.total_weight(), 5);
}

TEST(Tenants, WhoReturnsIsLiftedToTheLeastOfThoseAtWork) {
  Tenants tenants;
  const auto quiet = tenants.enter("quiet", 1);
  tenants.leave(quiet);
  const auto busy = tenants.enter("busy", 1);
  tenants.charge(busy, 1000);
  const auto busier = tenants.enter("busier", 1);
  EXPECT_EQ(tenants.at(busier).service, 1000) << "also who comes for the first time";
  tenants.charge(busier, 500);
  EXPECT_EQ(tenants.at(tenants.enter("quiet", 1)).service, 1000);
}

TEST(Tenants, WhoWasAheadStaysSoWhenItReturns) {
  Tenants tenants;
  const auto a = tenants.enter("a", 1);
  (void)tenants.enter("b", 1);
  tenants.charge(a, 700);
  tenants.leave(a);
  EXPECT_EQ(tenants.at(tenants.enter("a", 1)).service, 700);
}

TEST(Tenants, TimeGoesOnWhileNobodyIsAtWork) {
  Tenants tenants;
  const auto a = tenants.enter("a", 1);
  tenants.charge(a, 700);
  tenants.leave(a);
  EXPECT_EQ(tenants.at(tenants.enter("b", 1)).service, 700);
}

TEST(Tenants, IdleOnesAreForgotten) {
  Tenants tenants;
  for (int i = 0; i < 50'000; ++i) {
    const auto id = tenants.enter(std::to_string(i), 1);
    tenants.charge(id, 1);
    tenants.leave(id);
  }
  EXPECT_LE(tenants.size(), 1100U);
}

TEST(Tenants, AnOddWeightCountsAsOne) {
  Tenants tenants;
  EXPECT_EQ(tenants.at(tenants.enter("a", 0)).weight, 1);
  EXPECT_EQ(tenants.at(tenants.enter("b", -3)).weight, 1);
}

}  // namespace
}  // namespace deepmoat::scheduler
