#include "gateway/key_json.h"

#include <gtest/gtest.h>

namespace deepmoat::gateway {
namespace {

identity::KeyInfo key() {
  return {.key_id = KeyId("key_1"),
          .client_id = ClientId("app"),
          .tenant = TenantId("default"),
          .role = "user",
          .kind = "live",
          .label = "shop \"A\"",
          .created_ms = 1'795'000'000'123,
          .expires_ms = 1'802'776'000'999};
}

TEST(KeyJson, TimesAreSecondsAndNothingSecretIsThere) {
  EXPECT_EQ(key_json(key()).dump(),
            R"({"id":"key_1","client_id":"app","tenant":"default","role":"user","kind":"live",)"
            R"("label":"shop \"A\"","state":"active","created_at":1795000000,)"
            R"("expires_at":1802776000,"models":[],"adapter":"","adapter_only":false,)"
            R"("ip_ranges":[],"data_class":"","scopes":[],"limits":{"requests_per_minute":0,)"
            R"("tokens_per_minute":0,"concurrent_calls":0},"labels":{}})");
}

TEST(KeyJson, RevokedSaysWhenAndWhy) {
  auto revoked = key();
  revoked.state = identity::KeyState::revoked;
  revoked.revoked_ms = 1'795'000'500'000;
  revoked.revoke_reason = "lost laptop";
  const auto json = key_json(revoked);
  EXPECT_EQ(json["state"], "revoked");
  EXPECT_EQ(json["revoked_at"], 1'795'000'500);
  EXPECT_EQ(json["revoke_reason"], "lost laptop");
}

}  // namespace
}  // namespace deepmoat::gateway
