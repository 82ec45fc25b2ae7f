#include "crypto/password.h"

#include <gtest/gtest.h>

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
  EXPECT_EQ(hash_of_nobody().size(), hash_password(Secret::copy_of("x"))->size());
  EXPECT_FALSE(password_fits(Secret::copy_of(""), hash_of_nobody()));
  EXPECT_FALSE(password_fits(Secret::copy_of("password"), hash_of_nobody()));
}

}  // namespace
}  // namespace deepmoat::crypto
