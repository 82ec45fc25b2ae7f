#include "store/client_table.h"

#include "store/database_impl.h"

namespace deepmoat::store {

Result<> ClientTable::insert_certificate(const ClientCertificateRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const long long created_ms = row.created_ms;
    const long long ends_ms = row.ends_ms;
    const long long revoked_ms = row.revoked_ms;
    impl.session_ << "INSERT INTO client_certificates (fingerprint, tenant, client_id, "
                     "created_by, created_ms, ends_ms, revoked_ms) "
                     "VALUES (:a, :b, :c, :d, :e, :f, :g)",
        soci::use(row.fingerprint), soci::use(row.tenant), soci::use(row.client_id),
        soci::use(row.created_by), soci::use(created_ms), soci::use(ends_ms), soci::use(revoked_ms);
    return {};
  });
}

Result<std::vector<ClientCertificateRow>> ClientTable::list_certificates() {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<ClientCertificateRow>> {
    ClientCertificateRow row;
    long long created_ms = 0;
    long long ends_ms = 0;
    long long revoked_ms = 0;
    soci::statement statement =
        (impl.session_.prepare << "SELECT fingerprint, tenant, client_id, created_by, created_ms, "
                                  "ends_ms, revoked_ms FROM client_certificates "
                                  "ORDER BY created_ms, fingerprint",
         soci::into(row.fingerprint), soci::into(row.tenant), soci::into(row.client_id),
         soci::into(row.created_by), soci::into(created_ms), soci::into(ends_ms),
         soci::into(revoked_ms));
    statement.execute(false);
    std::vector<ClientCertificateRow> rows;
    while (statement.fetch()) {
      row.created_ms = created_ms;
      row.ends_ms = ends_ms;
      row.revoked_ms = revoked_ms;
      rows.push_back(row);
    }
    return rows;
  });
}

Result<> ClientTable::revoke_certificate(std::string_view fingerprint, UnixMillis now_ms) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const std::string wanted(fingerprint);
    const long long now = now_ms;
    soci::statement statement =
        (impl.session_.prepare << "UPDATE client_certificates SET revoked_ms = :now "
                                  "WHERE fingerprint = :id AND revoked_ms = 0",
         soci::use(now), soci::use(wanted));
    statement.execute(true);
    return statement.get_affected_rows() == 1
               ? Result<>()
               : fail(Code::not_found, "no such certificate is in force");
  });
}

Result<> ClientTable::insert_successor(const SuccessorRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const long long created_ms = row.created_ms;
    const long long ends_ms = row.ends_ms;
    const long long fetched_ms = row.fetched_ms;
    impl.session_ << "INSERT INTO key_successors (old_key_id, new_key_id, tenant, client_id, "
                     "sealed_key, created_ms, ends_ms, fetched_ms) "
                     "VALUES (:a, :b, :c, :d, :e, :f, :g, :h)",
        soci::use(row.old_key_id), soci::use(row.new_key_id), soci::use(row.tenant),
        soci::use(row.client_id), soci::use(row.sealed_key), soci::use(created_ms),
        soci::use(ends_ms), soci::use(fetched_ms);
    return {};
  });
}

Result<SuccessorRow> ClientTable::find_successor(std::string_view old_key_id) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<SuccessorRow> {
    const std::string wanted(old_key_id);
    SuccessorRow row;
    long long created_ms = 0;
    long long ends_ms = 0;
    long long fetched_ms = 0;
    impl.session_ << "SELECT old_key_id, new_key_id, tenant, client_id, sealed_key, created_ms, "
                     "ends_ms, fetched_ms FROM key_successors WHERE old_key_id = :id",
        soci::use(wanted), soci::into(row.old_key_id), soci::into(row.new_key_id),
        soci::into(row.tenant), soci::into(row.client_id), soci::into(row.sealed_key),
        soci::into(created_ms), soci::into(ends_ms), soci::into(fetched_ms);
    if (!impl.session_.got_data()) {
      return fail(Code::not_found, "this key has no successor");
    }
    row.created_ms = created_ms;
    row.ends_ms = ends_ms;
    row.fetched_ms = fetched_ms;
    return row;
  });
}

Result<bool> ClientTable::take_successor(std::string_view old_key_id, UnixMillis now_ms) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<bool> {
    const std::string wanted(old_key_id);
    const long long now = now_ms;
    soci::statement statement =
        (impl.session_.prepare << "UPDATE key_successors SET sealed_key = '', fetched_ms = :now "
                                  "WHERE old_key_id = :id AND fetched_ms = 0",
         soci::use(now), soci::use(wanted));
    statement.execute(true);
    return statement.get_affected_rows() == 1;
  });
}

Result<> ClientTable::end_successors(UnixMillis now_ms) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const long long now = now_ms;
    impl.session_ << "UPDATE key_successors SET sealed_key = '' WHERE ends_ms < :now",
        soci::use(now);
    return {};
  });
}

}  // namespace deepmoat::store
