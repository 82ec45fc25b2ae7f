// A sealed field opens in its place, with its key, and nowhere else.
#include "crypto/derived_field_cipher.h"

#include <gtest/gtest.h>

namespace deepmoat::crypto {
namespace {

constexpr FieldPlace kPlace{
    .tenant = "hr", .table = "webhooks", .column = "secret", .row = "whk_1", .version = 3};

TEST(DerivedFieldCipher, OpensOnlyWhereItWasSealed) {
  DerivedFieldCipher cipher(Secret(std::string(32, 'r')));
  const auto sealed = cipher.seal(kPlace, "the secret");
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->find("the secret"), std::string::npos);
  EXPECT_EQ(cipher.open(kPlace, *sealed)->reveal(), "the secret");

  const auto refused = [&](const auto& move) {
    FieldPlace elsewhere = kPlace;
    move(elsewhere);
    return cipher.open(elsewhere, *sealed).error().code == Code::corrupt;
  };
  EXPECT_TRUE(refused([](FieldPlace& place) { place.tenant = "it"; }));
  EXPECT_TRUE(refused([](FieldPlace& place) { place.table = "other"; }));
  EXPECT_TRUE(refused([](FieldPlace& place) { place.column = "url"; }));
  EXPECT_TRUE(refused([](FieldPlace& place) { place.row = "whk_2"; }));
  EXPECT_TRUE(refused([](FieldPlace& place) { place.version = 2; }));
  // The same characters, cut elsewhere.
  EXPECT_TRUE(refused([](FieldPlace& place) {
    place.tenant = "hrweb";
    place.table = "hooks";
  }));

  std::string altered = *sealed;
  altered.back() = static_cast<char>(altered.back() ^ 1);
  EXPECT_EQ(cipher.open(kPlace, altered).error().code, Code::corrupt);
  EXPECT_EQ(cipher.open(kPlace, "").error().code, Code::corrupt);
  DerivedFieldCipher other(Secret(std::string(32, 'q')));
  EXPECT_EQ(other.open(kPlace, *sealed).error().code, Code::corrupt);
}

}  // namespace
}  // namespace deepmoat::crypto
