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
#include "crypto/sm3.h"

namespace deepmoat::crypto {
namespace {

Secret key_of(char fill) {
  return Secret(std::string(kAeadKeyBytes, fill));
}

TEST(SelfTest, Passes) {
  const auto tested = self_test();
  EXPECT_TRUE(tested) << tested.error().message;
}

// Each vector counts: with one wrong digit in any of them, the server does not start.
TEST(SelfTest, RefusesEachWrongAnswer) {
  const std::vector<KnownAnswer> right = known_answers();
  EXPECT_GE(right.size(), 14U);
  for (std::size_t i = 0; i < right.size(); ++i) {
    std::vector<KnownAnswer> wrong = right;
    wrong[i].answer.front() = wrong[i].answer.front() == '0' ? '1' : '0';
    const auto tested = self_test(wrong);
    ASSERT_FALSE(tested) << right[i].name;
    EXPECT_EQ(tested.error().code, Code::internal);
    EXPECT_NE(tested.error().message.find(right[i].name), std::string::npos);
  }
}

TEST(SelfTest, RefusesAPrimitiveThatFails) {
  std::vector<KnownAnswer> broken = known_answers();
  broken.back().compute = []() -> Result<std::string> {
    return fail(Code::internal, "the library is gone");
  };
  const auto tested = self_test(broken);
  ASSERT_FALSE(tested);
  EXPECT_NE(tested.error().message.find("the library is gone"), std::string::npos);
}

// GB/T 32905, A.2; GM/T 0042-2015, D.3, case 2.
TEST(Sm3, GivesThePublishedAnswers) {
  std::string abcd;
  for (int i = 0; i < 16; ++i) {
    abcd += "abcd";
  }
  EXPECT_EQ(to_hex(view(*sm3(abcd))),
            "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732");
  const Secret key(
      *from_hex("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425"));
  EXPECT_EQ(to_hex(view(*hmac_sm3(key, std::string(50, '\xcd')))),
            "220bf579ded555393f0159f66c99877822a3ecf610d1552154b41d44b94db3ae");
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
  EXPECT_TRUE(rc::check([](const std::string& key, const std::string& a, const std::string& b) {
    const Secret secret = Secret::copy_of(key);
    RC_ASSERT(HmacSha256(secret)({a, b}) == hmac_sha256(secret, a + b));
  }));
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
  EXPECT_TRUE(rc::check([](const std::string& plain, const std::string& associated) {
    const auto sealed = aead_seal(key_of('k'), plain, associated);
    RC_ASSERT(sealed.has_value());
    RC_ASSERT(sealed->size() == kAeadNonceBytes + plain.size() + kAeadTagBytes);
    const auto opened = aead_open(key_of('k'), *sealed, associated);
    RC_ASSERT(opened.has_value());
    RC_ASSERT(opened->reveal() == plain);
  }));
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

// Both algorithms, one object for many messages.
class KeyedAead : public testing::TestWithParam<AeadAlgorithm> {
 protected:
  [[nodiscard]] static std::unique_ptr<Aead> keyed(char fill) {
    auto made = Aead::make(GetParam(), Secret(std::string(aead_key_bytes(GetParam()), fill)));
    EXPECT_TRUE(made) << made.error().message;
    return *std::move(made);
  }
};
INSTANTIATE_TEST_SUITE_P(Algorithms, KeyedAead,
                         testing::Values(AeadAlgorithm::sm4_gcm, AeadAlgorithm::aes_256_gcm));

TEST_P(KeyedAead, OpensWhatItSealedAgainAndAgain) {
  const auto aead = keyed('k');
  const auto other = keyed('k');
  EXPECT_TRUE(rc::check([&](const std::string& plain, const std::string& associated) {
    const std::string nonce = *random_bytes(kAeadNonceBytes);
    const auto sealed = aead->seal(nonce, plain, associated);
    RC_ASSERT(sealed.has_value());
    RC_ASSERT(sealed->size() == plain.size() + kAeadTagBytes);
    RC_ASSERT(other->seal(nonce, plain, associated).value() == *sealed);
    const auto opened = aead->open(nonce, *sealed, associated);
    RC_ASSERT(opened.has_value());
    RC_ASSERT(opened->reveal() == plain);
  }));
}

TEST_P(KeyedAead, RefusesEveryFlippedBitAndGoesOn) {
  const auto aead = keyed('k');
  const std::string nonce(kAeadNonceBytes, 'n');
  const auto sealed = aead->seal(nonce, "the secrets", "header");
  ASSERT_TRUE(sealed);
  for (std::size_t bit = 0; bit < sealed->size() * 8; ++bit) {
    std::string altered = *sealed;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
    const auto opened = aead->open(nonce, altered, "header");
    ASSERT_FALSE(opened) << "bit " << bit;
    EXPECT_EQ(opened.error().code, Code::corrupt);
  }
  for (std::size_t size = 0; size < sealed->size(); ++size) {
    EXPECT_FALSE(aead->open(nonce, std::string_view(*sealed).substr(0, size), "header"));
  }
  EXPECT_FALSE(aead->open(nonce, *sealed, "Header"));
  EXPECT_FALSE(aead->open(std::string(kAeadNonceBytes, 'm'), *sealed, "header"));
  EXPECT_FALSE(keyed('l')->open(nonce, *sealed, "header"));
  EXPECT_EQ(aead->open(nonce, *sealed, "header")->reveal(), "the secrets");
}

TEST_P(KeyedAead, RefusesWrongSizes) {
  EXPECT_EQ(Aead::make(GetParam(), Secret::copy_of("short")).error().code, Code::invalid_argument);
  EXPECT_EQ(keyed('k')->seal("nonce", "x", "").error().code, Code::invalid_argument);
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
