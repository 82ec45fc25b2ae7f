// Digests, MACs and AEAD against published vectors, and against alteration.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

#include "base/hex.h"
#include "base/random.h"
#include "crypto/aead.h"
#include "crypto/crc32.h"
#include "crypto/digest.h"
#include "crypto/hmac.h"
#include "crypto/self_test.h"

namespace deepmoat::crypto {
namespace {

Secret key_of(char fill) {
  return Secret(std::string(kAeadKeyBytes, fill));
}

TEST(SelfTest, Passes) {
  const auto tested = self_test();
  EXPECT_TRUE(tested) << tested.error().message;
}

struct HmacCase {
  std::string key;
  std::string data;
  std::string_view mac;
};

// RFC 4231, 4.2 to 4.8 without the truncated case 5.
TEST(HmacSha256, GivesTheAnswersOfRfc4231) {
  const std::vector<HmacCase> cases{
      {std::string(20, '\x0b'), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::string(131, '\xaa'),
       "This is a test using a larger than block-size key and a larger than block-size data. "
       "The key needs to be hashed before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"}};
  for (const HmacCase& one : cases) {
    const Secret key = Secret::copy_of(one.key);
    EXPECT_EQ(to_hex(view(HmacSha256(key)({one.data}))), one.mac);
    EXPECT_EQ(to_hex(view(hmac_sha256(key, one.data))), one.mac);
  }
}

TEST(HmacSha256, IsThatOfThePartsTogether) {
  rc::check([](const std::string& key, const std::string& a, const std::string& b) {
    const Secret secret = Secret::copy_of(key);
    RC_ASSERT(HmacSha256(secret)({a, b}) == hmac_sha256(secret, a + b));
  });
}

TEST(DeriveSecret, DiffersByPurposeAndRoot) {
  const Secret root = key_of('r');
  EXPECT_EQ(derive_secret(root, "a").reveal(), derive_secret(root, "a").reveal());
  EXPECT_NE(derive_secret(root, "a").reveal(), derive_secret(root, "b").reveal());
  EXPECT_NE(derive_secret(root, "a").reveal(), derive_secret(key_of('s'), "a").reveal());
  EXPECT_EQ(derive_secret(root, "a").size(), 32U);
}

TEST(Crc32, GivesThePublishedCheckValue) {
  EXPECT_EQ(crc32("123456789"), 0xCBF43926U);
  EXPECT_EQ(crc32(""), 0U);
}

TEST(EqualConstantTime, Compares) {
  EXPECT_TRUE(equal_constant_time("", ""));
  EXPECT_FALSE(equal_constant_time("a", ""));
  EXPECT_FALSE(equal_constant_time("a", "aa"));
  EXPECT_FALSE(equal_constant_time(std::string_view("a\0b", 3), std::string_view("a\0c", 3)));
}

TEST(Aead, OpensWhatItSealed) {
  rc::check([](const std::string& plain, const std::string& associated) {
    const auto sealed = aead_seal(key_of('k'), plain, associated);
    RC_ASSERT(sealed.has_value());
    RC_ASSERT(sealed->size() == kAeadNonceBytes + plain.size() + kAeadTagBytes);
    const auto opened = aead_open(key_of('k'), *sealed, associated);
    RC_ASSERT(opened.has_value());
    RC_ASSERT(opened->reveal() == plain);
  });
}

TEST(Aead, RefusesEveryFlippedBitAndEveryCut) {
  const auto sealed = aead_seal(key_of('k'), "the secrets", "header");
  ASSERT_TRUE(sealed);
  for (std::size_t bit = 0; bit < sealed->size() * 8; ++bit) {
    std::string altered = *sealed;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
    const auto opened = aead_open(key_of('k'), altered, "header");
    ASSERT_FALSE(opened) << "bit " << bit;
    EXPECT_EQ(opened.error().code, Code::corrupt);
  }
  for (std::size_t size = 0; size < sealed->size(); ++size) {
    EXPECT_FALSE(aead_open(key_of('k'), std::string_view(*sealed).substr(0, size), "header"));
  }
  EXPECT_FALSE(aead_open(key_of('l'), *sealed, "header"));
  EXPECT_FALSE(aead_open(key_of('k'), *sealed, "Header"));
}

TEST(Aead, NeverRepeatsANonce) {
  const auto first = aead_seal(key_of('k'), "same", "");
  const auto second = aead_seal(key_of('k'), "same", "");
  EXPECT_NE(*first, *second);
}

TEST(Aead, RefusesAKeyOfAnotherSize) {
  EXPECT_EQ(aead_seal(Secret::copy_of("short"), "x", "").error().code, Code::invalid_argument);
}

}  // namespace
}  // namespace deepmoat::crypto
