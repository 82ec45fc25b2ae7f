#include "store/webhook_table.h"

#include "store/database_impl.h"

namespace deepmoat::store {

namespace {

constexpr std::string_view kWebhookColumns =
    "webhook_id, tenant, url, events, sealed_secret, created_by, created_ms, internal";
constexpr std::string_view kDeliveryColumns =
    "delivery_id, webhook_id, tenant, event, subject, body, created_ms, state, attempts, next_ms, "
    "last_ms, last_status, last_error";

// SOCI binds long long; the fixed-width types are long on this platform.
struct BoundDelivery {
  explicit BoundDelivery(DeliveryRow from)
      : row(std::move(from)),
        created_ms(row.created_ms),
        attempts(row.attempts),
        next_ms(row.next_ms),
        last_ms(row.last_ms),
        last_status(row.last_status) {}
  BoundDelivery() = default;

  DeliveryRow row;
  long long created_ms = 0;
  long long attempts = 0;
  long long next_ms = 0;
  long long last_ms = 0;
  long long last_status = 0;

  // In the order of kDeliveryColumns, for reading and for writing.
  template <class Bind>
  void bind_all(soci::statement& statement, const Bind& bind) {
    bind(statement, row.delivery_id);
    bind(statement, row.webhook_id);
    bind(statement, row.tenant);
    bind(statement, row.event);
    bind(statement, row.subject);
    bind(statement, row.body);
    bind(statement, created_ms);
    bind(statement, row.state);
    bind(statement, attempts);
    bind(statement, next_ms);
    bind(statement, last_ms);
    bind(statement, last_status);
    bind(statement, row.last_error);
  }

  [[nodiscard]] DeliveryRow taken() const {
    DeliveryRow copy = row;
    copy.created_ms = created_ms;
    copy.attempts = attempts;
    copy.next_ms = next_ms;
    copy.last_ms = last_ms;
    copy.last_status = last_status;
    return copy;
  }
};

// Runs "SELECT columns FROM webhook_deliveries <rest>", in which `bind` binds what it names.
template <class Bind>
std::vector<DeliveryRow> select_deliveries(soci::session& session, const std::string& rest,
                                           const Bind& bind) {
  BoundDelivery bound;
  soci::statement statement(session);
  bound.bind_all(statement, kInto);
  bind(statement);
  statement.alloc();
  statement.prepare("SELECT " + std::string(kDeliveryColumns) + " FROM webhook_deliveries " + rest);
  statement.define_and_bind();
  statement.execute(false);
  std::vector<DeliveryRow> rows;
  while (statement.fetch()) {
    rows.push_back(bound.taken());
  }
  return rows;
}

}  // namespace

Result<> WebhookTable::insert_webhook(const WebhookRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const long long created_ms = row.created_ms;
    const int internal = row.internal ? 1 : 0;
    impl.session_ << "INSERT INTO webhooks (" + std::string(kWebhookColumns) +
                         ") VALUES (:a, :b, :c, :d, :e, :f, :g, :h)",
        soci::use(row.webhook_id), soci::use(row.tenant), soci::use(row.url), soci::use(row.events),
        soci::use(row.sealed_secret), soci::use(row.created_by), soci::use(created_ms),
        soci::use(internal);
    return {};
  });
}

Result<std::vector<WebhookRow>> WebhookTable::list_webhooks() {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<WebhookRow>> {
    WebhookRow row;
    long long created_ms = 0;
    int internal = 0;
    soci::statement statement =
        (impl.session_.prepare << "SELECT " + std::string(kWebhookColumns) +
                                      " FROM webhooks ORDER BY created_ms, webhook_id",
         soci::into(row.webhook_id), soci::into(row.tenant), soci::into(row.url),
         soci::into(row.events), soci::into(row.sealed_secret), soci::into(row.created_by),
         soci::into(created_ms), soci::into(internal));
    statement.execute(false);
    std::vector<WebhookRow> rows;
    while (statement.fetch()) {
      row.created_ms = created_ms;
      row.internal = internal != 0;
      rows.push_back(row);
    }
    return rows;
  });
}

Result<> WebhookTable::erase_webhook(std::string_view webhook_id) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const std::string wanted(webhook_id);
    soci::transaction transaction(impl.session_);
    soci::statement statement =
        (impl.session_.prepare << "DELETE FROM webhooks WHERE webhook_id = :id", soci::use(wanted));
    statement.execute(true);
    if (statement.get_affected_rows() != 1) {
      return fail(Code::not_found, "no such webhook");
    }
    impl.session_ << "UPDATE webhook_deliveries SET state = 'dropped' "
                     "WHERE webhook_id = :id AND state = 'waiting'",
        soci::use(wanted);
    transaction.commit();
    return {};
  });
}

Result<bool> WebhookTable::insert_delivery(const DeliveryRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<bool> {
    BoundDelivery bound(row);
    soci::statement statement(impl.session_);
    bound.bind_all(statement, kUse);
    statement.alloc();
    statement.prepare("INSERT INTO webhook_deliveries (" + std::string(kDeliveryColumns) +
                      ") VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :l, :m) "
                      "ON CONFLICT (webhook_id, event, subject) DO NOTHING");
    statement.define_and_bind();
    statement.execute(true);
    return statement.get_affected_rows() == 1;
  });
}

Result<std::vector<DeliveryRow>> WebhookTable::due_deliveries(UnixMillis now_ms) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<DeliveryRow>> {
    const long long now = now_ms;
    return select_deliveries(
        impl.session_,
        "WHERE delivery_id IN (SELECT (SELECT one.delivery_id FROM webhook_deliveries AS one "
        "WHERE one.webhook_id = webhooks.webhook_id AND one.state = 'waiting' "
        "AND one.next_ms <= :now "
        "ORDER BY one.next_ms, one.created_ms, one.delivery_id LIMIT 1) FROM webhooks) "
        "ORDER BY next_ms, created_ms, delivery_id",
        [&](soci::statement& statement) { statement.exchange(soci::use(now, "now")); });
  });
}

Result<std::int64_t> WebhookTable::count_waiting(std::string_view webhook_id,
                                                 std::string_view event) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::int64_t> {
    const std::string wanted(webhook_id);
    const std::string named(event);
    long long count = 0;
    impl.session_ << "SELECT count(*) FROM webhook_deliveries "
                     "WHERE webhook_id = :id AND event = :event AND state = 'waiting'",
        soci::use(wanted), soci::use(named), soci::into(count);
    return count;
  });
}

Result<std::optional<UnixMillis>> WebhookTable::next_due_ms(UnixMillis now_ms) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::optional<UnixMillis>> {
    const long long now = now_ms;
    long long next = 0;
    impl.session_ << "SELECT coalesce(min(next_ms), 0) FROM webhook_deliveries "
                     "WHERE state = 'waiting' AND next_ms > :now",
        soci::use(now), soci::into(next);
    return next == 0 ? std::nullopt : std::optional<UnixMillis>(next);
  });
}

Result<> WebhookTable::update_delivery(const DeliveryRow& row) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded(
      [&]() -> Result<> {
        const BoundDelivery bound(row);
        soci::statement statement =
            (impl.session_.prepare
                 << "UPDATE webhook_deliveries SET state = :a, attempts = :b, next_ms = :c, "
                    "last_ms = :d, last_status = :e, last_error = :f "
                    "WHERE delivery_id = :g AND state = 'waiting'",
             soci::use(bound.row.state), soci::use(bound.attempts), soci::use(bound.next_ms),
             soci::use(bound.last_ms), soci::use(bound.last_status),
             soci::use(bound.row.last_error), soci::use(bound.row.delivery_id));
        statement.execute(true);
        if (statement.get_affected_rows() != 1) {
          return fail(Code::not_found, "no such delivery waits");
        }
        return {};
      });
}

Result<std::vector<DeliveryRow>> WebhookTable::list_deliveries(std::string_view tenant,
                                                               std::int64_t count) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<std::vector<DeliveryRow>> {
    const std::string wanted(tenant);
    const long long limit = count;
    return select_deliveries(impl.session_,
                             std::string(wanted.empty() ? "" : "WHERE tenant = :tenant ") +
                                 "ORDER BY created_ms DESC, delivery_id DESC LIMIT :count",
                             [&](soci::statement& statement) {
                               if (!wanted.empty()) {
                                 statement.exchange(soci::use(wanted, "tenant"));
                               }
                               statement.exchange(soci::use(limit, "count"));
                             });
  });
}

Result<> WebhookTable::prune_deliveries(UnixMillis before_ms) {
  Database::Impl& impl = *database_.impl_;
  return impl.guarded([&]() -> Result<> {
    const long long before = before_ms;
    impl.session_ << "DELETE FROM webhook_deliveries "
                     "WHERE state <> 'waiting' AND created_ms < :before",
        soci::use(before);
    return {};
  });
}

}  // namespace deepmoat::store
