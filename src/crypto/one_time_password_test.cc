// The RFCs' vectors, the window, and every spelling that is not six ASCII digits.
#include "crypto/one_time_password.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "crypto/scratch_field_cipher.h"

namespace deepmoat::crypto {
namespace {

const std::string kKey20 = "12345678901234567890";
const std::string kKey32 = "12345678901234567890123456789012";

Secret secret_of(std::string_view bytes) {
  return Secret::copy_of(bytes);
}

std::string code_at(OtpAlgorithm algorithm, const Secret& secret, std::uint64_t counter,
                    std::size_t digits = kOtpDigits) {
  const auto code = one_time_password(algorithm, secret, counter, digits);
  EXPECT_TRUE(code);
  return code ? std::string(code->reveal()) : "";
}

TEST(OneTimePassword, GivesTheCodesOfRfc4226) {
  const std::vector<std::string> codes{"755224", "287082", "359152", "969429", "338314",
                                       "254676", "287922", "162583", "399871", "520489"};
  for (std::size_t counter = 0; counter < codes.size(); ++counter) {
    EXPECT_EQ(code_at(OtpAlgorithm::totp_sha1, secret_of(kKey20), counter), codes[counter]);
  }
}

// RFC 6238, appendix B. Of SM3 there is no published vector: its codes were computed by a second,
// independent implementation of SM3 and HMAC.
TEST(OneTimePassword, GivesTheCodesOfRfc6238) {
  struct Vector {
    std::int64_t at_s;
    std::string sha1;
    std::string sha256;
    std::string sm3;
  };
  const std::vector<Vector> vectors{{59, "94287082", "46119246", "70252643"},
                                    {1111111109, "07081804", "68084774", "03087309"},
                                    {1111111111, "14050471", "67062674", "68947295"},
                                    {1234567890, "89005924", "91819424", "39678463"},
                                    {2000000000, "69279037", "90698825", "78318009"},
                                    {20000000000, "65353130", "77737706", "53139997"}};
  for (const Vector& vector : vectors) {
    const std::uint64_t counter = otp_counter(vector.at_s * 1000);
    EXPECT_EQ(code_at(OtpAlgorithm::totp_sha1, secret_of(kKey20), counter, 8), vector.sha1);
    EXPECT_EQ(code_at(OtpAlgorithm::totp_sha256, secret_of(kKey32), counter, 8), vector.sha256);
    EXPECT_EQ(code_at(OtpAlgorithm::totp_sm3, secret_of(kKey32), counter, 8), vector.sm3);
  }
}

TEST(OneTimePassword, FitsOneStepToEitherSideAndNoFurther) {
  constexpr UnixMillis kNowMs = 1'795'000'000'123;
  const std::uint64_t now = otp_counter(kNowMs);
  for (const OtpAlgorithm algorithm : kOtpAlgorithms) {
    const Secret secret = secret_of(kKey32);
    for (std::uint64_t counter = now - 20; counter <= now + 20; ++counter) {
      const auto matched =
          match_one_time_password(algorithm, secret, code_at(algorithm, secret, counter), kNowMs);
      ASSERT_TRUE(matched);
      const bool inside = counter + 1 >= now && counter <= now + 1;
      EXPECT_EQ(*matched, inside ? std::optional(counter) : std::nullopt) << counter;
    }
  }
}

TEST(OneTimePassword, StandsAtTheBeginningOfTime) {
  const Secret secret = secret_of(kKey20);
  EXPECT_EQ(*match_one_time_password(OtpAlgorithm::totp_sha1, secret, "755224", 0), 0U);
  EXPECT_EQ(*match_one_time_password(OtpAlgorithm::totp_sha1, secret, "287082", 0), 1U);
  EXPECT_EQ(*match_one_time_password(OtpAlgorithm::totp_sha1, secret, "755224", -60'000), 0U);
}

TEST(OneTimePassword, RefusesEverySpellingButSixDigits) {
  const Secret secret = secret_of(kKey20);
  const UnixMillis now_ms = 0;  // 755224 is right
  for (const std::string& text :
       {std::string(), std::string("75522"), std::string("7552240"), std::string(" 755224"),
        std::string("755224 "), std::string("755 224"), std::string("755224\n"),
        std::string("+55224"), std::string("-55224"), std::string("755224\0", 7),
        std::string("75522\0", 6), std::string("0x5224"), std::string("75522a"),
        std::string("\t55224"), std::string("75522."), std::string("1e5224"),
        // full-width, Arabic-Indic and superscript digits: six characters, more bytes
        std::string("７５５２２４"), std::string("٧٥٥٢٢٤"), std::string("7552²"),
        std::string("７５"), std::string(1'000'000, '7')}) {
    const auto matched = match_one_time_password(OtpAlgorithm::totp_sha1, secret, text, now_ms);
    ASSERT_FALSE(matched) << text;
    EXPECT_EQ(matched.error().code, Code::invalid_argument);
  }
}

RC_GTEST_PROP(OneTimePassword, HasOneSpellingOnly, (std::string text)) {
  bool digits = text.size() == kOtpDigits;
  for (const char c : text) {
    digits = digits && std::string_view("0123456789").find(c) != std::string_view::npos;
  }
  RC_ASSERT(is_one_time_password(text) == digits);
}

TEST(OneTimePassword, NamesItsAlgorithms) {
  for (const OtpAlgorithm algorithm : kOtpAlgorithms) {
    EXPECT_EQ(*parse_otp_algorithm(algorithm_name(algorithm)), algorithm);
  }
  for (const char* name : {"", "sha1", "TOTP-SHA1", "totp-md5", "totp-sha1 "}) {
    EXPECT_EQ(parse_otp_algorithm(name).error().code, Code::invalid_argument) << name;
  }
}

TEST(OneTimePassword, MakesSecretsAsLongAsTheHash) {
  const std::map<OtpAlgorithm, std::size_t> bytes{
      {OtpAlgorithm::totp_sha1, 20}, {OtpAlgorithm::totp_sha256, 32}, {OtpAlgorithm::totp_sm3, 32}};
  std::set<std::string> made;
  for (const auto& [algorithm, size] : bytes) {
    for (int i = 0; i < 3; ++i) {
      const auto secret = make_otp_secret(algorithm);
      ASSERT_TRUE(secret);
      EXPECT_EQ(secret->size(), size);
      EXPECT_TRUE(made.emplace(secret->reveal()).second);
    }
  }
}

// RFC 4648, section 10, without its padding.
TEST(Base32, GivesTheTextsOfRfc4648) {
  const std::map<std::string, std::string> vectors{{"", ""},
                                                   {"f", "MY"},
                                                   {"fo", "MZXQ"},
                                                   {"foo", "MZXW6"},
                                                   {"foob", "MZXW6YQ"},
                                                   {"fooba", "MZXW6YTB"},
                                                   {"foobar", "MZXW6YTBOI"}};
  for (const auto& [plain, text] : vectors) {
    EXPECT_EQ(base32(plain).reveal(), text);
  }
  EXPECT_EQ(base32(kKey20).reveal(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
}

TEST(OtpauthUri, SaysWhatAnAuthenticatorNeeds) {
  EXPECT_EQ(
      otpauth_uri(OtpAlgorithm::totp_sha256, secret_of(kKey20), "Deepmoat", "acme/app").reveal(),
      "otpauth://totp/Deepmoat:acme%2Fapp?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
      "&issuer=Deepmoat&algorithm=SHA256&digits=6&period=30");
}

}  // namespace
}  // namespace deepmoat::crypto
