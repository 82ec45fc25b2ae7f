// An exact mirror of the engine's KV cells: who refers to each, so that a shared one is counted
// once.
#pragma once

#include <cstdint>
#include <vector>

namespace deepmoat::scheduler {

using Cell = std::uint32_t;

// Each cell counts the sequences that refer to it, and apart from that the running ones ("pins").
// A cell without references is free. Not thread-safe.
class CellPool {
 public:
  explicit CellPool(std::uint32_t total);

  [[nodiscard]] std::uint32_t total() const { return static_cast<std::uint32_t>(refs_.size()); }
  [[nodiscard]] std::uint32_t free() const { return static_cast<std::uint32_t>(free_.size()); }
  [[nodiscard]] std::uint32_t used() const { return total() - free(); }
  [[nodiscard]] std::uint32_t pinned() const { return pinned_; }
  [[nodiscard]] bool is_pinned(Cell cell) const { return pins_[cell] > 0; }

  // A free cell with one reference and one pin. REQUIRES: free() > 0.
  [[nodiscard]] Cell take();
  void add_ref(Cell cell) { ++refs_[cell]; }
  void drop_ref(Cell cell);
  void pin(Cell cell);
  void unpin(Cell cell);

  // For checks: references and pins of every cell.
  [[nodiscard]] const std::vector<std::uint16_t>& refs() const { return refs_; }
  [[nodiscard]] const std::vector<std::uint16_t>& pins() const { return pins_; }

 private:
  std::vector<std::uint16_t> refs_;
  std::vector<std::uint16_t> pins_;
  std::vector<Cell> free_;
  std::uint32_t pinned_ = 0;
};

}  // namespace deepmoat::scheduler
