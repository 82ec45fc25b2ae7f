// The rows of leaked keys whose records are not made yet. One thread at a time, as all of Database.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/database.h"

namespace deepmoat::store {

struct OpenLeakRow {
  std::string key_id;
  std::string content;    // JSON (gateway/open_leak.h)
  std::string signature;  // of the content, hex

  bool operator==(const OpenLeakRow&) const = default;
};

class LeakTable {
 public:
  // `database` outlives it.
  explicit LeakTable(Database& database) : database_(database) {}

  // Replaces the row of the same key, or adds it.
  Result<> put_open_leak(const OpenLeakRow& row);
  Result<std::optional<OpenLeakRow>> find_open_leak(std::string_view key_id);
  Result<std::vector<OpenLeakRow>> list_open_leaks();
  // That there is none is no error.
  Result<> erase_open_leak(std::string_view key_id);

 private:
  Database& database_;
};

}  // namespace deepmoat::store
