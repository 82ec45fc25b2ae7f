// Leaked keys are found wherever they stand, however the stream is cut, and nothing else is.
#include "identity/key_scan.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <vector>

#include "base/hex.h"

namespace deepmoat::identity {
namespace {

struct Found {
  std::uint64_t offset;
  std::uint64_t line;
  std::string key;
  bool operator==(const Found&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Found& found) {
  return out << found.offset << ":" << found.line << ":" << found.key;
}

std::string key_of(KeyKind kind, char fill = 'a') {
  return std::string(compose_key(kind, std::string(kKeyBodyDigits, fill)).reveal());
}

std::string wide(const std::string& text) {
  std::string bytes;
  for (const char c : text) {
    bytes += c;
    bytes += '\0';
  }
  return bytes;
}

// `cuts`: the lengths of the pieces; the rest is the last one.
std::vector<Found> scanned(const std::string& bytes, const std::vector<std::size_t>& cuts = {}) {
  KeyScanner scanner;
  std::vector<Found> all;
  const OnSighting note = [&](const KeySighting& seen) {
    all.push_back({seen.offset, seen.line, std::string(seen.key)});
  };
  std::size_t at = 0;
  for (const std::size_t cut : cuts) {
    const std::size_t size = std::min(cut, bytes.size() - at);
    scanner.feed(std::string_view(bytes).substr(at, size), note);
    at += size;
  }
  scanner.feed(std::string_view(bytes).substr(at), note);
  EXPECT_EQ(scanner.bytes(), bytes.size());
  return all;
}

// What the scanner should find, by trying every place.
std::vector<Found> tried_everywhere(const std::string& bytes) {
  std::vector<Found> all;
  std::uint64_t line = 1;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const std::size_t size : {kKeyBytesMax - 1, kKeyBytesMax}) {
      const std::string text = bytes.substr(at, size);
      if (text.size() == size && parse_key(text)) {
        all.push_back({at, line, text});
      }
    }
    line += bytes[at] == '\n' ? 1 : 0;
  }
  return all;
}

TEST(KeyScan, FindsEveryKindWhereverItStands) {
  for (const KeyKind kind : {KeyKind::live, KeyKind::ops, KeyKind::adm, KeyKind::aud}) {
    const std::string key = key_of(kind);
    EXPECT_EQ(scanned(key), (std::vector<Found>{{0, 1, key}}));
    EXPECT_EQ(scanned("a\nb\n  key=" + key + "\n"), (std::vector<Found>{{10, 3, key}}));
    EXPECT_EQ(scanned("Bearer%20" + key + "AndMore"), (std::vector<Found>{{9, 1, key}}));
    EXPECT_EQ(scanned(std::string(3, '\0') + key + '\xff'), (std::vector<Found>{{3, 1, key}}));
    EXPECT_EQ(scanned(key + key).size(), 2U);
    EXPECT_EQ(scanned("dmk_dmk_live_" + key).size(), 1U);
  }
}

TEST(KeyScan, FindsUtf16OfBothByteOrders) {
  const std::string key = key_of(KeyKind::live);
  const std::string little = "\xff\xfe" + wide("token: " + key + "\r\n");
  EXPECT_EQ(scanned(little), (std::vector<Found>{{2 + 14, 1, key}}));
  const std::string big = std::string("\xfe\xff\0", 3) + wide("\n" + key);
  EXPECT_EQ(scanned(big), (std::vector<Found>{{5, 2, key}}));
}

TEST(KeyScan, FindsNothingThatIsNoKey) {
  const std::string key = key_of(KeyKind::live);
  EXPECT_TRUE(scanned("").empty());
  EXPECT_TRUE(scanned(key.substr(0, key.size() - 1)).empty());
  EXPECT_TRUE(scanned(key.substr(1)).empty());
  for (std::size_t i = 0; i < key.size(); ++i) {
    std::string wrong = key;
    wrong[i] = wrong[i] == '0' ? '1' : '0';
    EXPECT_TRUE(scanned(wrong).empty()) << i;
  }
  std::string broken = key;
  broken.insert(20, "\n");
  EXPECT_TRUE(scanned(broken).empty());
}

TEST(KeyScan, OneByteAtATimeIsTheSame) {
  const std::string key = key_of(KeyKind::adm, '7');
  const std::string text = "x\n" + key + "\n" + wide(key) + key_of(KeyKind::live);
  const std::vector<std::size_t> cuts(text.size(), 1);
  EXPECT_EQ(scanned(text, cuts), scanned(text));
  EXPECT_EQ(scanned(text).size(), 3U);
}

// Random text of the letters that keys are made of, with keys in it, cut at random.
TEST(KeyScan, CutAnywhereItFindsWhatTryingEveryPlaceFinds) {
  const auto pieces = rc::gen::container<std::vector<std::string>>(rc::gen::oneOf(
      rc::gen::element<std::string>(key_of(KeyKind::live), key_of(KeyKind::aud, '0'), "dmk_",
                                    "dmk_live_", "dmk", "k", "\n",
                                    key_of(KeyKind::live).substr(0, 60)),
      rc::gen::container<std::string>(rc::gen::element('d', 'm', 'k', '_', 'a', '0', '\n', '\0'))));
  EXPECT_TRUE(rc::check([&] {
    std::string text;
    for (const std::string& piece : *pieces) {
      text += piece;
    }
    const auto cuts =
        *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, 300));
    RC_ASSERT(scanned(text, cuts) == tried_everywhere(text));
  }));
}

TEST(KeyScan, ShowsNeverTheWhole) {
  const std::string key = key_of(KeyKind::live);
  EXPECT_EQ(masked_key(key), key.substr(0, 12) + "..." + key.substr(key.size() - 4));
  EXPECT_EQ(masked_key("short"), "...");
}

}  // namespace
}  // namespace deepmoat::identity
