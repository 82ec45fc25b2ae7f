// An administrator's action between its two audit records: intent durable, then the effect, then
// the result. Without the intent there is no effect.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

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

// What the audit record says of an action. `resource` is completed by the body once it knows.
struct AuditedAction {
  audit::Operation operation;
  std::string name;
  std::string resource;
  std::string detail;  // a revocation's reason
};

// The two halves, for an effect that is not over when a function returns. The intent's record,
// appended, with `intent_sequence` set:
[[nodiscard]] Result<audit::Record> begin_audited(const AppendAudit& append, const Actor& actor,
                                                  const AuditedAction& action);
// The result's sequence. `error`: why the effect failed; nullptr: it did not.
[[nodiscard]] Result<std::uint64_t> end_audited(const AppendAudit& append, audit::Record record,
                                                const AuditedAction& action, const Error* error);

// Intent, body, result. The body gets the action, to name the thing that it turned out to be
// about, and returns Result<T>. `result_sequence`, where given, is set to that of the result.
template <class T, class Body>
[[nodiscard]] Result<T> audited(const AppendAudit& append, const Actor& actor, AuditedAction action,
                                const Body& body, std::uint64_t* result_sequence = nullptr) {
  TRY(audit::Record record, begin_audited(append, actor, action));
  Result<T> done = body(action);
  TRY(const std::uint64_t sequence,
      end_audited(append, std::move(record), action, done ? nullptr : &done.error()));
  if (result_sequence != nullptr) {
    *result_sequence = sequence;
  }
  return done;
}

}  // namespace deepmoat::identity
