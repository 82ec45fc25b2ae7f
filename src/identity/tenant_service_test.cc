// Tenants: who makes them, who sees them, and what is on record.
#include "identity/tenant_service.h"

#include <gtest/gtest.h>

#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

class TenantServiceTest : public testing::Test {
 protected:
  ScratchKeys keys_;
  TenantService tenants_{*keys_.database_,
                         [this](audit::Record record) { return keys_.append(std::move(record)); },
                         keys_.clock_};

  std::vector<std::string> names(const Actor& actor) {
    std::vector<std::string> list;
    const auto tenants = tenants_.list(actor);
    EXPECT_TRUE(tenants) << tenants.error().message;
    for (const Tenant& tenant : *tenants) {
      list.push_back(tenant.name.value());
    }
    return list;
  }
};

TEST_F(TenantServiceTest, CreatesShowsAndChanges) {
  const auto made = tenants_.create(keys_.admin(), "law", {.organisation = "Acme", .label = {}});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(
      *made,
      (Tenant{
          .name = TenantId("law"), .organisation = "Acme", .label = "", .created_ms = kTestNowMs}));
  EXPECT_EQ(*tenants_.show(keys_.admin(), "law"), *made);
  EXPECT_EQ(tenants_.create(keys_.admin(), "law", {}).error().code, Code::already_exists);
  const auto changed = tenants_.change(keys_.admin(), "law", {.organisation = {}, .label = "3F"});
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->organisation, "Acme");
  EXPECT_EQ(changed->label, "3F");
  EXPECT_EQ(tenants_.change(keys_.admin(), "sales", {}).error().code, Code::not_found);
  EXPECT_EQ(tenants_.show(keys_.admin(), "sales").error().code, Code::not_found);
}

TEST_F(TenantServiceTest, AKeyMakesItsTenantOnTheWay) {
  keys_.make("app", Role::user, "sales");
  keys_.make("app2", Role::user, "sales");
  EXPECT_EQ(names(keys_.admin()), std::vector<std::string>{"sales"});
  ASSERT_TRUE(tenants_.change(keys_.admin(), "sales", {.organisation = "Acme", .label = {}}));
  keys_.make("app3", Role::user, "sales");
  EXPECT_EQ(tenants_.show(keys_.admin(), "sales")->organisation, "Acme");
}

TEST_F(TenantServiceTest, OthersSeeTheirOwnAloneAndChangeNothing) {
  keys_.make("app", Role::user, "sales");
  keys_.make("app", Role::user, "law");
  const Actor sales = keys_.admin_of("sales");
  EXPECT_EQ(names(sales), std::vector<std::string>{"sales"});
  EXPECT_TRUE(tenants_.show(sales, "sales"));
  EXPECT_EQ(tenants_.show(sales, "law").error().code, Code::not_found);
  EXPECT_EQ(tenants_.show(sales, "law").error().message,
            tenants_.show(sales, "nobody").error().message);
  EXPECT_EQ(tenants_.change(sales, "law", {}).error().code, Code::not_found);
  EXPECT_EQ(tenants_.change(sales, "sales", {.organisation = "Other", .label = {}}).error().code,
            Code::permission_denied);
  EXPECT_EQ(tenants_.create(sales, "new", {}).error().code, Code::permission_denied);
  EXPECT_EQ(tenants_.create(sales, "law", {}).error().code, Code::permission_denied)
      << "and it does not tell whether the name is taken";
}

TEST_F(TenantServiceTest, RefusesBadFields) {
  for (const char* name : {"", "Law", "law ", "../etc", "l\xC3\xA4w"}) {
    const auto refused = tenants_.create(keys_.admin(), name, {});
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
  }
  EXPECT_EQ(
      tenants_.create(keys_.admin(), "law", {.organisation = "a\nb", .label = {}}).error().code,
      Code::invalid_argument);
  EXPECT_TRUE(names(keys_.admin()).empty());
}

TEST_F(TenantServiceTest, WritesIntentAndResult) {
  ASSERT_TRUE(tenants_.create(keys_.admin(), "law", {.organisation = "Acme", .label = {}}));
  EXPECT_FALSE(tenants_.create(keys_.admin_of("sales"), "x", {}));
  ASSERT_EQ(keys_.records_.size(), 4U);
  EXPECT_EQ(keys_.records_[0].phase, audit::Phase::intent);
  EXPECT_EQ(keys_.records_[0].action, "tenant.create");
  EXPECT_EQ(keys_.records_[0].resource, "law");
  EXPECT_EQ(keys_.records_[0].reason, "organisation=\"Acme\"");
  EXPECT_EQ(keys_.records_[1].outcome, audit::Outcome::success);
  EXPECT_EQ(keys_.records_[3].outcome, audit::Outcome::refused);
  keys_.appends_left_ = 0;
  EXPECT_EQ(tenants_.create(keys_.admin(), "sales", {}).error().code, Code::unavailable);
  EXPECT_EQ(keys_.database_->list_tenants()->size(), 1U);
}

}  // namespace
}  // namespace deepmoat::identity
