// Does the time of a key check tell how close a guess was? A statistical test after dudect
// (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017): two classes of inputs
// in random order, Welch's t of their times, with the slow tail cut off. Controls that leak, by
// comparisons that stop at the first difference, must be found by the same measurement: a test that
// cannot find them says nothing.
//
// No time is asserted. On a busy machine the noise is the same for both classes, as they take turns
// at random; it can hide a leak, never make one, and whether it hides one is what the controls
// show. The median over several rounds keeps one odd round from deciding.
#include <gtest/gtest.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/hex.h"
#include "crypto/hmac.h"
#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

constexpr int kRounds = 5;
constexpr int kSamplesOfRound = 40'000;
constexpr int kTries = 3;  // each with twice the samples of the one before
// |t| of a leak grows with the root of the samples, that of noise does not: the controls give 60
// and more, the real checks 1 to 4.
constexpr double kFound = 15;

// Cycles where there is a counter of them, else nanoseconds: only differences count.
std::uint64_t ticks() {
#if defined(__x86_64__)
  unsigned processor = 0;
  _mm_lfence();
  const std::uint64_t now = __rdtscp(&processor);
  _mm_lfence();
  return now;
#else
  return static_cast<std::uint64_t>(SystemClock().mono_ns());
#endif
}

struct Moments {
  double count = 0;
  double mean = 0;
  double squares = 0;  // of the distances from the mean

  void add(double value) {
    ++count;
    const double distance = value - mean;
    mean += distance / count;
    squares += distance * (value - mean);
  }
  [[nodiscard]] double error() const { return squares / (count - 1) / count; }
};

struct Sample {
  std::uint64_t time;
  std::uint32_t kind;
};

// The greatest |t| over several cuts: what an interrupt took is in the slow tail, and where that
// begins depends on the machine.
double greatest_t(std::vector<Sample> samples) {
  std::ranges::sort(samples, {}, &Sample::time);
  double greatest = 0;
  for (const double share : {0.5, 0.75, 0.9, 0.95, 1.0}) {
    const auto kept = static_cast<std::size_t>(share * static_cast<double>(samples.size()));
    // All that took as long as the last one, so that the cut prefers nobody among equals.
    const std::uint64_t longest = samples[kept - 1].time;
    std::array<Moments, 2> of_kind;
    for (const Sample& sample : samples) {
      if (sample.time <= longest) {
        of_kind[sample.kind].add(static_cast<double>(sample.time));
      }
    }
    const double error = of_kind[0].error() + of_kind[1].error();
    if (of_kind[0].count > 100 && of_kind[1].count > 100 && error > 0) {
      greatest = std::max(greatest, std::abs(of_kind[0].mean - of_kind[1].mean) / std::sqrt(error));
    }
  }
  // Equal times are cut as one, and then how many of a kind were among the fast ones tells.
  double fast = 0;
  double fast_of_first = 0;
  const std::uint64_t middle = samples[samples.size() / 2].time;
  double of_first = 0;
  for (const Sample& sample : samples) {
    of_first += sample.kind == 0 ? 1 : 0;
    fast += sample.time < middle ? 1 : 0;
    fast_of_first += sample.time < middle && sample.kind == 0 ? 1 : 0;
  }
  const double all = static_cast<double>(samples.size());
  const double share = of_first / all;
  const double spread = fast * share * (1 - share) * (1 - fast / all);
  if (spread > 1) {
    greatest = std::max(greatest, std::abs(fast_of_first - fast * share) / std::sqrt(spread));
  }
  return greatest;
}

// Keys or MACs of the two classes; many of each, so that no single one's place in memory or in a
// hash table stands for its class.
using Classes = std::array<std::vector<std::string>, 2>;

// `check` is given one text of either class, always at the same place in memory.
template <class Check>
double round_of(const Classes& classes, const Check& check, int count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Sample> samples;
  samples.reserve(static_cast<std::size_t>(count));
  std::string input(classes[0].front().size(), '\0');
  [[maybe_unused]] volatile bool result = false;
  for (int i = 0; i < count; ++i) {
    const auto kind = static_cast<std::uint32_t>(random() & 1U);
    const std::vector<std::string>& inputs = classes[kind];
    input.assign(inputs[random() % inputs.size()]);
    const std::uint64_t begun = ticks();
    result = check(std::string_view(input));
    const std::uint64_t ended = ticks();
    samples.push_back({.time = ended - begun, .kind = kind});
  }
  samples.erase(samples.begin(), samples.begin() + count / 20);  // caches and clocks come up
  return greatest_t(std::move(samples));
}

template <class Check>
double median_t(const Classes& classes, const Check& check, int samples) {
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    rounds.push_back(round_of(classes, check, samples, 7000U + static_cast<unsigned>(round)));
  }
  std::ranges::nth_element(rounds, rounds.begin() + kRounds / 2);
  return rounds[kRounds / 2];
}

// A leak stays found however often it is tried, so one try without it is enough; a control that
// drowned in noise comes up with more samples.
template <class Check>
bool leaks(const char* what, const Classes& classes, const Check& check, bool expected) {
  int samples = kSamplesOfRound;
  bool found = !expected;
  for (int tried = 0; tried < kTries && found != expected; ++tried, samples *= 2) {
    const double t = median_t(classes, check, samples);
    std::cout << what << ": |t| " << t << " over " << kRounds << " x " << samples << " samples\n";
    found = t > kFound;
  }
  return found;
}

// Its runtime stands between the program and every access to memory, and how long that takes hangs
// on what it has seen of the address: here |t| of the whole check was 6 to 20, and 0.6 to 1.5 in
// the program that ships. What is measured is the latter.
#if defined(__SANITIZE_THREAD__)
constexpr bool kWithThreadSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool kWithThreadSanitizer = true;
#else
constexpr bool kWithThreadSanitizer = false;
#endif
#else
constexpr bool kWithThreadSanitizer = false;
#endif

bool equal_until_they_differ(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    // Not to be made into one comparison of many bytes.
    if (*static_cast<const volatile char*>(&a[i]) != *static_cast<const volatile char*>(&b[i])) {
      return false;
    }
  }
  return true;
}

char another(char digit) {
  return digit == '0' ? '1' : '0';
}

// Class 0: wrong in the first digit. Class 1: wrong in the last.
Classes far_and_near(const std::string& right) {
  std::string far = right;
  far.front() = another(far.front());
  std::string near = right;
  near.back() = another(near.back());
  return {std::vector{far}, std::vector{near}};
}

class ConstantTime : public testing::Test {
 protected:
  ConstantTime()
      : key_(keys_.make("app")),
        shown_(key_.shown.reveal()),
        other_shown_(others_.make("app").shown.reveal()) {
    const auto parsed = parse_key(shown_);
    mac_ = std::string(parsed->mac);
    salt_ = std::string(parsed->salt);
  }

  // Well-formed keys that nobody has, up to four digits of the salt away from a key, each with the
  // number of the installation that it is shown to before it. Class 0: from the other one's key.
  // Class 1: from its own. Each key is equally often in both classes, so what is different about
  // reading its digits cancels out, and only what it has in common with the secret is left.
  [[nodiscard]] Classes strangers_and_near_misses() const {
    constexpr int kOfEach = 10'000;
    std::mt19937_64 random(20261125);
    const std::array<std::string, 2> bodies{shown_.substr(9, kKeyBodyDigits),
                                            other_shown_.substr(9, kKeyBodyDigits)};
    Classes classes;
    for (int i = 0; i < kOfEach; ++i) {
      for (std::size_t of = 0; of < bodies.size(); ++of) {
        std::string near = bodies[of];
        while (near == bodies[of]) {
          for (int change = 0; change < 4; ++change) {
            near[kKeyMacDigits + random() % kKeySaltDigits] = "0123456789abcdef"[random() % 16];
          }
        }
        const std::string shown(compose_key(KeyKind::live, near).reveal());
        classes[0].push_back(std::to_string(1 - of) + shown);
        classes[1].push_back(std::to_string(of) + shown);
      }
    }
    return classes;
  }

  ScratchKeys keys_;
  ScratchKeys others_;  // another installation
  CreatedKey key_;
  std::string shown_;
  std::string other_shown_;
  std::string mac_;
  std::string salt_;
};

TEST_F(ConstantTime, ComparingBytes) {
  const auto real = [&](std::string_view given) {
    return crypto::equal_constant_time(given, mac_);
  };
  const auto control = [&](std::string_view given) { return equal_until_they_differ(given, mac_); };
  const Classes classes = far_and_near(mac_);
  EXPECT_TRUE(leaks("control, bytes", classes, control, true)) << "this measurement finds nothing";
  EXPECT_FALSE(leaks("equal_constant_time", classes, real, false));
}

TEST_F(ConstantTime, TheMacOfAKey) {
  const UnixMillis created_ms = key_.info.created_ms;
  const auto real = [&](std::string_view given) {
    return keys_.authority_.check(given, salt_, "app", created_ms);
  };
  const crypto::HmacSha256 signing(keys_.secrets_.signing);
  const std::string second = std::to_string(created_ms / 1000);
  const auto control = [&](std::string_view given) {
    const crypto::Digest mac = signing({"app", second, salt_});
    std::array<char, kKeyMacDigits> right;
    for (std::size_t i = 0; i < right.size() / 2; ++i) {
      const auto byte = static_cast<unsigned char>(mac[i]);
      right[2 * i] = "0123456789abcdef"[byte >> 4U];
      right[2 * i + 1] = "0123456789abcdef"[byte & 0xfU];
    }
    return equal_until_they_differ(given, {right.data(), right.size()});
  };
  ASSERT_TRUE(real(mac_));
  ASSERT_TRUE(control(mac_)) << "it does the real work";
  const Classes classes = far_and_near(mac_);
  EXPECT_TRUE(leaks("control, MAC", classes, control, true)) << "this measurement finds nothing";
  EXPECT_FALSE(leaks("KeyAuthority::check", classes, real, false));
}

TEST_F(ConstantTime, TheWholeCheckOfAKeyThatNobodyHas) {
  const auto real = [&](std::string_view given) {
    ScratchKeys& installation = given.front() == '0' ? keys_ : others_;
    return installation.authenticator_.authenticate(given.substr(1), kTestNowMs, "192.0.2.7")
        .has_value();
  };
  // As many do it: the key as it is, compared with the stored one before anything else.
  const auto control = [&](std::string_view given) {
    const std::string& stored = given.front() == '0' ? shown_ : other_shown_;
    return equal_until_they_differ(given.substr(1), stored) || real(given);
  };
  ASSERT_TRUE(real("0" + shown_));
  ASSERT_TRUE(real("1" + other_shown_));
  ASSERT_FALSE(real("1" + shown_));
  const Classes classes = strangers_and_near_misses();
  ASSERT_FALSE(real(classes[1].front()));
  EXPECT_TRUE(leaks("control, whole check", classes, control, true))
      << "this measurement finds nothing";
  if (!kWithThreadSanitizer) {
    EXPECT_FALSE(leaks("Authenticator::authenticate", classes, real, false));
  }
}

}  // namespace
}  // namespace deepmoat::identity
