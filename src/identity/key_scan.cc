// The scanner. Speed: memchr over the rarest letter of "dmk_" in text and code; everything else is
// looked at only where that letter stands.
#include "identity/key_scan.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace deepmoat::identity {

namespace {

constexpr std::string_view kMark = "dmk_";
constexpr std::size_t kMarkRare = 2;  // the k
constexpr std::size_t kWideStep = 2;  // UTF-16: a zero byte beside each character
constexpr std::size_t kWideBytesMax = kWideStep * kKeyBytesMax - 1;
constexpr std::size_t kKindDigitsMin = 3;
constexpr std::size_t kMaskHead = 12;
constexpr std::size_t kMaskTail = 4;

std::uint64_t count_lines(std::string_view bytes) {
  return static_cast<std::uint64_t>(std::ranges::count(bytes, '\n'));
}

// Every `step`-th character from `at` on, if what lies between is zero.
std::optional<std::string_view> characters(std::string_view window, std::size_t at,
                                           std::size_t count, std::size_t step,
                                           std::array<char, kKeyBytesMax>& narrow) {
  if (window.size() - at < (count - 1) * step + 1) {
    return std::nullopt;
  }
  if (step == 1) {
    return window.substr(at, count);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (i + 1 < count && window[at + i * step + 1] != '\0') {
      return std::nullopt;
    }
    narrow[i] = window[at + i * step];
  }
  return std::string_view(narrow.data(), count);
}

struct Match {
  std::string_view key;
  KeyKind kind;
  std::size_t bytes;  // in the window
};

// The key that begins at `at`, narrow or wide. `narrow` holds the characters of a wide one.
std::optional<Match> match_at(std::string_view window, std::size_t at, std::size_t step,
                              std::array<char, kKeyBytesMax>& narrow) {
  const std::size_t longest = std::min(kKeyBytesMax, (window.size() - at + step - 1) / step);
  for (std::size_t count = kKeyBytesMax - 4 + kKindDigitsMin; count <= longest; ++count) {
    const auto text = characters(window, at, count, step, narrow);
    const auto parsed = text ? parse_key(*text) : std::nullopt;
    if (parsed && parsed->kind) {
      return Match{.key = *text, .kind = *parsed->kind, .bytes = (count - 1) * step + 1};
    }
  }
  return std::nullopt;
}

// Whether "dmk_" stands around the k at `k`, with `step` bytes a character.
bool mark_around(std::string_view window, std::size_t k, std::size_t step) {
  if (k < kMarkRare * step || window.size() - k <= step) {
    return false;
  }
  const std::size_t at = k - kMarkRare * step;
  for (std::size_t i = 0; i < kMark.size(); ++i) {
    if (window[at + i * step] != kMark[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

// Reports the keys of `window` that end behind `new_from`; those before were reported with it.
void KeyScanner::scan(std::string_view window, std::size_t new_from, const OnSighting& found) {
  const std::uint64_t window_offset = bytes_ - new_from;  // bytes_ still stands at the piece
  std::array<char, kKeyBytesMax> narrow{};
  std::size_t counted = new_from;
  std::uint64_t lines = lines_;
  for (std::size_t from = 0; from < window.size();) {
    const void* const hit =
        std::memchr(window.data() + from, kMark[kMarkRare], window.size() - from);
    if (hit == nullptr) {
      return;
    }
    const auto k = static_cast<std::size_t>(static_cast<const char*>(hit) - window.data());
    from = k + 1;
    for (const std::size_t step : {std::size_t{1}, kWideStep}) {
      if (!mark_around(window, k, step)) {
        continue;
      }
      const std::size_t at = k - kMarkRare * step;
      const auto match = match_at(window, at, step, narrow);
      if (!match || at + match->bytes <= new_from || window_offset + at < after_) {
        continue;
      }
      std::uint64_t line = 0;
      if (at >= new_from) {
        lines += count_lines(window.substr(counted, at - counted));
        counted = at;
        line = lines + 1;
      } else {
        line = lines_ - count_lines(window.substr(at, new_from - at)) + 1;
      }
      after_ = window_offset + at + match->bytes;
      found({.offset = window_offset + at, .line = line, .key = match->key, .kind = match->kind});
      from = at + match->bytes;
      break;
    }
  }
}

void KeyScanner::feed(std::string_view piece, const OnSighting& found) {
  constexpr std::size_t kTailMax = kWideBytesMax - 1;
  if (!tail_.empty()) {
    // The keys that began before this piece.
    const std::size_t before = tail_.size();
    tail_ += piece.substr(0, kTailMax);
    scan(tail_, before, found);
    tail_.resize(before);
  }
  scan(piece, 0, found);
  bytes_ += piece.size();
  lines_ += count_lines(piece);
  if (piece.size() >= kTailMax) {
    tail_.assign(piece.substr(piece.size() - kTailMax));
  } else {
    tail_ += piece;
    tail_.erase(0, tail_.size() - std::min(tail_.size(), kTailMax));
  }
}

std::string masked_key(std::string_view key) {
  if (key.size() < 2 * (kMaskHead + kMaskTail)) {
    return "...";
  }
  return std::string(key.substr(0, kMaskHead)) + "..." +
         std::string(key.substr(key.size() - kMaskTail));
}

}  // namespace deepmoat::identity
