#include "backend/local/quarantine.h"

#include <gtest/gtest.h>

namespace deepmoat::backend {
namespace {

wire::InferRequest request(const std::string& text, std::uint64_t id = 1) {
  wire::InferRequest made;
  made.set_call_id(id);
  made.set_text(text);
  return made;
}

TEST(Quarantine, HoldsAfterTwoStrikes) {
  Quarantine quarantine;
  const auto guilty = Quarantine::fingerprint(request("bad"));
  const auto other = Quarantine::fingerprint(request("good"));
  EXPECT_FALSE(quarantine.holds(guilty));
  quarantine.strike(guilty);
  EXPECT_FALSE(quarantine.holds(guilty));
  quarantine.strike(guilty);
  EXPECT_TRUE(quarantine.holds(guilty));
  EXPECT_FALSE(quarantine.holds(other));
}

TEST(Quarantine, SuccessForgives) {
  Quarantine quarantine;
  quarantine.strike(7);
  quarantine.clear(7);
  quarantine.strike(7);
  EXPECT_FALSE(quarantine.holds(7));
}

TEST(Quarantine, FingerprintIsOfWhatIsComputedAndNotOfTheCall) {
  EXPECT_EQ(Quarantine::fingerprint(request("same", 1)),
            Quarantine::fingerprint(request("same", 2)));
  auto hotter = request("same");
  hotter.mutable_sampling()->set_temperature(2);
  EXPECT_NE(Quarantine::fingerprint(request("same")), Quarantine::fingerprint(hotter));
  auto longer = request("same");
  longer.set_max_tokens(9);
  EXPECT_NE(Quarantine::fingerprint(request("same")), Quarantine::fingerprint(longer));
}

// The order in which a map is serialised must not let a request slip out of its quarantine.
TEST(Quarantine, FingerprintDoesNotDependOnTheOrderOfAMap) {
  auto forward = request("same");
  auto backward = request("same");
  for (int token = 0; token < 300; ++token) {
    (*forward.mutable_sampling()->mutable_logit_bias())[token] = 1;
    (*backward.mutable_sampling()->mutable_logit_bias())[299 - token] = 1;
  }
  EXPECT_EQ(Quarantine::fingerprint(forward), Quarantine::fingerprint(backward));
}

TEST(Quarantine, MemoryIsBounded) {
  Quarantine quarantine;
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    quarantine.strike(i);
  }
  quarantine.strike(100'001);
  quarantine.strike(100'001);
  EXPECT_TRUE(quarantine.holds(100'001));
}

}  // namespace
}  // namespace deepmoat::backend
