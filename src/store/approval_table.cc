#include "store/approval_table.h"

#include <utility>

#include "store/database_impl.h"

namespace deepmoat::store {

namespace {

constexpr std::string_view kColumns =
    "approval_id, tenant, operator_id, key_id, role, authentication, ip_address, scopes, route, "
    "argument, body, action, resource, created_ms, expires_ms, state, decided_tenant, decided_by, "
    "decided_key_id, decided_ms, reason, status, row_mac";

// SOCI binds long long; the fixed-width types are long on this platform.
struct BoundApproval {
  explicit BoundApproval(ApprovalRow from)
      : row(std::move(from)),
        created_ms(row.created_ms),
        expires_ms(row.expires_ms),
        decided_ms(row.decided_ms),
        status(row.status) {}
  BoundApproval() = default;

  ApprovalRow row;
  long long created_ms = 0;
  long long expires_ms = 0;
  long long decided_ms = 0;
  long long status = 0;

  // In the order of kColumns, for reading and for writing.
  template <class Bind>
  void bind_all(soci::statement& statement, const Bind& bind) {
    bind(statement, row.approval_id);
    bind(statement, row.tenant);
    bind(statement, row.operator_id);
    bind(statement, row.key_id);
    bind(statement, row.role);
    bind(statement, row.authentication);
    bind(statement, row.ip_address);
    bind(statement, row.scopes);
    bind(statement, row.route);
    bind(statement, row.argument);
    bind(statement, row.body);
    bind(statement, row.action);
    bind(statement, row.resource);
    bind(statement, created_ms);
    bind(statement, expires_ms);
    bind_decision(statement, bind);
  }

  template <class Bind>
  void bind_decision(soci::statement& statement, const Bind& bind) {
    bind(statement, row.state);
    bind(statement, row.decided_tenant);
    bind(statement, row.decided_by);
    bind(statement, row.decided_key_id);
    bind(statement, decided_ms);
    bind(statement, row.reason);
    bind(statement, status);
    bind(statement, row.row_mac);
  }

  [[nodiscard]] ApprovalRow taken() const {
    ApprovalRow copy = row;
    copy.created_ms = created_ms;
    copy.expires_ms = expires_ms;
    copy.decided_ms = decided_ms;
    copy.status = status;
    return copy;
  }

  // Runs a prepared SELECT that this is bound to.
  std::vector<ApprovalRow> all_of(soci::statement& statement) const {
    statement.define_and_bind();
    statement.execute(false);
    std::vector<ApprovalRow> rows;
    while (statement.fetch()) {
      rows.push_back(taken());
    }
    return rows;
  }
};

}  // namespace

Result<> ApprovalTable::insert(const ApprovalRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    BoundApproval bound(row);
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kUse);
    statement.alloc();
    statement.prepare("INSERT INTO approvals (" + std::string(kColumns) +
                      ") VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :l, :m, :n, :o, :p, "
                      ":q, :r, :s, :t, :u, :v, :w)");
    statement.define_and_bind();
    statement.execute(true);
    return {};
  });
}

Result<std::optional<ApprovalRow>> ApprovalTable::find(std::string_view approval_id) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::optional<ApprovalRow>> {
    const std::string wanted(approval_id);
    BoundApproval bound;
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kInto);
    statement.exchange(soci::use(wanted));
    statement.alloc();
    statement.prepare("SELECT " + std::string(kColumns) +
                      " FROM approvals WHERE approval_id = :id");
    statement.define_and_bind();
    return statement.execute(true) ? std::optional(bound.taken()) : std::nullopt;
  });
}

Result<std::vector<ApprovalRow>> ApprovalTable::list(std::string_view tenant, std::int64_t count) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<ApprovalRow>> {
    const std::string wanted(tenant);
    const long long most = count;
    BoundApproval bound;
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kInto);
    if (!wanted.empty()) {
      statement.exchange(soci::use(wanted, "tenant"));
    }
    statement.exchange(soci::use(most, "count"));
    statement.alloc();
    statement.prepare("SELECT " + std::string(kColumns) + " FROM approvals " +
                      (wanted.empty() ? "" : "WHERE tenant = :tenant ") +
                      "ORDER BY created_ms DESC, approval_id DESC LIMIT :count");
    return bound.all_of(statement);
  });
}

Result<std::vector<ApprovalRow>> ApprovalTable::list_waiting(std::string_view tenant) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<ApprovalRow>> {
    const std::string wanted(tenant);
    BoundApproval bound;
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kInto);
    statement.exchange(soci::use(wanted));
    statement.alloc();
    statement.prepare("SELECT " + std::string(kColumns) +
                      " FROM approvals WHERE state = 'waiting' AND tenant = :tenant");
    return bound.all_of(statement);
  });
}

Result<> ApprovalTable::update(const ApprovalRow& row, std::string_view state_before) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const std::string before(state_before);
    BoundApproval bound(row);
    soci::statement statement(impl.session_);
    bound.bind_decision(statement, kUse);
    statement.exchange(soci::use(bound.row.approval_id));
    statement.exchange(soci::use(before));
    statement.alloc();
    statement.prepare(
        "UPDATE approvals SET state = :a, decided_tenant = :b, decided_by = :c, "
        "decided_key_id = :d, decided_ms = :e, reason = :f, status = :g, row_mac = :h "
        "WHERE approval_id = :i AND state = :j");
    statement.define_and_bind();
    statement.execute(true);
    if (statement.get_affected_rows() != 1) {
      return fail(Code::not_found, "no such approval is " + before);
    }
    return {};
  });
}

Result<> ApprovalTable::prune(UnixMillis before_ms) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const long long before = before_ms;
    impl.session_ << "DELETE FROM approvals WHERE expires_ms < :before", soci::use(before);
    return {};
  });
}

}  // namespace deepmoat::store
