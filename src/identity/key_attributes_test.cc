// What may be asked for, and that the row's columns give back what was put there.
#include "identity/key_attributes.h"

#include <gtest/gtest.h>

#include <functional>

namespace deepmoat::identity {
namespace {

KeyAttributes everything() {
  return {.models = {"demo", "org/chat:7b"},
          .adapter = "poet:0.7",
          .adapter_only = true,
          .ip_ranges = {"10.0.0.0/8", "2001:db8::/32"},
          .data_class = "sensitive",
          .scopes = {"call_models", "see_models"},
          .limits = {.requests_per_minute = 60, .tokens_per_minute = 1000, .concurrent_calls = 2},
          .labels = {{"cost-centre", "4711"}, {"team", "a=b; \xE5\x8C\x97\xE4\xBA\xAC"}}};
}

TEST(KeyAttributes, TheRowGivesBackWhatWasPutThere) {
  for (const KeyAttributes& attributes : {KeyAttributes(), everything()}) {
    store::KeyRow row;
    put_attributes(attributes, row);
    EXPECT_EQ(attributes_of(row), attributes);
  }
  store::KeyRow nothing;
  put_attributes(KeyAttributes(), nothing);
  EXPECT_EQ(nothing, store::KeyRow());
}

TEST(KeyAttributes, BecomeRules) {
  const auto rules = rules_of(everything(), Role::user);
  ASSERT_TRUE(rules) << rules.error().message;
  EXPECT_TRUE(rules->may_use_model("demo"));
  EXPECT_TRUE(rules->may_use_model("org/chat:7b"));
  for (const char* other : {"", "Demo", "demo ", "dem", "demo2", "org/chat"}) {
    EXPECT_FALSE(rules->may_use_model(other)) << other;
  }
  EXPECT_EQ(rules->adapter, "poet");
  EXPECT_FLOAT_EQ(rules->adapter_scale, 0.7F);
  EXPECT_TRUE(rules->adapter_only);
  EXPECT_TRUE(rules->ip_ranges.contain("10.9.9.9"));
  EXPECT_FALSE(rules->ip_ranges.contain("11.9.9.9"));
  EXPECT_EQ(rules->data_class, DataClass::sensitive);
  EXPECT_TRUE(rules->permissions.has(Permission::call_models));
  EXPECT_FALSE(rules->permissions.has(Permission::see_own_usage));
  EXPECT_EQ(rules->limits.tokens_per_minute, 1000);
}

TEST(KeyAttributes, NothingBindsToNothing) {
  for (const Role role : kRoles) {
    const auto rules = rules_of(KeyAttributes(), role);
    ASSERT_TRUE(rules);
    EXPECT_TRUE(rules->may_use_model("anything"));
    EXPECT_TRUE(rules->ip_ranges.contain("192.0.2.1"));
    EXPECT_EQ(rules->data_class, DataClass::public_);
    EXPECT_EQ(rules->permissions, permissions_of(role));
  }
}

TEST(KeyAttributes, ScopesNarrowARoleAndNeverWidenIt) {
  for (const Role role : kRoles) {
    for (const Permission permission : kPermissions) {
      KeyAttributes attributes;
      attributes.scopes = {std::string(permission_name(permission))};
      const auto rules = rules_of(attributes, role);
      EXPECT_EQ(rules.has_value(), allowed(role, permission));
      if (rules) {
        EXPECT_TRUE(rules->permissions.within(permissions_of(role)));
        for (const Permission other : kPermissions) {
          EXPECT_EQ(rules->permissions.has(other),
                    other == permission || other == Permission::rotate_own_key);
        }
      }
    }
  }
  for (const char* scope : {"Call_models", "call_models ", "CALL_MODELS", "call-models", "*", "all",
                            "call_models,manage_keys"}) {
    KeyAttributes attributes;
    attributes.scopes = {scope};
    EXPECT_FALSE(rules_of(attributes, Role::admin)) << scope;
  }
}

TEST(KeyAttributes, AnAdapterIsANameAndAScale) {
  const auto rules_with = [](const std::string& adapter) {
    KeyAttributes attributes;
    attributes.adapter = adapter;
    return rules_of(attributes, Role::user);
  };
  EXPECT_EQ(rules_with("poet")->adapter, "poet");
  EXPECT_EQ(rules_with("poet")->adapter_scale, 0);
  EXPECT_EQ(rules_with("poet:10")->adapter_scale, 10);
  for (const char* bad : {":", ":0.7", "poet:", "poet:0", "poet:-1", "poet:10.5", "poet:x",
                          "poet:0.7x", "poet:nan", "poet:inf", "poet:1e-3", "poet: 1", "a\nb"}) {
    EXPECT_FALSE(rules_with(bad)) << bad;
  }
}

TEST(KeyAttributes, RefusalsNameTheField) {
  struct Case {
    const char* field;
    std::function<void(KeyAttributes&)> spoil;
  };
  const std::vector<Case> cases{
      {"models", [](KeyAttributes& a) { a.models = {""}; }},
      {"models", [](KeyAttributes& a) { a.models = {"a\nb"}; }},
      {"models", [](KeyAttributes& a) { a.models = {"a", "a"}; }},
      {"models", [](KeyAttributes& a) { a.models = {std::string(201, 'm')}; }},
      {"models",
       [](KeyAttributes& a) {
         for (int i = 0; i < 65; ++i) {
           a.models.push_back(std::to_string(i));
         }
       }},
      {"adapter", [](KeyAttributes& a) { a.adapter = "x:y"; }},
      {"adapter_only",
       [](KeyAttributes& a) {
         a.adapter = "";
         a.adapter_only = true;
       }},
      {"ip_ranges", [](KeyAttributes& a) { a.ip_ranges = {"the office"}; }},
      {"data_class", [](KeyAttributes& a) { a.data_class = "Secret"; }},
      {"scopes", [](KeyAttributes& a) { a.scopes = {"root"}; }},
      {"scopes", [](KeyAttributes& a) { a.scopes = {"manage_keys"}; }},
      {"limits.requests_per_minute", [](KeyAttributes& a) { a.limits.requests_per_minute = -1; }},
      {"limits.tokens_per_minute",
       [](KeyAttributes& a) { a.limits.tokens_per_minute = 1'000'000'001; }},
      {"limits.concurrent_calls", [](KeyAttributes& a) { a.limits.concurrent_calls = -5; }},
      {"labels", [](KeyAttributes& a) { a.labels = {{"", "x"}}; }},
      {"labels", [](KeyAttributes& a) { a.labels = {{"a=b", "x"}}; }},
      {"labels", [](KeyAttributes& a) { a.labels = {{"a", "x"}, {"a", "y"}}; }},
      {"labels.a", [](KeyAttributes& a) { a.labels = {{"a", "x\ny"}}; }},
      {"labels.a", [](KeyAttributes& a) { a.labels = {{"a", "x\xC2\x9By"}}; }},  // CSI in C1
      {"labels.a", [](KeyAttributes& a) { a.labels = {{"a", "x\xFF"}}; }},
      {"labels",
       [](KeyAttributes& a) {
         a.labels.clear();
         for (int i = 0; i < 17; ++i) {
           a.labels.emplace_back("l" + std::to_string(i), "");
         }
       }},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    KeyAttributes attributes = everything();
    cases[i].spoil(attributes);
    const auto refused = rules_of(attributes, Role::user);
    ASSERT_FALSE(refused) << i;
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
    EXPECT_TRUE(refused.error().message.starts_with(std::string(cases[i].field) + ": "))
        << i << " " << refused.error().message;
  }
}

TEST(KeyAttributes, ASummaryHasNothingThatCouldBeTwoThings) {
  EXPECT_EQ(summary_of(KeyAttributes()), "");
  EXPECT_EQ(summary_of(everything()),
            "scopes=call_models,see_models; ip_ranges=10.0.0.0/8,2001:db8::/32; "
            "models=demo,org/chat:7b; adapter=poet:0.7; adapter_only=true; data_class=sensitive; "
            "requests_per_minute=60; tokens_per_minute=1000; concurrent_calls=2; "
            "labels=\"cost-centre=4711\",\"team=a=b; \xE5\x8C\x97\xE4\xBA\xAC\"");
  KeyChange change;
  change.models = {"x; ip_ranges=0.0.0.0/0"};
  change.ip_ranges = std::vector<std::string>();
  change.label = "";
  EXPECT_EQ(summary_of(change), "ip_ranges=; models=\"x; ip_ranges=0.0.0.0/0\"; label=\"\"");
}

TEST(KeyAttributes, AChangeReplacesWhatItNames) {
  KeyAttributes attributes = everything();
  KeyChange change;
  change.models = std::vector<std::string>();
  change.tokens_per_minute = 0;
  apply(change, attributes);
  KeyAttributes expected = everything();
  expected.models.clear();
  expected.limits.tokens_per_minute = 0;
  EXPECT_EQ(attributes, expected);
}

}  // namespace
}  // namespace deepmoat::identity
