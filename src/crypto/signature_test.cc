// RFC 8032's vectors, and that nothing but the right bytes verifies.
#include "crypto/signature.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/hex.h"

namespace deepmoat::crypto {
namespace {

struct Vector {
  const char* seed;
  const char* public_key;
  const char* message;
  const char* signature;
};

// RFC 8032, section 7.1, tests 1 to 3.
constexpr Vector kVectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "4"
     "6bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d"
     "8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "6"
     "594a7c15e9716ed28dc027beceea1ec40a"}};

SigningKey key_of(std::string seed) {
  auto key = SigningKey::from_seed(Secret(std::move(seed)));
  EXPECT_TRUE(key) << key.error().message;
  return *std::move(key);
}

TEST(Signature, GivesThePublishedAnswers) {
  for (const Vector& vector : kVectors) {
    const SigningKey key = key_of(*from_hex(vector.seed));
    const std::string message = *from_hex(vector.message);
    EXPECT_EQ(to_hex(key.public_key()), vector.public_key);
    EXPECT_EQ(to_hex(*key.sign(message)), vector.signature);
    EXPECT_TRUE(verify_signature(key.public_key(), message, *from_hex(vector.signature)));
  }
}

TEST(Signature, AnyChangedBitIsRefused) {
  const SigningKey key = key_of(std::string(32, 's'));
  const SigningKey other = key_of(std::string(32, 't'));
  const std::string message = "an incident";
  const std::string signature = *key.sign(message);
  EXPECT_FALSE(verify_signature(other.public_key(), message, signature));
  EXPECT_TRUE(rc::check([&] {
    const auto bit = *rc::gen::inRange<std::size_t>(0, 8);
    const auto flip = [&](std::string bytes) {
      const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      return bytes;
    };
    RC_ASSERT(!verify_signature(key.public_key(), flip(message), signature));
    RC_ASSERT(!verify_signature(key.public_key(), message, flip(signature)));
  }));
  EXPECT_FALSE(verify_signature(key.public_key(), message, signature + "x"));
  EXPECT_FALSE(verify_signature("short", message, signature));
  EXPECT_FALSE(verify_signature(key.public_key(), message, ""));
}

TEST(Signature, PublicKeysGoThroughPem) {
  const SigningKey key = key_of(std::string(32, 's'));
  const auto pem = public_key_to_pem(key.public_key());
  ASSERT_TRUE(pem);
  EXPECT_TRUE(pem->starts_with("-----BEGIN PUBLIC KEY-----\n"));
  EXPECT_EQ(*public_key_from_pem(*pem), key.public_key());
  EXPECT_EQ(public_key_id(key.public_key()).size(), 16U);
  EXPECT_FALSE(public_key_from_pem("no key"));
  EXPECT_FALSE(public_key_from_pem(std::string(1 << 20, 'x')));
  EXPECT_FALSE(public_key_to_pem("short"));
  EXPECT_FALSE(SigningKey::from_seed(Secret(std::string(31, 's'))));
}

}  // namespace
}  // namespace deepmoat::crypto
