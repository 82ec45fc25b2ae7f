// The steps that bring a database from nothing to this program's form. Pure data.
#pragma once

#include <span>
#include <string_view>

namespace deepmoat::store {

struct Migration {
  int version;
  std::string_view title;
  std::span<const std::string_view> statements;
};

// In order, numbered from 1 without a gap. A step that was released is never edited: databases
// out there have run it. Add a new one.
[[nodiscard]] std::span<const Migration> migrations();

}  // namespace deepmoat::store
