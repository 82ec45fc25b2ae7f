// The records of administrative actions. Thread-safe as far as the log that they go to.
#include "identity/audited.h"

namespace deepmoat::identity {

namespace {

// Errors that say no to the caller; the others are ours.
bool is_refusal(Code code) {
  return code == Code::invalid_argument || code == Code::not_found ||
         code == Code::already_exists || code == Code::permission_denied ||
         code == Code::unauthenticated || code == Code::resource_exhausted;
}

}  // namespace

audit::Record intent_of(const Actor& actor, const AuditedAction& action) {
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
  return record;
}

Result<> append_result(const AppendAudit& append, audit::Record intent,
                       std::uint64_t intent_sequence, const AuditedAction& action,
                       const Error* error) {
  intent.phase = audit::Phase::result;
  intent.intent_sequence = intent_sequence;
  intent.resource = action.resource;
  intent.outcome = error == nullptr          ? audit::Outcome::success
                   : is_refusal(error->code) ? audit::Outcome::refused
                                             : audit::Outcome::failed;
  if (error != nullptr) {
    intent.reason = code_name(error->code);
  }
  const Result<std::uint64_t> written = append(std::move(intent));
  if (!written) {
    return fail(written.error().code,
                action.name +
                    ": the audit log took the intent but not the result, so the change "
                    "may be in force and nothing is answered: " +
                    written.error().message);
  }
  return {};
}

}  // namespace deepmoat::identity
