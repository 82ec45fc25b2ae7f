// Which intents have no result yet: one bit a record, and only of where some are open, since calls
// end soon after they began. One thread.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <vector>

namespace deepmoat::verifier {

class OpenIntents {
 public:
  void begin(std::uint64_t sequence) {
    Page& page = pages_[sequence / kPageRecords];
    page.words[sequence % kPageRecords / 64] |= std::uint64_t{1} << (sequence % 64);
    ++page.open;
    ++open_;
  }

  // Nothing happens when that intent is not open.
  void end(std::uint64_t sequence) {
    const auto page = pages_.find(sequence / kPageRecords);
    if (page == pages_.end()) {
      return;
    }
    std::uint64_t& word = page->second.words[sequence % kPageRecords / 64];
    const std::uint64_t bit = std::uint64_t{1} << (sequence % 64);
    if ((word & bit) == 0) {
      return;
    }
    word &= ~bit;
    --open_;
    if (--page->second.open == 0) {
      pages_.erase(page);
    }
  }

  [[nodiscard]] std::uint64_t count() const { return open_; }

  // At most `most` of them, by sequence.
  [[nodiscard]] std::vector<std::uint64_t> first(std::size_t most) const {
    std::vector<std::uint64_t> sequences;
    for (const auto& [number, page] : pages_) {
      for (std::size_t i = 0; i < page.words.size(); ++i) {
        for (std::uint64_t word = page.words[i]; word != 0; word &= word - 1) {
          if (sequences.size() == most) {
            return sequences;
          }
          sequences.push_back(number * kPageRecords + i * 64 +
                              static_cast<std::uint64_t>(std::countr_zero(word)));
        }
      }
    }
    return sequences;
  }

 private:
  static constexpr std::uint64_t kPageRecords = 4096;
  struct Page {
    std::uint64_t open = 0;
    std::array<std::uint64_t, kPageRecords / 64> words{};
  };
  std::map<std::uint64_t, Page> pages_;
  std::uint64_t open_ = 0;
};

}  // namespace deepmoat::verifier
