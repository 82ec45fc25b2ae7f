#include "identity/audited_action.h"

namespace deepmoat::identity {

Result<> check_grant(const Actor& actor, PermissionSet given) {
  if (!actor.narrowed_to || given.within(actor.narrowed_to->with(permissions_of(Role::user)))) {
    return {};
  }
  return fail(Code::permission_denied,
              "scopes: your own key's scopes are narrower than what this would have; name scopes "
              "that yours has, or ask an administrator whose key has no scopes");
}

std::string detail_of(const Actor& actor, std::string detail) {
  if (!actor.approved_by.empty()) {
    detail += (detail.empty() ? "" : "; ") + ("approved by " + actor.approved_by);
  }
  return detail;
}

Result<audit::Record> begin_action(const AppendAudit& append, const Actor& actor,
                                   const AuditedAction& action) {
  audit::Record record;
  record.phase = audit::Phase::intent;
  record.operation = action.operation;
  record.request_id = actor.request_id;
  record.tenant = actor.tenant.value();
  record.operator_id = actor.operator_id;
  record.key_id = actor.key_id;
  record.role = actor.role;
  record.authentication = actor.authentication;
  record.ip_address = actor.ip_address;
  record.action = action.name;
  record.resource = action.resource;
  record.reason = detail_of(actor, action.detail);
  TRY(record.intent_sequence, append(record));
  if (actor.on_record) {
    std::uint64_t none = 0;
    actor.on_record->compare_exchange_strong(none, record.intent_sequence);
  }
  return record;
}

Result<std::uint64_t> end_action(const AppendAudit& append, audit::Record record,
                                 const AuditedAction& action, const Error* failure) {
  const bool refused =
      failure != nullptr &&
      (failure->code == Code::invalid_argument || failure->code == Code::not_found ||
       failure->code == Code::already_exists || failure->code == Code::permission_denied ||
       failure->code == Code::unauthenticated || failure->code == Code::resource_exhausted);
  record.phase = audit::Phase::result;
  record.resource = action.resource;
  record.outcome = failure == nullptr ? audit::Outcome::success
                   : refused          ? audit::Outcome::refused
                                      : audit::Outcome::failed;
  if (failure != nullptr) {
    record.reason = action.refusal.empty() ? code_name(failure->code) : action.refusal;
  }
  const Result<std::uint64_t> written = append(std::move(record));
  if (!written) {
    return fail(written.error().code,
                action.name +
                    ": the audit log took the intent but not the result, so the change "
                    "may be in force and nothing is answered: " +
                    written.error().message);
  }
  return *written;
}

}  // namespace deepmoat::identity
