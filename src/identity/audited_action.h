// An action of an administrator, with its two audit records around it.
//
// Intent durable -> the action -> result durable. Without an audit record there is no action. A
// crash in the middle leaves an intent without a result, which the log shows. Blocking.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "audit/record.h"
#include "base/result.h"
#include "base/strong.h"
#include "identity/roles.h"

namespace deepmoat::identity {

// Who asks. Goes into the audit record as it stands.
struct Actor {
  std::string operator_id;  // client_id of the key, or "local:<uid>"
  std::string key_id;       // empty at the machine itself
  std::string role;
  TenantId tenant{std::string(kHomeTenant)};  // decides which tenants he reaches
  std::string authentication;                 // "api_key", "local_socket", "command_line"
  std::string ip_address;
  std::string request_id;
  // Set when his key's scopes narrow its role: he gives nobody more than he has.
  std::optional<PermissionSet> narrowed_to = {};
  // The second person of what needed two, for the record: "tenant/client_id (apr_...)".
  std::string approved_by = {};
  // Set to the sequence of the first record of what he asks for once that is durable, 0 before;
  // where nobody asks for it, none.
  std::shared_ptr<std::atomic<std::uint64_t>> on_record = {};
};

// Returns the sequence of the record once it is durable: audit::Log::append_and_wait.
using AppendAudit = std::function<Result<std::uint64_t>(audit::Record)>;

// What the audit record says of an action. `resource` is completed by the body once it knows.
struct AuditedAction {
  audit::Operation operation;
  std::string name;
  std::string resource;
  std::string detail;  // a revocation's reason, a change's new values
  // Why it was refused, where the log may say more than the answer does; empty: the error's code.
  std::string refusal = {};
};

// A key whose scopes narrow its role hands on what every user has and what it has itself. Else
// whoever holds it would make himself a key, or a person, without scopes.
// Code::permission_denied.
[[nodiscard]] Result<> check_grant(const Actor& actor, PermissionSet given);
// `detail`, and who approved what the actor does, if that needed two persons.
[[nodiscard]] std::string detail_of(const Actor& actor, std::string detail);

// The intent's record, as written; its sequence is in `intent_sequence`.
[[nodiscard]] Result<audit::Record> begin_action(const AppendAudit& append, const Actor& actor,
                                                 const AuditedAction& action);
// The result's sequence. `failure`: none when it was done. These two by themselves are for an
// effect that is not over when a function returns.
[[nodiscard]] Result<std::uint64_t> end_action(const AppendAudit& append, audit::Record record,
                                               const AuditedAction& action, const Error* failure);

// The body gets the action, to name the thing that it turned out to be about. `result_sequence`,
// where given, is set to that of the result.
template <class T, class Body>
Result<T> audited(const AppendAudit& append, const Actor& actor, AuditedAction action,
                  const Body& body, std::uint64_t* result_sequence = nullptr) {
  TRY(audit::Record record, begin_action(append, actor, action));
  Result<T> done = body(action);
  TRY(const std::uint64_t sequence,
      end_action(append, std::move(record), action, done ? nullptr : &done.error()));
  if (result_sequence != nullptr) {
    *result_sequence = sequence;
  }
  return done;
}

}  // namespace deepmoat::identity
