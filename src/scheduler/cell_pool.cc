#include "scheduler/cell_pool.h"

namespace deepmoat::scheduler {

CellPool::CellPool(std::uint32_t total) : refs_(total), pins_(total) {
  free_.reserve(total);
  for (std::uint32_t i = total; i > 0; --i) {
    free_.push_back(i - 1);
  }
}

Cell CellPool::take() {
  const Cell cell = free_.back();
  free_.pop_back();
  refs_[cell] = 1;
  pin(cell);
  return cell;
}

void CellPool::drop_ref(Cell cell) {
  if (--refs_[cell] == 0) {
    free_.push_back(cell);
  }
}

void CellPool::pin(Cell cell) {
  if (pins_[cell]++ == 0) {
    ++pinned_;
  }
}

void CellPool::unpin(Cell cell) {
  if (--pins_[cell] == 0) {
    --pinned_;
  }
}

}  // namespace deepmoat::scheduler
