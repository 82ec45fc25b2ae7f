#include "crypto/password.h"

#include <botan/base64.h>
#include <gtest/gtest.h>

#include "crypto/passphrase.h"

namespace deepmoat::crypto {
namespace {

TEST(Password, FitsItsHashAndNoOther) {
  const Secret password = Secret::copy_of("correct horse battery staple");
  const auto hash = hash_password(password);
  ASSERT_TRUE(hash) << hash.error().message;
  EXPECT_TRUE(hash->starts_with("$argon2id$v=19$m=65536,t=3,p=1$")) << *hash;
  EXPECT_TRUE(password_fits(password, *hash));
  EXPECT_FALSE(password_fits(Secret::copy_of("correct horse battery stapl"), *hash));
  EXPECT_FALSE(password_fits(Secret(), *hash));
  const auto again = hash_password(password);
  ASSERT_TRUE(again);
  EXPECT_NE(*hash, *again) << "the salt is new each time";
}

// Made by the reference implementation (PyPI argon2-cffi 25.1.0 over P-H-C's C code).
TEST(Password, FitsAHashOfTheReferenceImplementation) {
  constexpr std::string_view kHash =
      "$argon2id$v=19$m=65536,t=3,p=1$c2l4dGVlbiBieXRlIHNsdA$"
      "zS0we+G2kaVID7hSi1dB0XfmRkk9btQzwvGC9Whz1EM";
  EXPECT_TRUE(password_fits(Secret::copy_of("correct horse battery staple"), kHash));
  EXPECT_FALSE(password_fits(Secret::copy_of("correct horse battery Staple"), kHash));
}

TEST(Password, FitsNothingThatIsNoHash) {
  for (const std::string_view none :
       {"", "$argon2id$", "$argon2id$v=19$m=65536,t=3,p=1$A$A", "password"}) {
    EXPECT_FALSE(password_fits(Secret::copy_of("password"), none)) << none;
  }
  EXPECT_FALSE(password_fits(Secret::copy_of(""), hash_of_nobody()));
  EXPECT_FALSE(password_fits(Secret::copy_of("password"), hash_of_nobody()));
}

// Were it no hash, looking would cost nothing, and tell who exists. So with the right digest in its
// place, a password must fit.
TEST(Password, IsHeldAgainstTheHashOfNobodyForReal) {
  constexpr std::size_t kDigestDigits = 43;
  const Secret password = Secret::copy_of("password");
  const auto digest = argon2id(password, std::string(16, '\0'), kArgon2idCost);
  ASSERT_TRUE(digest) << digest.error().message;
  std::string hash = hash_of_nobody();
  const std::string_view bytes = digest->reveal();
  std::string base64 =
      Botan::base64_encode(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  base64.resize(kDigestDigits);  // without the padding
  hash.replace(hash.size() - kDigestDigits, kDigestDigits, base64);
  EXPECT_TRUE(password_fits(password, hash)) << hash;
}

}  // namespace
}  // namespace deepmoat::crypto
