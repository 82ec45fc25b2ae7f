// Keys with typing errors, junk and guesses, by the million: none gets in, and what a person or
// junk makes is refused before anything is computed with a secret or looked up.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif
constexpr int kBodies = kSanitized ? 200'000 : 2'000'000;

// How the authenticator ended with a key that must not get in.
class WrongKeysTest : public testing::Test {
 protected:
  WrongKeysTest() {
    for (const Role role : kRoles) {
      for (int i = 0; i < 2; ++i) {
        shown_.emplace_back(keys_.make("app", role).shown.reveal());
      }
    }
  }

  void expect_end(std::string_view wrong, AuthFailureKind kind, std::string_view what) {
    if (HasFailure()) {
      return;  // one is enough
    }
    ++tried_;
    const auto refused = keys_.authenticator_.authenticate(wrong, kTestNowMs);
    ASSERT_FALSE(refused) << what << ": accepted";
    // malformed is said before the look-up, unknown after it; neither names anybody.
    ASSERT_EQ(refused.error().kind, kind) << what;
    ASSERT_TRUE(refused.error().key_id.value().empty()) << what;
    ASSERT_EQ(failure_code(refused.error().kind), "invalid_api_key");
  }
  void expect_malformed(std::string_view wrong, std::string_view what) {
    expect_end(wrong, AuthFailureKind::malformed, what);
  }

  void TearDown() override {
    for (const std::string& key : shown_) {
      EXPECT_EQ(keys_.tried(key), "ok") << "the keys themselves were good all the time";
    }
    EXPECT_GT(tried_, 0);
  }

  ScratchKeys keys_;
  std::vector<std::string> shown_;  // two of each role
  long tried_ = 0;
};

TEST_F(WrongKeysTest, EveryCharacterAtEveryPlace) {
  for (const std::string& key : shown_) {
    for (std::size_t at = 0; at < key.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string wrong = key;
        wrong[at] = static_cast<char>(byte);
        if (wrong != key) {
          expect_malformed(wrong, "another character");
        }
      }
    }
  }
  EXPECT_EQ(tried_, 2 * 255 * (79 + 3 * 78));
}

TEST_F(WrongKeysTest, EveryCharacterTooMuchOrTooLittle) {
  for (const std::string& key : shown_) {
    for (std::size_t at = 0; at <= key.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string wrong = key;
        wrong.insert(at, 1, static_cast<char>(byte));
        expect_malformed(wrong, "one more");
      }
      expect_malformed(std::string_view(key).substr(0, at == key.size() ? 0 : at), "cut off");
      for (std::size_t count = 1; at + count <= key.size(); ++count) {
        std::string wrong = key;
        wrong.erase(at, count);
        expect_malformed(wrong, "some left out");
      }
    }
    expect_malformed(key + key, "pasted twice");
  }
}

TEST_F(WrongKeysTest, EveryTwoCharactersInEachOthersPlace) {
  for (const std::string& key : shown_) {
    for (std::size_t i = 0; i < key.size(); ++i) {
      for (std::size_t j = i + 1; j < key.size(); ++j) {
        std::string wrong = key;
        std::swap(wrong[i], wrong[j]);
        if (wrong != key) {
          expect_malformed(wrong, "two swapped");
        }
      }
    }
  }
}

TEST_F(WrongKeysTest, EveryCharacterInTheOtherCase) {
  const auto other_case = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return static_cast<char>(std::isupper(byte) != 0 ? std::tolower(byte) : std::toupper(byte));
  };
  for (const std::string& key : shown_) {
    for (std::size_t from = 0; from < key.size(); ++from) {
      for (std::size_t to = from + 1; to <= key.size(); ++to) {  // one, a run of them, all
        std::string wrong = key;
        std::transform(wrong.begin() + static_cast<std::ptrdiff_t>(from),
                       wrong.begin() + static_cast<std::ptrdiff_t>(to),
                       wrong.begin() + static_cast<std::ptrdiff_t>(from), other_case);
        if (wrong != key) {
          expect_malformed(wrong, "another case");
        }
      }
    }
  }
}

// 64 digits of nothing known.
class RandomBodies {
 public:
  std::string_view next() {
    for (std::size_t at = 0; at < body_.size(); at += 16) {
      std::uint64_t bits = random_();
      for (std::size_t i = 0; i < 16; ++i, bits >>= 4U) {
        body_[at + i] = "0123456789abcdef"[bits & 0xfU];
      }
    }
    return body_;
  }

 private:
  std::mt19937_64 random_{20261121};
  std::string body_ = std::string(kKeyBodyDigits, '0');
};

// Of the 2^32 checksums one fits a body: of two million bodies, 0.0005 are expected to get by.
TEST_F(WrongKeysTest, MillionsOfBodiesUnderTheChecksumOfAnother) {
  RandomBodies bodies;
  std::string wrong = shown_.front();
  ASSERT_TRUE(wrong.starts_with("dmk_live_"));
  for (int i = 0; i < kBodies; ++i) {
    wrong.replace(9, kKeyBodyDigits, bodies.next());
    expect_malformed(wrong, "a body of nothing");
  }
}

// Whoever knows how a checksum is made gets as far as the look-up, and no further.
TEST_F(WrongKeysTest, MillionsOfWellFormedBodies) {
  RandomBodies bodies;
  for (int i = 0; i < kBodies; ++i) {
    const KeyKind kind = kind_of(kRoles[static_cast<std::size_t>(i) % kRoles.size()]);
    const Secret guess = compose_key(kind, bodies.next());
    expect_end(guess.reveal(), AuthFailureKind::unknown, "a guess");
  }
}

// The half that he has seen (on a screen, in a log) helps nobody to the other one.
TEST_F(WrongKeysTest, HalfOfAKeyAndGuessesForTheRest) {
  RandomBodies bodies;
  const std::string body = shown_.front().substr(9, kKeyBodyDigits);
  for (int i = 0; i < kBodies / 20; ++i) {
    const std::string random(bodies.next());
    const std::string mac_known = body.substr(0, kKeyMacDigits) + random.substr(kKeyMacDigits);
    const std::string salt_known = random.substr(0, kKeyMacDigits) + body.substr(kKeyMacDigits);
    for (const std::string& tried : {mac_known, salt_known}) {
      expect_end(compose_key(KeyKind::live, tried).reveal(), AuthFailureKind::unknown, "half");
    }
  }
  // One digit of the body away from the right one, with a checksum made anew: all of them.
  for (std::size_t at = 0; at < body.size(); ++at) {
    for (const char digit : std::string_view("0123456789abcdef")) {
      std::string tried = body;
      tried[at] = digit;
      if (tried != body) {
        expect_end(compose_key(KeyKind::live, tried).reveal(), AuthFailureKind::unknown, "near");
      }
    }
  }
}

}  // namespace
}  // namespace deepmoat::identity
