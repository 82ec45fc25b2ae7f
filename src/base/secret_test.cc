#include "base/secret.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <ostream>
#include <type_traits>
#include <vector>

#include "base/locked_memory.h"
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

// Inside a std::string object and on its heap; the smallest block and the largest.
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

TEST_P(SecretOfSize, MoveTakesTheBytesAlongWithoutACopy) {
  Secret first = Secret::copy_of(text());
  const char* bytes = first.reveal().data();
  const Secret second(std::move(first));
  EXPECT_EQ(second.reveal(), text());
  EXPECT_EQ(second.reveal().data(), bytes);
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(first.reveal(), "");
}

TEST_P(SecretOfSize, IsWipedAtItsEnd) {
  const char* bytes = nullptr;
  {
    const Secret secret = Secret::copy_of(text());
    bytes = secret.reveal().data();
    EXPECT_FALSE(all_zero(bytes, GetParam()));
  }
  EXPECT_TRUE(all_zero(bytes, GetParam()));  // the pages stay, see locked_memory.h
}

TEST_P(SecretOfSize, MoveAssignmentWipesWhatWasThere) {
  Secret first = Secret::copy_of(text());
  Secret second = Secret::copy_of(std::string(GetParam(), 'o'));
  const char* old = second.reveal().data();
  second = std::move(first);
  EXPECT_EQ(second.reveal(), text());
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(all_zero(old, GetParam()));
}

// They answer mlock() themselves and lock nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitizersIgnoreMlock = true;
#elif defined(__has_feature)
constexpr bool kSanitizersIgnoreMlock =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitizersIgnoreMlock = false;
#endif

// The flags of the pages under an address, as the kernel has them: "rd wr ... lo dd".
std::string page_flags(const char* address) {
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      inside = begin <= wanted && wanted < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      return line + ' ';
    }
  }
  return "";
}

TEST(Secret, LiesInPagesThatAreNeitherDumpedNorSwapped) {
  for (const std::size_t size : {1U, 32U, 4096U, 100'000U}) {
    const Secret secret = Secret::copy_of(std::string(size, 's'));
    const std::string flags = page_flags(secret.reveal().data());
    EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
    // Where the limit of this machine allows it.
    if (unlocked_secret_bytes() == 0 && !kSanitizersIgnoreMlock) {
      EXPECT_NE(flags.find(" lo "), std::string::npos) << flags;
    }
  }
  const std::string ordinary(1000, 'o');
  EXPECT_EQ(page_flags(ordinary.data()).find(" dd "), std::string::npos);
}

// Blocks are reused and never overlap.
TEST(Secret, ManyAtOnceKeepTheirBytes) {
  for (int round = 0; round < 3; ++round) {
    std::vector<Secret> secrets;
    for (std::size_t i = 0; i < 2000; ++i) {
      secrets.push_back(Secret::copy_of(std::string(1 + i % 300, static_cast<char>('a' + i % 26))));
    }
    for (std::size_t i = 0; i < secrets.size(); ++i) {
      ASSERT_EQ(secrets[i].reveal(), std::string(1 + i % 300, static_cast<char>('a' + i % 26)));
    }
  }
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
