// An administrative action and its two audit records: the intent is durable before anything
// changes, the result before anybody is told. Without an audit record there is no action.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
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
};

// Returns the sequence of the record once it is durable: audit::Log::append_and_wait.
using AppendAudit = std::function<Result<std::uint64_t>(audit::Record)>;

// What the audit record says of an action. The body may complete `resource` once it knows more.
struct AuditedAction {
  audit::Operation operation;
  std::string name;
  std::string resource;
  std::string detail;  // a revocation's reason
};

// The intent of an action.
[[nodiscard]] audit::Record intent_of(const Actor& actor, const AuditedAction& action);
// Writes the result that belongs to `intent`; `error` null: the action succeeded.
[[nodiscard]] Result<> append_result(const AppendAudit& append, audit::Record intent,
                                     std::uint64_t intent_sequence, const AuditedAction& action,
                                     const Error* error);

// Intent, body, result. `body` takes the action and returns Result<T>.
template <class T, class Body>
Result<T> audited(const AppendAudit& append, const Actor& actor, AuditedAction action,
                  const Body& body) {
  audit::Record record = intent_of(actor, action);
  TRY(const std::uint64_t intent, append(record));
  Result<T> done = body(action);
  CHECK_OK(
      append_result(append, std::move(record), intent, action, done ? nullptr : &done.error()));
  return done;
}

}  // namespace deepmoat::identity
