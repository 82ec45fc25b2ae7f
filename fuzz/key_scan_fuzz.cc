// links: deepmoat_identity deepmoat_crypto deepmoat_store deepmoat_base
// Any bytes, cut into any pieces, to the scanner for leaked keys: it finds the same keys as in one
// piece, each of them is a key, and stands where the scanner says. The first byte is the length of
// the pieces.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "identity/key_scan.h"

namespace {

using deepmoat::identity::KeyScanner;
using deepmoat::identity::KeySighting;
using deepmoat::identity::masked_key;
using deepmoat::identity::parse_key;

struct Found {
  std::uint64_t offset;
  std::uint64_t line;
  std::string key;
  bool operator==(const Found&) const = default;
};

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

std::vector<Found> scanned(std::string_view text, std::size_t piece_bytes) {
  KeyScanner scanner;
  std::vector<Found> all;
  for (std::size_t at = 0; at < text.size(); at += piece_bytes) {
    scanner.feed(text.substr(at, piece_bytes), [&](const KeySighting& seen) {
      all.push_back({seen.offset, seen.line, std::string(seen.key)});
    });
  }
  must(scanner.bytes() == text.size());
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::vector<Found> whole = scanned(text, size);
  must(whole == scanned(text, std::size_t{data[0]} + 1));
  for (const Found& found : whole) {
    must(parse_key(found.key).has_value());
    const bool narrow = text.substr(found.offset, found.key.size()) == found.key;
    must(narrow || text.substr(found.offset, 2) == std::string_view("d\0", 2));
    must(found.line >= 1 && found.line <= text.size() + 1);
    must(masked_key(found.key).size() < 20);
  }
  return 0;
}
