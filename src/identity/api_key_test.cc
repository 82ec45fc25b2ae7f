// The shown form: what is a key and what is not, and nothing has two readings. Typing errors and
// guesses by the million: wrong_keys_test.cc.
#include "identity/api_key.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

#include "base/hex.h"
#include "crypto/hmac.h"
#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

std::string sample_key() {
  const KeyAuthority authority(test_secrets());
  return std::string(authority.make_key(KeyKind::live, "app", kTestNowMs)->reveal());
}

TEST(ApiKey, HasThePromisedForm) {
  const std::string key = sample_key();
  EXPECT_EQ(key.size(), 79U);
  EXPECT_TRUE(key.starts_with("dmk_live_"));
  const auto parsed = parse_key(key);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->kind, KeyKind::live);
  // HMAC-SHA256(secret, client_id + timestamp + salt), first 32 hex digits, then the salt.
  const std::string input = "app" + std::string("1795000000") + std::string(parsed->salt);
  const auto mac = crypto::hmac_sha256(test_secrets().signing, input);
  EXPECT_EQ(parsed->mac, to_hex(crypto::view(mac)).substr(0, 32));
  EXPECT_EQ(key.substr(9, 64), std::string(parsed->mac) + std::string(parsed->salt));
}

TEST(ApiKey, HasAPublishedExample) {  // docs/formats/keys.md
  const Secret shown = compose_key(
      KeyKind::live, "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef");
  EXPECT_EQ(shown.reveal(),
            "dmk_live_00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef0utxVZ");
}

TEST(ApiKey, IsReadInEveryKind) {
  const KeyAuthority authority(test_secrets());
  for (const Role role : kRoles) {
    const auto key = authority.make_key(kind_of(role), "app", kTestNowMs);
    ASSERT_TRUE(key);
    const auto parsed = parse_key(key->reveal());
    ASSERT_TRUE(parsed) << key->size();
    EXPECT_EQ(parsed->kind, kind_of(role));
    EXPECT_EQ(parse_kind(kind_name(kind_of(role))), kind_of(role));
  }
}

TEST(ApiKey, RefusesEverythingElse) {
  const std::string key = sample_key();
  for (const std::string& text :
       {std::string(), std::string("dmk_"), std::string("dmk_live_"), std::string("' OR '1'='1"),
        key + " ", " " + key, key + "\n", std::string("Bearer ") + key, std::string(79, 'a'),
        std::string(1'000'000, '_'), key + std::string(1, '\0'), std::string(64, '0')}) {
    EXPECT_FALSE(parse_key(text)) << text.substr(0, 90);
  }
}

TEST(ApiKey, AcceptsTheBareFormOnlyWhenToldTo) {
  const std::string key = sample_key();
  const std::string body = key.substr(9, 64);
  EXPECT_FALSE(parse_key(body));
  const auto bare = parse_key(body, true);
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->kind, std::nullopt);
  EXPECT_EQ(bare->mac, body.substr(0, 32));
  EXPECT_EQ(bare->salt, body.substr(32));
  EXPECT_TRUE(parse_key(key, true));
  EXPECT_FALSE(parse_key(body.substr(1), true));
  EXPECT_FALSE(parse_key(std::string(64, 'A'), true));
}

TEST(ApiKey, ComposesAndParsesAnyBody) {
  EXPECT_TRUE(rc::check([](const std::array<std::uint8_t, 32>& bytes) {
    const std::string body = to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    const Secret shown = compose_key(KeyKind::aud, body);
    const auto parsed = parse_key(shown.reveal());
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(parsed->shown == shown.reveal());
    RC_ASSERT(std::string(parsed->mac) + std::string(parsed->salt) == body);
  }));
}

TEST(CheckName, HoldsTheGrammar) {
  for (const std::string& name : {std::string("a"), std::string("0"), std::string("billing-app"),
                                  std::string("a--b-"), std::string(63, 'z')}) {
    EXPECT_TRUE(check_name("client_id", name)) << name;
  }
  for (const std::string& name :
       {std::string(), std::string("-a"), std::string("A"), std::string("a b"), std::string("a_b"),
        std::string("a.b"), std::string(64, 'z'), std::string("a\n"), std::string("\xC3\xA9"),
        std::string("a\0b", 3), std::string("' OR 1=1")}) {
    const auto refused = check_name("client_id", name);
    ASSERT_FALSE(refused) << name;
    EXPECT_NE(refused.error().message.find("client_id"), std::string::npos);
  }
}

}  // namespace
}  // namespace deepmoat::identity
