#include "identity/audited.h"

#include <utility>

namespace deepmoat::identity {

namespace {

// Somebody said no before there was an effect; anything else broke in the middle.
bool is_refusal(Code code) {
  return code == Code::invalid_argument || code == Code::not_found ||
         code == Code::already_exists || code == Code::permission_denied;
}

}  // namespace

Result<audit::Record> begin_audited(const AppendAudit& append, const Actor& actor,
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
  record.reason = action.detail;
  TRY(record.intent_sequence, append(record));
  return record;
}

Result<std::uint64_t> end_audited(const AppendAudit& append, audit::Record record,
                                  const AuditedAction& action, const Error* error) {
  record.phase = audit::Phase::result;
  record.resource = action.resource;
  record.outcome = error == nullptr          ? audit::Outcome::success
                   : is_refusal(error->code) ? audit::Outcome::refused
                                             : audit::Outcome::failed;
  if (error != nullptr) {
    record.reason = code_name(error->code);
  }
  Result<std::uint64_t> written = append(std::move(record));
  if (!written) {
    return fail(written.error().code,
                action.name +
                    ": the audit log took the intent but not the result, so the change "
                    "may be in force and nothing is answered: " +
                    written.error().message);
  }
  return written;
}

}  // namespace deepmoat::identity
