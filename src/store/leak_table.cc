#include "store/leak_table.h"

#include "store/database_impl.h"

namespace deepmoat::store {

Result<> LeakTable::put_open_leak(const OpenLeakRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    impl.session_ << "INSERT INTO open_leaks (key_id, content, signature) VALUES (:a, :b, :c) "
                     "ON CONFLICT (key_id) DO UPDATE SET content = excluded.content, "
                     "signature = excluded.signature",
        soci::use(row.key_id), soci::use(row.content), soci::use(row.signature);
    return {};
  });
}

Result<std::optional<OpenLeakRow>> LeakTable::find_open_leak(std::string_view key_id) {
  TRY(const std::vector<OpenLeakRow> rows, list_open_leaks());  // seldom more than one
  for (const OpenLeakRow& row : rows) {
    if (row.key_id == key_id) {
      return std::optional(row);
    }
  }
  return std::optional<OpenLeakRow>();
}

Result<std::vector<OpenLeakRow>> LeakTable::list_open_leaks() {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<OpenLeakRow>> {
    OpenLeakRow row;
    soci::statement statement =
        (impl.session_.prepare << "SELECT key_id, content, signature FROM open_leaks "
                                  "ORDER BY key_id",
         soci::into(row.key_id), soci::into(row.content), soci::into(row.signature));
    statement.execute(false);
    std::vector<OpenLeakRow> rows;
    while (statement.fetch()) {
      rows.push_back(row);
    }
    return rows;
  });
}

Result<> LeakTable::erase_open_leak(std::string_view key_id) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const std::string wanted(key_id);
    impl.session_ << "DELETE FROM open_leaks WHERE key_id = :id", soci::use(wanted);
    return {};
  });
}

}  // namespace deepmoat::store
