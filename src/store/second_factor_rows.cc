// Rows of second factors. One thread at a time, like all of Database.
#include "store/database_impl.h"

namespace deepmoat::store {

namespace {

constexpr std::string_view kFactorColumns =
    "tenant, client_id, algorithm, secret, recovery, enrolled_ms, confirmed_ms, last_counter, "
    "failures, locked_until_ms, row_mac";

// SOCI binds long long; the fixed-width types are long on this platform.
struct BoundFactor {
  explicit BoundFactor(SecondFactorRow from)
      : row(std::move(from)),
        enrolled_ms(row.enrolled_ms),
        confirmed_ms(row.confirmed_ms),
        last_counter(row.last_counter),
        failures(row.failures),
        locked_until_ms(row.locked_until_ms) {}
  BoundFactor() = default;

  SecondFactorRow row;
  long long enrolled_ms = 0;
  long long confirmed_ms = 0;
  long long last_counter = 0;
  long long failures = 0;
  long long locked_until_ms = 0;

  // In the order of kFactorColumns, for reading and for writing.
  template <class Bind>
  void bind_all(soci::statement& statement, const Bind& bind) {
    bind(statement, row.tenant);
    bind(statement, row.client_id);
    bind(statement, row.algorithm);
    bind(statement, row.secret);
    bind(statement, row.recovery);
    bind(statement, enrolled_ms);
    bind(statement, confirmed_ms);
    bind(statement, last_counter);
    bind(statement, failures);
    bind(statement, locked_until_ms);
    bind(statement, row.row_mac);
  }

  [[nodiscard]] SecondFactorRow taken() const {
    SecondFactorRow copy = row;
    copy.enrolled_ms = enrolled_ms;
    copy.confirmed_ms = confirmed_ms;
    copy.last_counter = last_counter;
    copy.failures = failures;
    copy.locked_until_ms = locked_until_ms;
    return copy;
  }
};

}  // namespace

Result<> Database::put_second_factor(const SecondFactorRow& row) {
  return impl_->guarded([&]() -> Result<> {
    BoundFactor bound(row);
    soci::statement statement(impl_->session_);
    bound.bind_all(statement, kUse);
    statement.alloc();
    statement.prepare(
        "INSERT INTO second_factors (" + std::string(kFactorColumns) +
        ") VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k) "
        "ON CONFLICT (tenant, client_id) DO UPDATE SET algorithm = excluded.algorithm, "
        "secret = excluded.secret, recovery = excluded.recovery, "
        "enrolled_ms = excluded.enrolled_ms, confirmed_ms = excluded.confirmed_ms, "
        "last_counter = excluded.last_counter, failures = excluded.failures, "
        "locked_until_ms = excluded.locked_until_ms, row_mac = excluded.row_mac");
    statement.define_and_bind();
    statement.execute(true);
    return {};
  });
}

Result<std::optional<SecondFactorRow>> Database::find_second_factor(std::string_view tenant,
                                                                    std::string_view client_id) {
  return impl_->guarded([&]() -> Result<std::optional<SecondFactorRow>> {
    const std::string wanted_tenant(tenant);
    const std::string wanted_client(client_id);
    BoundFactor bound;
    soci::statement statement(impl_->session_);
    bound.bind_all(statement, kInto);
    statement.exchange(soci::use(wanted_tenant));
    statement.exchange(soci::use(wanted_client));
    statement.alloc();
    statement.prepare("SELECT " + std::string(kFactorColumns) +
                      " FROM second_factors WHERE tenant = :tenant AND client_id = :client");
    statement.define_and_bind();
    return statement.execute(true) ? std::optional(bound.taken()) : std::nullopt;
  });
}

Result<> Database::erase_second_factor(std::string_view tenant, std::string_view client_id) {
  return impl_->guarded(
      [&]() -> Result<> {
        const std::string wanted_tenant(tenant);
        const std::string wanted_client(client_id);
        soci::statement statement =
            (impl_->session_.prepare
                 << "DELETE FROM second_factors WHERE tenant = :tenant AND client_id = :client",
             soci::use(wanted_tenant), soci::use(wanted_client));
        statement.execute(true);
        if (statement.get_affected_rows() != 1) {
          return fail(Code::not_found, "no second factor of " + wanted_client);
        }
        return {};
      });
}

}  // namespace deepmoat::store
