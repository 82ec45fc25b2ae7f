// Rows of imported models. One thread at a time, like all of Database.
#include "store/database_impl.h"

namespace deepmoat::store {

namespace {

constexpr std::string_view kModelColumns =
    "name, number, kind, sha256, file, bytes, quantisation, architecture, parameters, task, base, "
    "source, source_sha256, imported_by, tool, measurements, pinned, created_ms";

// SOCI binds long long; the fixed-width types are long on this platform.
struct BoundModel {
  explicit BoundModel(ModelRow from)
      : row(std::move(from)),
        number(row.number),
        bytes(row.bytes),
        parameters(row.parameters),
        pinned(row.pinned ? 1 : 0),
        created_ms(row.created_ms) {}
  BoundModel() = default;

  ModelRow row;
  long long number = 0;
  long long bytes = 0;
  long long parameters = 0;
  long long pinned = 0;
  long long created_ms = 0;

  // In the order of kModelColumns, for reading and for writing.
  template <class Bind>
  void bind_all(soci::statement& statement, const Bind& bind) {
    bind(statement, row.name);
    bind(statement, number);
    bind(statement, row.kind);
    bind(statement, row.sha256);
    bind(statement, row.file);
    bind(statement, bytes);
    bind(statement, row.quantisation);
    bind(statement, row.architecture);
    bind(statement, parameters);
    bind(statement, row.task);
    bind(statement, row.base);
    bind(statement, row.source);
    bind(statement, row.source_sha256);
    bind(statement, row.imported_by);
    bind(statement, row.tool);
    bind(statement, row.measurements);
    bind(statement, pinned);
    bind(statement, created_ms);
  }

  [[nodiscard]] ModelRow taken() const {
    ModelRow copy = row;
    copy.number = number;
    copy.bytes = bytes;
    copy.parameters = parameters;
    copy.pinned = pinned != 0;
    copy.created_ms = created_ms;
    return copy;
  }
};

}  // namespace

Result<> Database::insert_model(const ModelRow& row) {
  return impl_->guarded([&]() -> Result<> {
    BoundModel bound(row);
    soci::transaction transaction(impl_->session_);
    soci::statement statement(impl_->session_);
    bound.bind_all(statement, kUse);
    statement.alloc();
    statement.prepare("INSERT INTO model_versions (" + std::string(kModelColumns) +
                      ") VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :l, :m, :n, :o, :p, "
                      ":q, :r)");
    statement.define_and_bind();
    statement.execute(true);
    impl_->session_ << "INSERT INTO model_numbers (name, number_last) VALUES (:name, :number) "
                       "ON CONFLICT (name) DO UPDATE SET "
                       "number_last = max(number_last, excluded.number_last)",
        soci::use(bound.row.name), soci::use(bound.number);
    transaction.commit();
    return {};
  });
}

Result<std::vector<ModelRow>> Database::list_models(std::string_view name) {
  return impl_->guarded([&]() -> Result<std::vector<ModelRow>> {
    const std::string wanted(name);
    BoundModel bound;
    soci::statement statement(impl_->session_);
    bound.bind_all(statement, kInto);
    statement.exchange(soci::use(wanted, "wanted"));
    statement.alloc();
    statement.prepare("SELECT " + std::string(kModelColumns) +
                      " FROM model_versions WHERE name = :wanted OR :wanted = '' "
                      "ORDER BY name, number");
    statement.define_and_bind();
    statement.execute(false);
    std::vector<ModelRow> rows;
    while (statement.fetch()) {
      rows.push_back(bound.taken());
    }
    return rows;
  });
}

Result<> Database::pin_model(std::string_view name, std::int64_t number) {
  return impl_->guarded([&]() -> Result<> {
    const std::string wanted(name);
    const long long chosen = number;
    soci::transaction transaction(impl_->session_);
    long long there = 0;
    impl_->session_ << "SELECT count(*) FROM model_versions WHERE name = :name AND "
                       "(number = :number OR :number = 0)",
        soci::use(wanted, "name"), soci::use(chosen, "number"), soci::into(there);
    if (there == 0) {
      return fail(Code::not_found, "no version " + std::to_string(number) + " of model " + wanted);
    }
    impl_->session_ << "UPDATE model_versions SET pinned = (number = :number) WHERE name = :name",
        soci::use(chosen, "number"), soci::use(wanted, "name");
    transaction.commit();
    return {};
  });
}

Result<> Database::erase_model(std::string_view name, std::int64_t number) {
  return impl_->guarded([&]() -> Result<> {
    const std::string wanted(name);
    const long long chosen = number;
    soci::statement statement(impl_->session_);
    statement.exchange(soci::use(wanted));
    statement.exchange(soci::use(chosen));
    statement.alloc();
    statement.prepare("DELETE FROM model_versions WHERE name = :name AND number = :number");
    statement.define_and_bind();
    statement.execute(true);
    if (statement.get_affected_rows() != 1) {
      return fail(Code::not_found, "no version " + std::to_string(number) + " of model " + wanted);
    }
    return {};
  });
}

Result<std::int64_t> Database::next_model_number(std::string_view name) {
  return impl_->guarded([&]() -> Result<std::int64_t> {
    const std::string wanted(name);
    long long last = 0;
    impl_->session_ << "SELECT coalesce(max(number_last), 0) FROM model_numbers WHERE name = :name",
        soci::use(wanted), soci::into(last);
    return last + 1;
  });
}

}  // namespace deepmoat::store
