#include "store/oversight_table.h"

#include <utility>

#include "store/database_impl.h"

namespace deepmoat::store {

namespace {

constexpr std::string_view kPolicyColumns =
    "policy_id, tenant, model, data_class, sample_ppm, keep_days, reason, created_by, created_ms, "
    "row_mac";
constexpr std::string_view kHoldColumns =
    "hold_id, tenant, key_id, operator_id, since_ms, until_ms, reason, placed_by, placed_ms, "
    "released_by, released_ms, row_mac";
constexpr std::string_view kContentFacts =
    "content_id, tenant, request_id, key_id, operator_id, model, data_class, cut, called_ms, "
    "kept_until_ms, digest, row_mac";

// SOCI binds long long; the fixed-width types are long on this platform.
struct BoundPolicy {
  BoundPolicy() = default;
  explicit BoundPolicy(ContentPolicyRow from)
      : row(std::move(from)),
        sample_ppm(row.sample_ppm),
        keep_days(row.keep_days),
        created_ms(row.created_ms) {}

  ContentPolicyRow row;
  long long sample_ppm = 0;
  long long keep_days = 0;
  long long created_ms = 0;

  // In the order of kPolicyColumns, for reading and for writing.
  template <class Bind>
  void bind_all(soci::statement& statement, const Bind& bind) {
    bind(statement, row.policy_id);
    bind(statement, row.tenant);
    bind(statement, row.model);
    bind(statement, row.data_class);
    bind(statement, sample_ppm);
    bind(statement, keep_days);
    bind(statement, row.reason);
    bind(statement, row.created_by);
    bind(statement, created_ms);
    bind(statement, row.row_mac);
  }

  [[nodiscard]] ContentPolicyRow taken() const {
    ContentPolicyRow copy = row;
    copy.sample_ppm = sample_ppm;
    copy.keep_days = keep_days;
    copy.created_ms = created_ms;
    return copy;
  }
};

struct BoundHold {
  BoundHold() = default;
  explicit BoundHold(LegalHoldRow from)
      : row(std::move(from)),
        since_ms(row.since_ms),
        until_ms(row.until_ms),
        placed_ms(row.placed_ms),
        released_ms(row.released_ms) {}

  LegalHoldRow row;
  long long since_ms = 0;
  long long until_ms = 0;
  long long placed_ms = 0;
  long long released_ms = 0;

  // In the order of kHoldColumns.
  template <class Bind>
  void bind_all(soci::statement& statement, const Bind& bind) {
    bind(statement, row.hold_id);
    bind(statement, row.tenant);
    bind(statement, row.key_id);
    bind(statement, row.operator_id);
    bind(statement, since_ms);
    bind(statement, until_ms);
    bind(statement, row.reason);
    bind(statement, row.placed_by);
    bind(statement, placed_ms);
    bind(statement, row.released_by);
    bind(statement, released_ms);
    bind(statement, row.row_mac);
  }

  [[nodiscard]] LegalHoldRow taken() const {
    LegalHoldRow copy = row;
    copy.since_ms = since_ms;
    copy.until_ms = until_ms;
    copy.placed_ms = placed_ms;
    copy.released_ms = released_ms;
    return copy;
  }
};

struct BoundContent {
  BoundContent() = default;
  explicit BoundContent(CallContentRow from)
      : row(std::move(from)),
        cut(row.cut),
        called_ms(row.called_ms),
        kept_until_ms(row.kept_until_ms) {}

  CallContentRow row;
  long long cut = 0;
  long long called_ms = 0;
  long long kept_until_ms = 0;

  // In the order of kContentFacts.
  template <class Bind>
  void bind_facts(soci::statement& statement, const Bind& bind) {
    bind(statement, row.content_id);
    bind(statement, row.tenant);
    bind(statement, row.request_id);
    bind(statement, row.key_id);
    bind(statement, row.operator_id);
    bind(statement, row.model);
    bind(statement, row.data_class);
    bind(statement, cut);
    bind(statement, called_ms);
    bind(statement, kept_until_ms);
    bind(statement, row.digest);
    bind(statement, row.row_mac);
  }
  template <class Bind>
  void bind_texts(soci::statement& statement, const Bind& bind) {
    bind(statement, row.input);
    bind(statement, row.output);
  }

  [[nodiscard]] CallContentRow taken() const {
    CallContentRow copy = row;
    copy.cut = cut;
    copy.called_ms = called_ms;
    copy.kept_until_ms = kept_until_ms;
    return copy;
  }
};

// Runs a prepared SELECT that `bound` is bound to.
template <class Bound>
auto all_of(soci::statement& statement, const Bound& bound) {
  statement.define_and_bind();
  statement.execute(false);
  std::vector<decltype(bound.taken())> rows;
  while (statement.fetch()) {
    rows.push_back(bound.taken());
  }
  return rows;
}

template <class Bound>
auto list_all(soci::session& session, const std::string& query) {
  Bound bound;
  soci::statement statement(session);
  bound.bind_all(statement, kInto);
  statement.alloc();
  statement.prepare(query);
  return all_of(statement, bound);
}

template <class Bound, class Row>
void insert_all(soci::session& session, const Row& row, const std::string& query) {
  Bound bound(row);
  soci::statement statement(session);
  bound.bind_all(statement, kUse);
  statement.alloc();
  statement.prepare(query);
  statement.define_and_bind();
  statement.execute(true);
}

Result<> erase_one(soci::session& session, const std::string& query, const std::string& id) {
  soci::statement statement = (session.prepare << query, soci::use(id));
  statement.execute(true);
  if (statement.get_affected_rows() != 1) {
    return fail(Code::not_found, "no row of this id");
  }
  return {};
}

}  // namespace

Result<> OversightTable::insert_policy(const ContentPolicyRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    insert_all<BoundPolicy>(impl.session_, row,
                            "INSERT INTO content_policies (" + std::string(kPolicyColumns) +
                                ") VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j)");
    return {};
  });
}

Result<std::vector<ContentPolicyRow>> OversightTable::list_policies() {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<ContentPolicyRow>> {
    return list_all<BoundPolicy>(impl.session_, "SELECT " + std::string(kPolicyColumns) +
                                                    " FROM content_policies ORDER BY created_ms, "
                                                    "policy_id");
  });
}

Result<> OversightTable::erase_policy(std::string_view policy_id) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    return erase_one(impl.session_, "DELETE FROM content_policies WHERE policy_id = :id",
                     std::string(policy_id));
  });
}

Result<> OversightTable::insert_hold(const LegalHoldRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    insert_all<BoundHold>(impl.session_, row,
                          "INSERT INTO legal_holds (" + std::string(kHoldColumns) +
                              ") VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :l)");
    return {};
  });
}

Result<std::vector<LegalHoldRow>> OversightTable::list_holds() {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<LegalHoldRow>> {
    return list_all<BoundHold>(impl.session_, "SELECT " + std::string(kHoldColumns) +
                                                  " FROM legal_holds ORDER BY placed_ms, hold_id");
  });
}

Result<> OversightTable::update_hold(const LegalHoldRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const long long released_ms = row.released_ms;
    soci::statement statement =
        (impl.session_.prepare << "UPDATE legal_holds SET released_by = :by, released_ms = :at, "
                                  "row_mac = :mac WHERE hold_id = :id",
         soci::use(row.released_by), soci::use(released_ms), soci::use(row.row_mac),
         soci::use(row.hold_id));
    statement.execute(true);
    if (statement.get_affected_rows() != 1) {
      return fail(Code::not_found, "no such hold");
    }
    return {};
  });
}

Result<> OversightTable::erase_hold(std::string_view hold_id) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    return erase_one(impl.session_, "DELETE FROM legal_holds WHERE hold_id = :id",
                     std::string(hold_id));
  });
}

Result<> OversightTable::insert_content(const CallContentRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    BoundContent bound(row);
    soci::statement statement(impl.session_);
    bound.bind_facts(statement, kUse);
    bound.bind_texts(statement, kUse);
    statement.alloc();
    statement.prepare("INSERT INTO call_contents (" + std::string(kContentFacts) +
                      ", input, output) VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :l, "
                      ":m, :n)");
    statement.define_and_bind();
    statement.execute(true);
    return {};
  });
}

Result<std::vector<CallContentRow>> OversightTable::find_contents(std::string_view request_id,
                                                                  std::string_view tenant,
                                                                  std::string_view digest,
                                                                  std::int64_t count) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<CallContentRow>> {
    const std::string wanted(request_id);
    const std::string of_tenant(tenant);
    const std::string of_digest(digest);
    const long long most = count;
    BoundContent bound;
    soci::statement statement(impl.session_);
    bound.bind_facts(statement, kInto);
    bound.bind_texts(statement, kInto);
    statement.exchange(soci::use(wanted, "request"));
    if (!of_tenant.empty()) {
      statement.exchange(soci::use(of_tenant, "tenant"));
    }
    if (!of_digest.empty()) {
      statement.exchange(soci::use(of_digest, "digest"));
    }
    statement.exchange(soci::use(most, "count"));
    statement.alloc();
    statement.prepare("SELECT " + std::string(kContentFacts) +
                      ", input, output FROM call_contents WHERE request_id = :request " +
                      (of_tenant.empty() ? "" : "AND tenant = :tenant ") +
                      (of_digest.empty() ? "" : "AND digest = :digest ") +
                      "ORDER BY called_ms DESC, content_id DESC LIMIT :count");
    return all_of(statement, bound);
  });
}

Result<std::vector<CallContentRow>> OversightTable::list_due_contents(UnixMillis now_ms,
                                                                      const CallContentRow& after,
                                                                      std::int64_t count) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<CallContentRow>> {
    const long long now = now_ms;
    const long long after_ms = after.kept_until_ms;
    const long long most = count;
    BoundContent bound;
    soci::statement statement(impl.session_);
    bound.bind_facts(statement, kInto);
    statement.exchange(soci::use(now));
    statement.exchange(soci::use(after_ms));
    statement.exchange(soci::use(after.content_id));
    statement.exchange(soci::use(most));
    statement.alloc();
    statement.prepare("SELECT " + std::string(kContentFacts) +
                      " FROM call_contents WHERE kept_until_ms <= :now "
                      "AND (kept_until_ms, content_id) > (:after_ms, :after_id) "
                      "ORDER BY kept_until_ms, content_id LIMIT :count");
    return all_of(statement, bound);
  });
}

Result<> OversightTable::erase_contents(std::span<const std::string> content_ids) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    soci::transaction transaction(impl.session_);
    for (const std::string& content_id : content_ids) {
      impl.session_ << "DELETE FROM call_contents WHERE content_id = :id", soci::use(content_id);
    }
    transaction.commit();
    // The old pages stand in the log until it is written back. Where that must wait, it happens
    // with the next checkpoint.
    impl.session_ << "PRAGMA wal_checkpoint(TRUNCATE)";
    return {};
  });
}

}  // namespace deepmoat::store
