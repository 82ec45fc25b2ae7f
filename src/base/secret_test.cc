#include "base/secret.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <concepts>
#include <ostream>
#include <type_traits>

#include "base/log.h"

namespace deepmoat {
namespace {

template <class T>
concept Streamable = requires(std::ostream& out, const T& value) { out << value; };

static_assert(!std::is_copy_constructible_v<Secret>);
static_assert(!std::is_copy_assignable_v<Secret>);
static_assert(std::is_nothrow_move_constructible_v<Secret>);
static_assert(!fmt::is_formattable<Secret>::value);
static_assert(!Streamable<Secret>);
static_assert(!std::equality_comparable<Secret>);
static_assert(!std::is_convertible_v<Secret, std::string>);
static_assert(!std::is_convertible_v<Secret, std::string_view>);
static_assert(!std::is_convertible_v<std::string, Secret>);
static_assert(!std::is_constructible_v<log::Field, std::string_view, const Secret&>);
// The checks above can fail: text passes them all.
static_assert(Streamable<std::string> && fmt::is_formattable<std::string>::value);
static_assert(std::is_constructible_v<log::Field, std::string_view, const std::string&>);

bool all_zero(const char* bytes, std::size_t count) {
  return std::all_of(bytes, bytes + count, [](char c) { return c == '\0'; });
}

// Short enough to lie inside the string object, and long enough to lie on the heap.
class SecretOfSize : public testing::TestWithParam<std::size_t> {
 protected:
  std::string text() const { return std::string(GetParam(), 'k'); }
};
INSTANTIATE_TEST_SUITE_P(Sizes, SecretOfSize, testing::Values(1, 8, 15, 16, 64, 4096));

TEST_P(SecretOfSize, TakesTheBytesAndWipesWhereTheyWere) {
  std::string source = text();
  const char* bytes = source.data();
  const Secret secret(std::move(source));
  EXPECT_EQ(secret.reveal(), text());
  EXPECT_EQ(secret.size(), GetParam());
  EXPECT_TRUE(source.empty());  // NOLINT(bugprone-use-after-move): that is the promise
  EXPECT_EQ(source.data(), bytes);
  EXPECT_TRUE(all_zero(bytes, GetParam()));
}

TEST_P(SecretOfSize, MoveWipesTheSource) {
  Secret first = Secret::copy_of(text());
  const char* bytes = first.reveal().data();
  const Secret second(std::move(first));
  EXPECT_EQ(second.reveal(), text());
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(first.reveal().data(), bytes);
  EXPECT_TRUE(all_zero(bytes, GetParam()));
}

TEST_P(SecretOfSize, MoveAssignmentWipesBoth) {
  Secret first = Secret::copy_of(text());
  Secret second = Secret::copy_of(std::string(GetParam() + 3, 'o'));
  const char* bytes = first.reveal().data();
  second = std::move(first);
  EXPECT_EQ(second.reveal(), text());
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(all_zero(bytes, GetParam()));
}

TEST(Secret, SelfMoveKeepsIt) {
  Secret secret = Secret::copy_of("held");
  Secret& same = secret;
  secret = std::move(same);
  EXPECT_EQ(secret.reveal(), "held");
}

TEST(Secret, WipeOverwrites) {
  std::string bytes = "do not keep";
  wipe(std::as_writable_bytes(std::span(bytes.data(), bytes.size())));
  EXPECT_TRUE(all_zero(bytes.data(), bytes.size()));
}

TEST(Secret, EmptyIsEmpty) {
  const Secret none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.size(), 0U);
}

}  // namespace
}  // namespace deepmoat
