// Which policies keep which calls, that nobody chooses the sample, and who may set what.
#include "oversight/content_policy.h"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <cmath>
#include <limits>

#include "oversight/scratch_oversight.h"

namespace deepmoat::oversight {
namespace {

ContentPolicy policy(const std::string& tenant, const std::string& model,
                     const std::string& data_class, std::int64_t keep_days,
                     std::uint32_t sample_ppm = kSampleAll) {
  return {.tenant = tenant,
          .model = model,
          .data_class = data_class,
          .sample_ppm = sample_ppm,
          .keep_days = keep_days};
}

constexpr CallFacts kCall{.tenant = "acme",
                          .model = "qwen",
                          .data_class = "internal",
                          .request_id = "req_1",
                          .intent_sequence = 7};

TEST(ContentPolicyMatch, KeepsNothingWithoutAPolicy) {
  EXPECT_EQ(matches({}, kCall, 0), std::nullopt);
}

TEST(ContentPolicyMatch, FitsWhereNothingThatItNamesDiffers) {
  struct Case {
    ContentPolicy given;
    bool fits;
  };
  for (const auto& [given, fits] : {
           Case{policy("", "", "", 1), true},
           Case{policy("acme", "", "", 1), true},
           Case{policy("globex", "", "", 1), false},
           Case{policy("acm", "", "", 1), false},
           Case{policy("", "qwen", "", 1), true},
           Case{policy("", "qwen-2", "", 1), false},
           Case{policy("", "", "internal", 1), true},
           Case{policy("", "", "public", 1), false},
           // Exactly this class: what is more confidential is not kept by it.
           Case{policy("", "", "restricted", 1), false},
           Case{policy("acme", "qwen", "internal", 1), true},
           Case{policy("acme", "qwen", "public", 1), false},
           Case{policy("acme", "other", "internal", 1), false},
           Case{policy("globex", "qwen", "internal", 1), false},
       }) {
    EXPECT_EQ(matches(std::span(&given, 1), kCall, 0).has_value(), fits)
        << given.tenant << " " << given.model << " " << given.data_class;
  }
}

TEST(ContentPolicyMatch, TheLongestOfThoseThatFitCounts) {
  const std::vector<ContentPolicy> policies{policy("", "", "", 30), policy("acme", "", "", 90),
                                            policy("globex", "", "", 3650),
                                            policy("", "qwen", "", 7)};
  EXPECT_EQ(matches(policies, kCall, 0), 90);
}

TEST(ContentPolicyMatch, TakesTheDrawsBelowItsShare) {
  const std::vector<ContentPolicy> policies{policy("", "", "", 30, 100), policy("", "", "", 7),
                                            policy("", "", "", 90, 0)};
  EXPECT_EQ(matches(policies, kCall, 99), 30);
  EXPECT_EQ(matches(policies, kCall, 100), 7);
  EXPECT_EQ(matches(policies, kCall, kSampleAll - 1), 7) << "a share of 1 takes every draw";
}

class ContentPolicyTest : public testing::Test, protected ScratchOversight {
 protected:
  static NewContentPolicy request() {
    return {.tenant = "acme",
            .model = "qwen",
            .data_class = "internal",
            .sample_rate = 1,
            .keep_days = 30,
            .reason = "audit 2026"};
  }
  // Of the one policy that there is.
  void edit_and_restart(const std::string& edit_of_row) {
    edit(
        "CREATE TABLE saved AS SELECT * FROM content_policies;"
        "UPDATE content_policies SET " +
        edit_of_row);
    restart();
  }
  void undo() {
    edit(
        "DELETE FROM content_policies; INSERT INTO content_policies SELECT * FROM saved;"
        "DROP TABLE saved");
    restart();
  }
  static CallFacts call(std::string_view tenant) {
    CallFacts facts = kCall;
    facts.tenant = tenant;
    return facts;
  }
};

TEST_F(ContentPolicyTest, TheSampleIsAsLargeAsItsShareAndTheSameEachTime) {
  constexpr int kIds = 100'000;
  for (const double share : {0.01, 0.25, 0.9}) {
    int taken = 0;
    for (int i = 0; i < kIds; ++i) {
      const std::string id = fmt::format("req_{}", i);
      const std::uint32_t draw = policies_->draw_of(id, 7);
      ASSERT_LT(draw, kSampleAll);
      ASSERT_EQ(draw, policies_->draw_of(id, 7));
      taken += draw < share * kSampleAll ? 1 : 0;
    }
    // Five standard deviations: the ids and the secret are fixed, so it passes always or never.
    EXPECT_NEAR(taken, share * kIds, 5 * std::sqrt(kIds * share * (1 - share)));
  }
}

// A client sends one id with every call, or tries which id is not drawn.
TEST_F(ContentPolicyTest, AnIdThatIsUsedAgainIsDrawnAgain) {
  int taken = 0;
  for (std::uint64_t sequence = 1; sequence <= 10'000; ++sequence) {
    taken += policies_->draw_of("mine", sequence) < kSampleAll / 10 ? 1 : 0;
  }
  EXPECT_NEAR(taken, 1000, 150);
}

TEST_F(ContentPolicyTest, WithoutTheSecretNobodyKnowsTheDraw) {
  crypto::RootSecrets others{.signing = Secret(std::string(32, 'x')),
                             .pepper = Secret(),
                             .audit_fingerprint = Secret(),
                             .id = ""};
  const auto elsewhere = taken(ContentPolicies::open(
      *database_, [](audit::Record) { return Result<std::uint64_t>(1); }, others, clock_));
  int equal = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    equal += policies_->draw_of("id", i) == elsewhere->draw_of("id", i) ? 1 : 0;
  }
  EXPECT_LT(equal, 5);
}

TEST_F(ContentPolicyTest, IsInForceAtOnceAndOverARestart) {
  EXPECT_FALSE(policies_->any());
  EXPECT_EQ(*policies_->match(call("acme")), std::nullopt);
  const ContentPolicy made = taken(policies_->add(auditor(), request()));
  EXPECT_EQ(made.created_by, "default/eve");
  for (int restarts = 0; restarts < 2; ++restarts) {
    EXPECT_TRUE(policies_->any());
    EXPECT_EQ(*policies_->match(call("acme")), 30);
    EXPECT_EQ(*policies_->match(call("globex")), std::nullopt);
    restart();
  }
  EXPECT_TRUE(policies_->remove(auditor(), made.id));
  EXPECT_FALSE(policies_->any());
  restart();
  EXPECT_FALSE(policies_->any());
}

TEST_F(ContentPolicyTest, IsOnRecordBeforeItIsInForce) {
  const ContentPolicy made = taken(policies_->add(auditor(), request()));
  ASSERT_EQ(records_.size(), 2U);
  EXPECT_EQ(records_[0].phase, audit::Phase::intent);
  EXPECT_EQ(records_[0].action, "audit.content_policy.add");
  EXPECT_EQ(records_[0].reason,
            "tenant=acme; model=qwen; data_class=internal; sample_ppm=1000000; keep_days=30; "
            "reason=\"audit 2026\"");
  EXPECT_EQ(records_[1].resource, made.id);
  EXPECT_EQ(records_[1].outcome, audit::Outcome::success);
  log_is_full_ = true;
  EXPECT_EQ(code_of(policies_->add(auditor(), request())), "audit_unavailable");
  EXPECT_EQ(code_of(policies_->remove(auditor(), made.id)), "audit_unavailable");
  log_is_full_ = false;
  EXPECT_EQ(policies_->list(auditor())->size(), 1U);
}

TEST_F(ContentPolicyTest, RefusesWhatItCannotMeanAndNamesTheField) {
  struct Case {
    const char* field;
    void (*spoil)(NewContentPolicy&);
  };
  for (const auto& [field, spoil] : {
           Case{"tenant", [](NewContentPolicy& p) { p.tenant = "No Name"; }},
           Case{"model", [](NewContentPolicy& p) { p.model = "a\nb"; }},
           Case{"data_class", [](NewContentPolicy& p) { p.data_class = "secret"; }},
           Case{"sample_rate", [](NewContentPolicy& p) { p.sample_rate = 1.01; }},
           Case{"sample_rate", [](NewContentPolicy& p) { p.sample_rate = -0.1; }},
           Case{"sample_rate", [](NewContentPolicy& p) { p.sample_rate = 1e-9; }},
           Case{"sample_rate",
                [](NewContentPolicy& p) {
                  p.sample_rate = std::numeric_limits<double>::quiet_NaN();
                }},
           Case{"keep_days", [](NewContentPolicy& p) { p.keep_days = 0; }},
           Case{"keep_days", [](NewContentPolicy& p) { p.keep_days = 3651; }},
           Case{"reason", [](NewContentPolicy& p) { p.reason = ""; }},
           Case{"reason", [](NewContentPolicy& p) { p.reason = "    "; }},
           Case{"reason", [](NewContentPolicy& p) { p.reason = "x\033[2J y"; }},
           Case{"reason", [](NewContentPolicy& p) { p.reason.assign(201, 'a'); }},
       }) {
    NewContentPolicy wrong = request();
    spoil(wrong);
    const auto refused = policies_->add(auditor(), wrong);
    ASSERT_FALSE(refused) << field;
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
    EXPECT_TRUE(refused.error().message.starts_with(std::string(field) + ":"))
        << refused.error().message;
    EXPECT_EQ(records_.back().outcome, audit::Outcome::refused);
    EXPECT_EQ(records_[records_.size() - 2].reason, "") << "no unchecked text is put on record";
  }
  EXPECT_FALSE(policies_->any());
}

TEST_F(ContentPolicyTest, OfAllTenantsOrAnotherIsTheHomeTenantsAuditors) {
  NewContentPolicy all = request();
  all.tenant = "";
  NewContentPolicy of_globex = request();
  of_globex.tenant = "globex";
  EXPECT_EQ(code_of(policies_->add(auditor("acme"), all)), "permission_denied");
  EXPECT_EQ(code_of(policies_->add(auditor("acme"), of_globex)), "permission_denied");
  const std::string own = taken(policies_->add(auditor("acme"), request())).id;
  const std::string others = taken(policies_->add(auditor(), of_globex)).id;
  const std::string everybodys = taken(policies_->add(auditor(), all)).id;
  EXPECT_EQ(policies_->list(auditor())->size(), 3U);
  const auto seen = taken(policies_->list(auditor("acme")));
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].id, own);
  const auto none = policies_->remove(auditor("acme"), "pol_000000000000000000000000");
  for (const std::string& id : {others, everybodys}) {
    const auto refused = policies_->remove(auditor("acme"), id);
    EXPECT_EQ(code_of(refused), "not_found");
    EXPECT_EQ(refused.error().message, none.error().message);
  }
  EXPECT_TRUE(policies_->remove(auditor("acme"), own));
}

TEST_F(ContentPolicyTest, AnAlteredRowIsAnErrorOfEveryCallUntilItIsRemoved) {
  const std::string id = taken(policies_->add(auditor(), request())).id;
  for (const char* edit : {"tenant = 'globex'", "model = ''", "data_class = 'public'",
                           "sample_ppm = 0", "keep_days = 1", "reason = 'other'",
                           "created_by = 'x'", "created_ms = 1", "policy_id = 'pol_x'"}) {
    edit_and_restart(edit);
    EXPECT_TRUE(policies_->any()) << edit;
    EXPECT_EQ(code_of(policies_->match(call("acme"))), "corrupt") << edit;
    EXPECT_EQ(code_of(policies_->match(call("unrelated"))), "corrupt") << edit;
    undo();
  }
  edit_and_restart("keep_days = 3650");
  EXPECT_EQ(policies_->list(auditor("acme"))->size(), 0U);
  const auto listed = taken(policies_->list(auditor()));
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_FALSE(listed[0].intact);
  EXPECT_EQ(code_of(policies_->remove(auditor("acme"), id)), "not_found")
      << "whose it was is not certain";
  EXPECT_TRUE(policies_->remove(auditor(), id));
  EXPECT_EQ(*policies_->match(call("acme")), std::nullopt);
}

TEST_F(ContentPolicyTest, ThereIsABoundOnHowManyEachCallIsHeldTo) {
  for (std::size_t i = 0; i < kPoliciesMax; ++i) {
    ASSERT_TRUE(policies_->add(auditor(), request()));
  }
  EXPECT_EQ(code_of(policies_->add(auditor(), request())), "resource_exhausted");
  NewContentPolicy other = request();
  other.tenant = "globex";
  EXPECT_TRUE(policies_->add(auditor(), other));
}

}  // namespace
}  // namespace deepmoat::oversight
