#include "gateway/receipts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gateway/audit_admin.h"
#include "identity/sessions.h"
#include "review/query.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

// A person and a client may have one name; who signs in only claims one.
bool is_own(const audit::Record& record, const identity::Principal& principal) {
  const bool of_session = record.authentication == "session";
  return record.tenant == principal.tenant.value() &&
         record.operator_id == principal.client_id.value() && record.action != "session.open" &&
         of_session == identity::is_session(principal.key_id);
}

bool may_see(const audit::Record& record, const identity::Principal& principal) {
  if (principal.may(identity::Permission::read_audit)) {
    return identity::reaches(principal.tenant, TenantId(record.tenant));
  }
  return is_own(record, principal);
}

// The newest of them where there are too many.
Result<std::vector<review::RequestRecord>> records_of(review::AuditIndex& index,
                                                      const AuthenticatedCall& call) {
  const identity::Principal& principal = call.principal;
  review::Filter filter{.request_id = call.received.argument,
                        .phase = review::PhaseFilter::all,
                        .limit = review::kRecordsOfReceiptMax,
                        .newest_first = true};
  if (principal.tenant.value() != identity::kHomeTenant ||
      !principal.may(identity::Permission::read_audit)) {
    filter.tenant = principal.tenant.value();
  }
  if (!principal.may(identity::Permission::read_audit)) {
    filter.operator_id = principal.client_id.value();  // a colleague may use the same request id
  }
  std::vector<review::RequestRecord> records;
  const auto take = [&](const review::IndexRow& row) {
    if (may_see(row.entry.record, principal)) {
      records.push_back({.sequence = row.entry.sequence,
                         .segment = row.segment,
                         .frame_offset = row.frame_offset});
    }
  };
  TRY([[maybe_unused]] const std::uint64_t count, review::query_rows(index, filter, take));
  std::ranges::reverse(records);
  return records;
}

Result<std::string> make_receipt(const Services& services, const AuthenticatedCall& call,
                                 std::vector<review::RequestRecord>& records) {
  const AuditDesk& desk = *services.audit_desk;
  CHECK_OK(desk.keeper.wait_for_log(kIndexPatience));
  TRY(const std::unique_ptr<review::AuditIndex> index, desk.keeper.open_reader());
  TRY(records, records_of(*index, call));
  if (records.empty()) {
    return fail(Code::not_found, "There is no such request among your calls.");
  }
  TRY(std::string note, desk.checkpointer.covering(records.back().sequence));
  TRY(review::SignedTree tree,
      review::signed_tree(std::move(note), services.audit_log.tree().view()));
  return review::receipt_json(desk.keeper.log_folder(), call.received.argument, records,
                              std::move(tree), audit::verifier_keys(desk.checkpointer.signer()));
}

}  // namespace

Response show_receipt(const Services& services, const AuthenticatedCall& call) {
  std::vector<review::RequestRecord> records;
  auto receipt = make_receipt(services, call, records);
  if (receipt) {
    return {.body = *std::move(receipt)};
  }
  wire::Refusal refusal = wire::to_refusal(receipt.error());
  if (refusal.status == 404 && !records.empty()) {
    refusal.status = 410;
    refusal.code = "receipt_expired";
    refusal.message = "What was recorded of this request has been deleted, as its policy says.";
  }
  return to_response(refusal);
}

Response show_audit_key(const Services& services) {
  const audit::Checkpointer& checkpointer = services.audit_desk->checkpointer;
  const transparency::NoteSigner& signer = checkpointer.signer();
  Json keys = Json::array({signer.verifier_key()});
  if (const auto sm2 = signer.sm2_verifier_key()) {
    keys.push_back(*sm2);
  }
  const Json json = {{"object", "audit.key"},
                     {"origin", signer.name()},
                     {"keys", std::move(keys)},
                     {"checkpoint", checkpointer.newest()}};
  return {.body = json.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

}  // namespace deepmoat::gateway
