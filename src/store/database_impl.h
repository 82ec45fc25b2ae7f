// SOCI's session behind Database, for the .cc files of this folder only.
#pragma once

#include <soci/soci.h>

#include <filesystem>
#include <string>
#include <utility>

#include "store/database.h"

namespace deepmoat::store {

// What SOCI threw, as an error of ours; `file` is the database's.
[[nodiscard]] Error error_of(const soci::soci_error& error, const std::string& file);

// soci::use() refers to its own temporaries, so it has to stand inside the call of exchange().
inline constexpr auto kUse = [](soci::statement& statement, auto& value) {
  statement.exchange(soci::use(value));
};
inline constexpr auto kInto = [](soci::statement& statement, auto& value) {
  statement.exchange(soci::into(value));
};

class Database::Impl {
 public:
  explicit Impl(std::filesystem::path path) : path_(std::move(path)) {}

  // Runs `body`, turning an exception of SOCI into an error.
  template <class Body>
  auto guarded(const Body& body) -> decltype(body()) {
    try {
      return body();
    } catch (const soci::soci_error& error) {
      return std::unexpected(error_of(error, path_.string()));
    }
  }

  Result<> connect();
  Result<> migrate();
  int applied_version();

  std::filesystem::path path_;
  soci::session session_;
};

}  // namespace deepmoat::store
