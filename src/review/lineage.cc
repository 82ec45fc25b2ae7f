#include "review/lineage.h"

#include <fmt/format.h>

#include <algorithm>

#include "review/index_session.h"

namespace deepmoat::review {

namespace {

constexpr std::size_t kVersionDigitsInCalls = 16;
constexpr std::size_t kVersionDigitsMax = 64;

Result<> check_version(std::string_view version) {
  const bool digits = std::ranges::all_of(
      version, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (!digits || version.size() < kVersionDigitsInCalls || version.size() > kVersionDigitsMax) {
    return fail(Code::invalid_argument,
                "model version: 16 to 64 lower-case hexadecimal digits of its SHA-256");
  }
  return {};
}

std::vector<ImportRecord> imports_of(soci::session& sql, const std::string& version) {
  const std::string named = "sha256:" + version;
  long long sequence = 0;
  long long unix_ms = 0;
  ImportRecord record;
  soci::statement statement =
      (sql.prepare << "SELECT r.sequence, r.unix_ms, r.tenant, r.operator, r.resource, "
                      "       coalesce(i.reason, '') "
                      "FROM records r LEFT JOIN records i ON i.sequence = r.intent_sequence "
                      "WHERE r.action = 'model.import' AND r.operation_type <> 'EXECUTE' "
                      "AND r.operation_type <> 'READ' AND r.phase = 'result' "
                      "AND r.outcome = 'success' AND instr(r.resource, :named) > 0 "
                      "ORDER BY r.sequence",
       soci::use(named), soci::into(sequence), soci::into(unix_ms), soci::into(record.tenant),
       soci::into(record.operator_id), soci::into(record.resource), soci::into(record.reason));
  statement.execute();
  std::vector<ImportRecord> imports;
  while (statement.fetch()) {
    record.sequence = static_cast<std::uint64_t>(sequence);
    record.unix_ms = unix_ms;
    imports.push_back(record);
  }
  return imports;
}

void count_calls(soci::session& sql, VersionLineage& lineage) {
  const std::string version = lineage.version.substr(0, kVersionDigitsInCalls);
  long long calls = 0;
  long long first_ms = 0;
  long long last_ms = 0;
  long long first = 0;
  long long last = 0;
  // The two halves, each by an index of its own; a call may be in both.
  sql << "SELECT count(*), coalesce(min(unix_ms), 0), coalesce(max(unix_ms), 0), "
         "       coalesce(min(sequence), 0), coalesce(max(sequence), 0) "
         "FROM (SELECT sequence, unix_ms FROM records "
         "      WHERE model_version = :version AND model_version <> '' "
         "      AND result_sequence = 0 AND operation_type = 'EXECUTE' "
         "      UNION "
         "      SELECT sequence, unix_ms FROM records "
         "      WHERE adapter_version = :adapter AND adapter_version <> '' "
         "      AND result_sequence = 0 AND operation_type = 'EXECUTE')",
      soci::use(version), soci::use(version), soci::into(calls), soci::into(first_ms),
      soci::into(last_ms), soci::into(first), soci::into(last);
  lineage.calls = static_cast<std::uint64_t>(calls);
  lineage.first_ms = first_ms;
  lineage.last_ms = last_ms;
  lineage.first_sequence = static_cast<std::uint64_t>(first);
  lineage.last_sequence = static_cast<std::uint64_t>(last);
}

}  // namespace

Result<std::vector<CallLineage>> lineage_of_request(AuditIndex& index,
                                                    std::string_view request_id) {
  IndexSession& session = index.session();
  return session.guarded([&]() -> Result<std::vector<CallLineage>> {
    const std::string wanted(request_id);
    long long sequence = 0;
    long long unix_ms = 0;
    CallLineage call;
    soci::statement statement =
        (session.sql().prepare
             << "SELECT sequence, unix_ms, request_id, tenant, operator, action, outcome, route, "
                "       model, model_version, adapter, adapter_version, knowledge FROM records "
                "WHERE request_id = :wanted AND result_sequence = 0 "
                "AND operation_type = 'EXECUTE' ORDER BY sequence",
         soci::use(wanted), soci::into(sequence), soci::into(unix_ms), soci::into(call.request_id),
         soci::into(call.tenant), soci::into(call.operator_id), soci::into(call.action),
         soci::into(call.outcome), soci::into(call.route), soci::into(call.model),
         soci::into(call.model_version), soci::into(call.adapter), soci::into(call.adapter_version),
         soci::into(call.knowledge));
    statement.execute();
    std::vector<CallLineage> calls;
    while (statement.fetch()) {
      call.sequence = static_cast<std::uint64_t>(sequence);
      call.unix_ms = unix_ms;
      calls.push_back(call);
    }
    if (calls.empty()) {
      return fail(Code::not_found, "no call of that request id is in the audit index");
    }
    return calls;
  });
}

Result<VersionLineage> lineage_of_version(AuditIndex& index, const std::string& version) {
  CHECK_OK(check_version(version));
  IndexSession& session = index.session();
  return session.guarded([&]() -> Result<VersionLineage> {
    const ReadTransaction one_state(session.sql());
    CHECK_OK(require_complete(index));
    VersionLineage lineage{.version = version};
    lineage.imports = imports_of(session.sql(), version);
    count_calls(session.sql(), lineage);
    return lineage;
  });
}

}  // namespace deepmoat::review
