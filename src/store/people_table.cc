#include "store/people_table.h"

#include "store/database_impl.h"

namespace deepmoat::store {

namespace {

constexpr std::string_view kColumns =
    "tenant, name, role, role_ms, label, password_hash, must_change, created_ms, password_ms, "
    "disabled_ms, "
    "failures, locked_until_ms, row_mac";

// SOCI binds int and long long.
struct Bound {
  Bound() = default;
  explicit Bound(PersonRow from)
      : row(std::move(from)),
        role_ms(row.role_ms),
        must_change(row.must_change ? 1 : 0),
        created_ms(row.created_ms),
        password_ms(row.password_ms),
        disabled_ms(row.disabled_ms),
        failures(row.failures),
        locked_until_ms(row.locked_until_ms) {}

  PersonRow row;
  long long role_ms = 0;
  int must_change = 0;
  long long created_ms = 0;
  long long password_ms = 0;
  long long disabled_ms = 0;
  long long failures = 0;
  long long locked_until_ms = 0;

  // In the order of kColumns, for reading and for writing.
  template <class Bind>
  void bind_all(soci::statement& statement, const Bind& bind) {
    bind(statement, row.tenant);
    bind(statement, row.name);
    bind(statement, row.role);
    bind(statement, role_ms);
    bind(statement, row.label);
    bind(statement, row.password_hash);
    bind(statement, must_change);
    bind(statement, created_ms);
    bind(statement, password_ms);
    bind(statement, disabled_ms);
    bind(statement, failures);
    bind(statement, locked_until_ms);
    bind(statement, row.row_mac);
  }

  [[nodiscard]] PersonRow taken() const {
    PersonRow copy = row;
    copy.role_ms = role_ms;
    copy.must_change = must_change != 0;
    copy.created_ms = created_ms;
    copy.password_ms = password_ms;
    copy.disabled_ms = disabled_ms;
    copy.failures = failures;
    copy.locked_until_ms = locked_until_ms;
    return copy;
  }
};

}  // namespace

Result<> PeopleTable::insert(const PersonRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    Bound bound(row);
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kUse);
    statement.alloc();
    statement.prepare("INSERT INTO people (" + std::string(kColumns) +
                      ") VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :l, :m)");
    statement.define_and_bind();
    statement.execute(true);
    return {};
  });
}

Result<> PeopleTable::update(const PersonRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    Bound bound(row);
    std::string tenant = row.tenant;
    std::string name = row.name;
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kUse);
    kUse(statement, tenant);
    kUse(statement, name);
    statement.alloc();
    statement.prepare(
        "UPDATE people SET tenant = :a, name = :b, role = :c, role_ms = :d, label = :e, "
        "password_hash = :f, must_change = :g, created_ms = :h, password_ms = :i, "
        "disabled_ms = :j, failures = :k, locked_until_ms = :l, row_mac = :m "
        "WHERE tenant = :n AND name = :o");
    statement.define_and_bind();
    statement.execute(true);
    return statement.get_affected_rows() == 1 ? Result<>()
                                              : fail(Code::not_found, "no person " + row.name);
  });
}

Result<std::optional<PersonRow>> PeopleTable::find(std::string_view tenant, std::string_view name) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::optional<PersonRow>> {
    std::string wanted_tenant(tenant);
    std::string wanted_name(name);
    Bound bound;
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kInto);
    kUse(statement, wanted_tenant);
    kUse(statement, wanted_name);
    statement.alloc();
    statement.prepare("SELECT " + std::string(kColumns) +
                      " FROM people WHERE tenant = :tenant AND name = :name");
    statement.define_and_bind();
    return statement.execute(true) ? std::optional(bound.taken()) : std::nullopt;
  });
}

Result<std::vector<PersonRow>> PeopleTable::list() {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<PersonRow>> {
    Bound bound;
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kInto);
    statement.alloc();
    statement.prepare("SELECT " + std::string(kColumns) + " FROM people ORDER BY tenant, name");
    statement.define_and_bind();
    statement.execute(false);
    std::vector<PersonRow> rows;
    while (statement.fetch()) {
      rows.push_back(bound.taken());
    }
    return rows;
  });
}

Result<> PeopleTable::erase(std::string_view tenant, std::string_view name) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const std::string wanted_tenant(tenant);
    const std::string wanted_name(name);
    soci::statement statement =
        (impl.session_.prepare << "DELETE FROM people WHERE tenant = :tenant AND name = :name",
         soci::use(wanted_tenant), soci::use(wanted_name));
    statement.execute(true);
    return statement.get_affected_rows() == 1 ? Result<>()
                                              : fail(Code::not_found, "no person " + wanted_name);
  });
}

}  // namespace deepmoat::store
