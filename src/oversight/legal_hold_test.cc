// What a hold covers, who may place one, and that a doubt deletes nothing.
#include "oversight/legal_hold.h"

#include <gtest/gtest.h>

#include "oversight/scratch_oversight.h"

namespace deepmoat::oversight {
namespace {

constexpr HoldFacts kFacts{
    .tenant = "acme", .key_id = "key_1", .operator_id = "ann", .happened_ms = 5000};

TEST(LegalHoldCovers, WhatFitsAllThatItNames) {
  struct Case {
    LegalHold hold;
    bool covered;
  };
  for (const auto& [hold, covered] : {
           Case{{.tenant = "acme"}, true},
           Case{{.tenant = "globex"}, false},
           Case{{.key_id = "key_1"}, true},
           Case{{.key_id = "key_2"}, false},
           Case{{.operator_id = "ann"}, true},
           Case{{.operator_id = "bob"}, false},
           Case{{.tenant = "acme", .key_id = "key_1", .operator_id = "ann"}, true},
           Case{{.tenant = "acme", .key_id = "key_2", .operator_id = "ann"}, false},
           Case{{.since_ms = 5000}, true},
           Case{{.since_ms = 5001}, false},
           Case{{.until_ms = 5001}, true},
           Case{{.until_ms = 5000}, false},
           Case{{.since_ms = 4000, .until_ms = 6000}, true},
           Case{{.tenant = "globex", .since_ms = 4000, .until_ms = 6000}, false},
       }) {
    EXPECT_EQ(covers(hold, kFacts), covered)
        << hold.tenant << hold.key_id << hold.operator_id << hold.since_ms << " " << hold.until_ms;
  }
}

class LegalHoldTest : public testing::Test, protected ScratchOversight {
 protected:
  static NewLegalHold request(const std::string& tenant = "acme") {
    return {.tenant = tenant,
            .key_id = "",
            .operator_id = "",
            .since_s = 0,
            .until_s = 0,
            .reason = "case 12/2026"};
  }
};

TEST_F(LegalHoldTest, HoldsFromItsPlacingToItsRelease) {
  EXPECT_FALSE(holds_->held(kFacts));
  const LegalHold hold = taken(holds_->place(auditor(), request()));
  EXPECT_TRUE(holds_->held(kFacts));
  EXPECT_EQ(hold.placed_by, "default/eve");
  EXPECT_EQ(holds_->newest_release_ms(), 0);
  restart();
  EXPECT_TRUE(holds_->held(kFacts));
  HoldFacts others = kFacts;
  others.tenant = "globex";
  EXPECT_FALSE(holds_->held(others));

  const LegalHold released = taken(holds_->release(auditor(), hold.id));
  EXPECT_EQ(released.released_ms, kTestNowMs);
  EXPECT_EQ(released.released_by, "default/eve");
  EXPECT_FALSE(holds_->held(kFacts));
  EXPECT_EQ(code_of(holds_->release(auditor(), hold.id)), "already_exists");
  EXPECT_EQ(holds_->newest_release_ms(), kTestNowMs);
  restart();
  EXPECT_EQ(holds_->newest_release_ms(), kTestNowMs);
  EXPECT_FALSE(holds_->held(kFacts));
  const auto listed = taken(holds_->list(auditor()));
  ASSERT_EQ(listed.size(), 1U) << "that it was there stays known";
  EXPECT_TRUE(listed[0].intact);
  EXPECT_EQ(listed[0].released_ms, kTestNowMs);
}

TEST_F(LegalHoldTest, ARecordAboutAHeldKeyIsHeldWhoeverDidIt) {
  add_key("key_1", "acme");
  NewLegalHold of_key = request("");
  of_key.key_id = "key_1";
  of_key.since_s = 4;
  ASSERT_TRUE(holds_->place(auditor(), of_key));
  audit::Record call;
  call.tenant = "acme";
  call.key_id = "key_1";
  EXPECT_TRUE(holds_->held(call, 5000));
  EXPECT_FALSE(holds_->held(call, 3000));
  audit::Record revocation;
  revocation.tenant = "default";
  revocation.key_id = "key_of_boss";
  revocation.action = "key.revoke";
  revocation.resource = "key_1";
  EXPECT_TRUE(holds_->held(revocation, 5000));
  revocation.action = "chat.completions";
  EXPECT_FALSE(holds_->held(revocation, 5000)) << "there it is what the caller calls a model";
  revocation.action = "key.revoke";
  EXPECT_FALSE(holds_->held(revocation, 3000));
  revocation.resource = "key_2";
  EXPECT_FALSE(holds_->held(revocation, 5000));
}

// The evidence of an investigation is not for those whom it is about to let go.
TEST_F(LegalHoldTest, WhatTheHomeTenantPlacedItReleases) {
  const LegalHold hold = taken(holds_->place(auditor(), request("acme")));
  EXPECT_EQ(code_of(holds_->release(auditor("acme"), hold.id)), "permission_denied");
  EXPECT_TRUE(taken(holds_->release(auditor(), hold.id)).released_ms != 0);
  const LegalHold own = taken(holds_->place(auditor("acme"), request("acme")));
  EXPECT_TRUE(taken(holds_->release(auditor("acme"), own.id)).released_ms != 0);
}

TEST_F(LegalHoldTest, RefusesWhatHoldsNothingAndNamesTheField) {
  struct Case {
    const char* field;
    void (*spoil)(NewLegalHold&);
  };
  for (const auto& [field, spoil] : {
           Case{"tenant", [](NewLegalHold& h) { h.tenant = ""; }},
           Case{"tenant", [](NewLegalHold& h) { h.tenant = "No Name"; }},
           Case{"tenant", [](NewLegalHold& h) { h.tenant = "nobody"; }},
           Case{"key_id", [](NewLegalHold& h) { h.key_id = "a\nb"; }},
           Case{"key_id", [](NewLegalHold& h) { h.key_id = "key_0000000000"; }},
           Case{"operator_id", [](NewLegalHold& h) { h.operator_id.assign(129, 'a'); }},
           Case{"operator_id", [](NewLegalHold& h) { h.operator_id = "person:ann"; }},
           Case{"since", [](NewLegalHold& h) { h.since_s = -1; }},
           Case{"until", [](NewLegalHold& h) { h.until_s = INT64_MAX; }},
           Case{"until",
                [](NewLegalHold& h) {
                  h.since_s = 10;
                  h.until_s = 10;
                }},
           Case{"reason", [](NewLegalHold& h) { h.reason = "why"; }},
       }) {
    NewLegalHold wrong = request();
    spoil(wrong);
    const auto refused = holds_->place(auditor(), wrong);
    ASSERT_FALSE(refused) << field;
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
    EXPECT_TRUE(refused.error().message.starts_with(std::string(field) + ":"))
        << refused.error().message;
  }
  EXPECT_FALSE(holds_->held(kFacts));
}

TEST_F(LegalHoldTest, AKeyMayBeNamedByTheBeginningOfItsId) {
  add_key("key_12345678aa", "acme");
  add_key("key_12345679bb", "acme");
  add_key("key_77777777cc", "globex");
  const auto held_key = [&](const std::string& reference, const identity::Actor& actor) {
    NewLegalHold hold = request();
    hold.key_id = reference;
    return holds_->place(actor, hold);
  };
  EXPECT_EQ(taken(held_key("key_12345678", auditor())).key_id, "key_12345678aa");
  EXPECT_EQ(taken(held_key("key_12345679bb", auditor("acme"))).key_id, "key_12345679bb");
  EXPECT_EQ(code_of(held_key("key_1234567", auditor())), "invalid_argument") << "two keys";
  EXPECT_EQ(code_of(held_key("key_7", auditor())), "invalid_argument") << "too short";
  EXPECT_EQ(code_of(held_key("key_77777777cc", auditor("acme"))), "invalid_argument")
      << "another's";
}

TEST_F(LegalHoldTest, OfAnotherTenantIsTheHomeTenantsAuditors) {
  NewLegalHold all = request("");
  all.since_s = 1;
  EXPECT_EQ(code_of(holds_->place(auditor("acme"), all)), "permission_denied");
  EXPECT_EQ(code_of(holds_->place(auditor("acme"), request("globex"))), "permission_denied");
  const std::string own = taken(holds_->place(auditor("acme"), request())).id;
  const std::string others = taken(holds_->place(auditor(), request("globex"))).id;
  EXPECT_EQ(holds_->list(auditor())->size(), 2U);
  EXPECT_EQ(holds_->list(auditor("acme"))->size(), 1U);
  const auto refused = holds_->release(auditor("acme"), others);
  EXPECT_EQ(code_of(refused), "not_found");
  EXPECT_EQ(refused.error().message,
            holds_->release(auditor("acme"), "hld_000000000000000000000000").error().message);
  EXPECT_TRUE(holds_->release(auditor("acme"), own));
}

TEST_F(LegalHoldTest, PlacingAndReleasingAreOnRecord) {
  const std::string id = taken(holds_->place(auditor(), request())).id;
  ASSERT_TRUE(holds_->release(auditor(), id));
  ASSERT_EQ(records_.size(), 4U);
  EXPECT_EQ(records_[0].action, "audit.hold.place");
  EXPECT_EQ(records_[0].reason, "tenant=acme; reason=\"case 12/2026\"");
  EXPECT_EQ(records_[1].resource, id);
  EXPECT_EQ(records_[2].action, "audit.hold.release");
  EXPECT_EQ(records_[2].resource, id);
  EXPECT_EQ(records_[2].phase, audit::Phase::intent);
  log_is_full_ = true;
  EXPECT_EQ(code_of(holds_->place(auditor(), request())), "audit_unavailable");
  EXPECT_FALSE(holds_->held(kFacts));
}

TEST_F(LegalHoldTest, AnAlteredHoldHoldsEverythingUntilItIsTakenAway) {
  HoldFacts unrelated = kFacts;
  unrelated.tenant = "globex";
  const std::string id = taken(holds_->place(auditor(), request())).id;
  edit("UPDATE legal_holds SET released_ms = 1");
  restart();
  EXPECT_TRUE(holds_->uncertain());
  EXPECT_TRUE(holds_->held(kFacts));
  EXPECT_TRUE(holds_->held(unrelated));
  EXPECT_TRUE(holds_->held(audit::Record(), 1));
  EXPECT_EQ(code_of(holds_->release(auditor("acme"), id)), "not_found");
  const auto gone = taken(holds_->release(auditor(), id));
  EXPECT_FALSE(gone.intact);
  EXPECT_EQ(records_.back().resource, id + " (altered)");
  EXPECT_FALSE(holds_->uncertain());
  EXPECT_FALSE(holds_->held(kFacts));
}

// A released row that is put back as it was would be no evidence; each column is under the MAC.
TEST_F(LegalHoldTest, EveryColumnIsSealed) {
  for (const char* change : {"tenant = ''", "key_id = 'x'", "operator_id = 'x'", "since_ms = 1",
                             "until_ms = 1", "reason = 'x'", "placed_by = 'x'", "placed_ms = 1",
                             "released_by = 'x'", "released_ms = 1", "hold_id = 'hld_x'"}) {
    ASSERT_TRUE(holds_->place(auditor(), request()));
    edit(std::string("UPDATE legal_holds SET ") + change);
    restart();
    EXPECT_TRUE(holds_->uncertain()) << change;
    edit("DELETE FROM legal_holds");
    restart();
    EXPECT_FALSE(holds_->uncertain());
  }
}

}  // namespace
}  // namespace deepmoat::oversight
