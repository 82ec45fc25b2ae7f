// Rows of tenants. One thread at a time, like all of Database.
#include "store/database_impl.h"

namespace deepmoat::store {

Result<> Database::insert_tenant(const TenantRow& row) {
  return impl_->guarded([&]() -> Result<> {
    const long long created_ms = row.created_ms;
    impl_->session_ << "INSERT INTO tenants (name, organisation, label, created_ms) "
                       "VALUES (:name, :organisation, :label, :created)",
        soci::use(row.name), soci::use(row.organisation), soci::use(row.label),
        soci::use(created_ms);
    return {};
  });
}

Result<> Database::ensure_tenant(const TenantRow& row) {
  return impl_->guarded([&]() -> Result<> {
    const long long created_ms = row.created_ms;
    impl_->session_ << "INSERT INTO tenants (name, organisation, label, created_ms) "
                       "VALUES (:name, :organisation, :label, :created) "
                       "ON CONFLICT (name) DO NOTHING",
        soci::use(row.name), soci::use(row.organisation), soci::use(row.label),
        soci::use(created_ms);
    return {};
  });
}

Result<> Database::update_tenant(const TenantRow& row) {
  return impl_->guarded([&]() -> Result<> {
    const long long created_ms = row.created_ms;
    soci::statement statement =
        (impl_->session_.prepare << "UPDATE tenants SET organisation = :organisation, "
                                    "label = :label, created_ms = :created WHERE name = :name",
         soci::use(row.organisation), soci::use(row.label), soci::use(created_ms),
         soci::use(row.name));
    statement.execute(true);
    if (statement.get_affected_rows() != 1) {
      return fail(Code::not_found, "no tenant " + row.name);
    }
    return {};
  });
}

Result<std::vector<TenantRow>> Database::list_tenants() {
  return impl_->guarded(
      [&]() -> Result<std::vector<TenantRow>> {
        TenantRow row;
        long long created_ms = 0;
        soci::statement statement =
            (impl_->session_.prepare
                 << "SELECT name, organisation, label, created_ms FROM tenants ORDER BY name",
             soci::into(row.name), soci::into(row.organisation), soci::into(row.label),
             soci::into(created_ms));
        statement.execute(false);
        std::vector<TenantRow> rows;
        while (statement.fetch()) {
          rows.push_back(row);
          rows.back().created_ms = created_ms;
        }
        return rows;
      });
}

}  // namespace deepmoat::store
