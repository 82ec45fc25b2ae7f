#include "store/client_table.h"

#include <utility>

#include "store/database_impl.h"

namespace deepmoat::store {

namespace {

constexpr std::string_view kCertificateColumns =
    "fingerprint, tenant, client_id, created_by, created_ms, ends_ms, revoked_ms, row_mac";

// SOCI binds long long; the fixed-width types are long on this platform.
struct BoundCertificate {
  explicit BoundCertificate(ClientCertificateRow from)
      : row(std::move(from)),
        created_ms(row.created_ms),
        ends_ms(row.ends_ms),
        revoked_ms(row.revoked_ms) {}
  BoundCertificate() = default;

  ClientCertificateRow row;
  long long created_ms = 0;
  long long ends_ms = 0;
  long long revoked_ms = 0;

  // In the order of kCertificateColumns, for reading and for writing.
  template <class Bind>
  void bind_all(soci::statement& statement, const Bind& bind) {
    bind(statement, row.fingerprint);
    bind(statement, row.tenant);
    bind(statement, row.client_id);
    bind(statement, row.created_by);
    bind(statement, created_ms);
    bind(statement, ends_ms);
    bind(statement, revoked_ms);
    bind(statement, row.row_mac);
  }

  [[nodiscard]] ClientCertificateRow taken() const {
    ClientCertificateRow copy = row;
    copy.created_ms = created_ms;
    copy.ends_ms = ends_ms;
    copy.revoked_ms = revoked_ms;
    return copy;
  }
};

}  // namespace

Result<> ClientTable::insert_certificate(const ClientCertificateRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    BoundCertificate bound(row);
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kUse);
    statement.alloc();
    statement.prepare("INSERT INTO client_certificates (" + std::string(kCertificateColumns) +
                      ") VALUES (:a, :b, :c, :d, :e, :f, :g, :h)");
    statement.define_and_bind();
    statement.execute(true);
    return {};
  });
}

Result<std::vector<ClientCertificateRow>> ClientTable::list_certificates() {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<ClientCertificateRow>> {
    BoundCertificate bound;
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kInto);
    statement.alloc();
    statement.prepare("SELECT " + std::string(kCertificateColumns) +
                      " FROM client_certificates ORDER BY created_ms, fingerprint");
    statement.define_and_bind();
    statement.execute(false);
    std::vector<ClientCertificateRow> rows;
    while (statement.fetch()) {
      rows.push_back(bound.taken());
    }
    return rows;
  });
}

Result<ClientCertificateRow> ClientTable::find_certificate(std::string_view fingerprint) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<ClientCertificateRow> {
    const std::string wanted(fingerprint);
    BoundCertificate bound;
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kInto);
    statement.exchange(soci::use(wanted));
    statement.alloc();
    statement.prepare("SELECT " + std::string(kCertificateColumns) +
                      " FROM client_certificates WHERE fingerprint = :id");
    statement.define_and_bind();
    return statement.execute(true) ? Result<ClientCertificateRow>(bound.taken())
                                   : fail(Code::not_found, "no such certificate");
  });
}

Result<> ClientTable::revoke_certificate(const ClientCertificateRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const long long revoked_ms = row.revoked_ms;
    soci::statement statement =
        (impl.session_.prepare << "UPDATE client_certificates SET revoked_ms = :revoked, "
                                  "row_mac = :mac WHERE fingerprint = :id AND revoked_ms = 0",
         soci::use(revoked_ms), soci::use(row.row_mac), soci::use(row.fingerprint));
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
