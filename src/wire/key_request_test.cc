// What the administration of keys and tenants reads, and what it refuses to guess.
#include "wire/key_request.h"

#include <gtest/gtest.h>

#include "wire/request_reader.h"

namespace deepmoat::wire {
namespace {

TEST(CreateKeyRequest, DefaultsAndFields) {
  RequestReader reader;
  const auto least = reader.create_key(R"({"client_id":"app"})");
  ASSERT_TRUE(least);
  EXPECT_EQ(least->client_id, "app");
  EXPECT_EQ(least->role, "user");
  EXPECT_EQ(least->tenant, "default");
  EXPECT_FALSE(least->fields.label);
  EXPECT_EQ(least->lifetime_s, 0);
  const auto all = reader.create_key(
      R"({"client_id":"a","role":"admin","tenant":"t","label":"l","lifetime_s":7776000})");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->role, "admin");
  EXPECT_EQ(all->lifetime_s, 7'776'000);
}

TEST(CreateKeyRequest, Refusals) {
  RequestReader reader;
  const auto param_of = [&](const char* body) { return reader.create_key(body).error().param; };
  EXPECT_EQ(param_of("{}"), "client_id");
  EXPECT_EQ(param_of(R"({"client_id":3})"), "client_id");
  EXPECT_EQ(param_of(R"({"client_id":"a","role":1})"), "role");
  EXPECT_EQ(param_of(R"({"client_id":"a","lifetime_s":0})"), "lifetime_s");
  EXPECT_EQ(param_of(R"({"client_id":"a","lifetime_s":7776001})"), "lifetime_s");
  EXPECT_EQ(reader.create_key("{}").error().code, "missing_required_parameter");
}

constexpr const char* kEverything =
    R"({"label":"l","models":["a","b:c"],"adapter":"poet:0.7","adapter_only":true,)"
    R"("ip_ranges":["10.0.0.0/8"],"data_class":"sensitive","scopes":["call_models"],)"
    R"("limits":{"requests_per_minute":1,"tokens_per_minute":2,"concurrent_calls":3},)"
    R"("labels":{"team":"x","cost-centre":""}})";

TEST(ChangeKey, ReadsEveryFieldAndLeavesTheOthers) {
  RequestReader reader;
  const auto all = reader.change_key(kEverything);
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->label, "l");
  EXPECT_EQ(all->models, (std::vector<std::string>{"a", "b:c"}));
  EXPECT_EQ(all->adapter, "poet:0.7");
  EXPECT_EQ(all->adapter_only, true);
  EXPECT_EQ(all->ip_ranges, (std::vector<std::string>{"10.0.0.0/8"}));
  EXPECT_EQ(all->data_class, "sensitive");
  EXPECT_EQ(all->scopes, (std::vector<std::string>{"call_models"}));
  EXPECT_EQ(all->requests_per_minute, 1);
  EXPECT_EQ(all->tokens_per_minute, 2);
  EXPECT_EQ(all->concurrent_calls, 3);
  EXPECT_EQ(all->labels,
            (std::vector<std::pair<std::string, std::string>>{{"team", "x"}, {"cost-centre", ""}}));
  const auto one = reader.change_key(R"({"limits":{"tokens_per_minute":0},"models":[]})");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->tokens_per_minute, 0);
  EXPECT_EQ(one->models, std::vector<std::string>());
  EXPECT_FALSE(one->requests_per_minute || one->ip_ranges || one->labels || one->adapter_only);
}

TEST(ChangeKey, NamesTheFieldAtFault) {
  struct Case {
    const char* body;
    const char* param;
    const char* code;
  };
  RequestReader reader;
  for (const Case& one : {
           Case{"{}", "", "invalid_value"},
           Case{R"({"ip_range":["10.0.0.0/8"]})", "ip_range", "unsupported_parameter"},
           Case{R"({"IP_RANGES":[]})", "IP_RANGES", "unsupported_parameter"},
           Case{R"({"role":"admin"})", "role", "unsupported_parameter"},
           Case{R"({"tenant":"other"})", "tenant", "unsupported_parameter"},
           Case{R"({"expires_at":1})", "expires_at", "unsupported_parameter"},
           Case{R"({"models":"a"})", "models", "invalid_type"},
           Case{R"({"models":[1]})", "models", "invalid_type"},
           Case{R"({"models":null})", "models", "invalid_type"},
           Case{R"({"ip_ranges":["10.0.0.0/8"],"ip_ranges":[]})", "ip_ranges", "invalid_value"},
           Case{R"({"adapter_only":"yes"})", "adapter_only", "invalid_type"},
           Case{R"({"limits":5})", "limits", "invalid_type"},
           Case{R"({"limits":{"rpm":5}})", "limits.rpm", "unsupported_parameter"},
           Case{R"({"limits":{"tokens_per_minute":-1}})", "limits.tokens_per_minute",
                "invalid_value"},
           Case{R"({"labels":["a"]})", "labels", "invalid_type"},
           Case{R"({"labels":{"a":1}})", "labels.a", "invalid_type"},
       }) {
    const auto refused = reader.change_key(one.body);
    ASSERT_FALSE(refused) << one.body;
    EXPECT_EQ(refused.error().param, one.param) << one.body;
    EXPECT_EQ(refused.error().code, one.code) << one.body;
  }
}

TEST(CreateKeyRequest, TakesWhatAChangeTakesAndNothingUnknown) {
  RequestReader reader;
  const auto bound = reader.create_key(R"({"client_id":"a","ip_ranges":["::1"]})");
  ASSERT_TRUE(bound);
  EXPECT_EQ(bound->fields.ip_ranges, (std::vector<std::string>{"::1"}));
  const auto typo = reader.create_key(R"({"client_id":"a","ip-ranges":["::1"]})");
  ASSERT_FALSE(typo);
  EXPECT_EQ(typo.error().param, "ip-ranges");
  EXPECT_NE(typo.error().message.find("ip_ranges"), std::string::npos) << typo.error().message;
}

TEST(TenantRequest, FieldsAndRefusals) {
  RequestReader reader;
  const auto made = reader.create_tenant(R"({"name":"law","organisation":"Acme"})");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->name, "law");
  EXPECT_EQ(made->organisation, "Acme");
  EXPECT_FALSE(made->label);
  EXPECT_EQ(reader.create_tenant("{}").error().param, "name");
  EXPECT_EQ(reader.create_tenant(R"({"name":"a","weight":3})").error().param, "weight");
  EXPECT_EQ(reader.change_tenant("{}").error().code, "invalid_value");
  EXPECT_EQ(reader.change_tenant(R"({"name":"a"})").error().code, "unsupported_parameter");
  EXPECT_EQ(reader.change_tenant(R"({"label":"x"})")->label, "x");
}

}  // namespace
}  // namespace deepmoat::wire
