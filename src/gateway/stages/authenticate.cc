// Who sent this call, and may his role use this route?
#include <fmt/format.h>

#include "base/log.h"
#include "gateway/admin.h"
#include "gateway/audit_trail.h"
#include "gateway/authentication.h"
#include "gateway/call.h"
#include "gateway/rotate_key.h"
#include "gateway/services.h"
#include "gateway/sign_in.h"
#include "identity/sessions.h"

namespace deepmoat::gateway {

namespace {

// The data folder's own socket: who can open it owns the folder, and with it every secret.
identity::Principal local_principal(std::uint32_t uid) {
  return {.key_id = KeyId(),
          .client_id = ClientId(fmt::format("local:{}", uid)),
          .tenant = TenantId(std::string(identity::kHomeTenant)),
          .role = identity::Role::admin,
          .kind = identity::KeyKind::adm,
          .expires_ms = 0,
          .rules = identity::rules_of(identity::Role::admin)};
}

// What the owner of the socket may not do because he administers (manage_audit), somebody else does
// there with a key of his own.
bool speaks_for_a_key(const ReceivedCall& call) {
  const auto& needed = call.route->permission;
  return needed && !call.presented_key.empty() &&
         !identity::allowed(identity::Role::admin, *needed);
}

wire::Refusal session_over() {
  return {.status = 401,
          .type = "authentication_error",
          .code = "session_ended",
          .message =
              "The session has ended, or it is not of this address: sign in again (POST "
              "/v1/sessions)."};
}

wire::OrRefusal<identity::Principal> identify(const ReceivedCall& call, const Services& services,
                                              AuditTrail& trail) {
  // A key is rotated by whoever holds it: the owner of the socket has none.
  const bool rotates = call.route->handler == Handler::rotate_key;
  if (call.local_uid && !rotates && !speaks_for_a_key(call)) {
    if (runs_inference(call.route->handler)) {  // whoever mends a sealed server needs the rest
      CHECK_OK(not_sealed(services));
    }
    return local_principal(*call.local_uid);
  }
  CHECK_OK(may_prove(call, services));
  if (call.presented_key.empty()) {
    return std::unexpected(unauthenticated({.kind = identity::AuthFailureKind::missing}));
  }
  if (identity::is_session_token(call.presented_key)) {
    auto signed_in = principal_of_session(call, services);
    if (!signed_in) {
      services.failures.record_failure(call.address, call.received_ns);
      return std::unexpected(session_over());
    }
    return *std::move(signed_in);
  }
  const UnixMillis now_ms = services.clock.unix_ms();
  auto principal =
      rotates ? services.authenticator.authenticate_for_rotation(call.presented_key, now_ms,
                                                                 call.address)
              : services.authenticator.authenticate(call.presented_key, now_ms, call.address);
  if (!principal) {
    return std::unexpected(count_failure(principal.error(), call, services, trail));
  }
  return *std::move(principal);
}

}  // namespace

wire::OrRefusal<AuthenticatedCall> authenticate(ReceivedCall call, const Services& services,
                                                AuditTrail& trail) {
  TRY(identity::Principal principal, identify(call, services, trail));
  if (principal.role != identity::Role::user && !runs_inference(call.route->handler)) {
    trail.lane = audit::Lane::administration;
  }
  trail.record.tenant = principal.tenant.value();
  trail.record.operator_id = principal.client_id.value();
  trail.record.key_id = principal.key_id.value();
  trail.record.role = identity::role_name(principal.role);
  trail.record.authentication = authentication_of(principal);
  if (!principal.replaced.value().empty()) {
    write_down_first_use(services, actor_of(call, principal), principal.key_id);
  }
  const auto& needed = call.route->permission;
  if (needed && !principal.may(*needed)) {
    return std::unexpected(
        wire::Refusal{.status = 403,
                      .type = "permission_error",
                      .code = "permission_denied",
                      .message = identity::denial_of(principal, *needed),
                      .headers = key_end_headers(principal, services.clock.unix_ms())});
  }
  return AuthenticatedCall(std::move(call), std::move(principal));
}

}  // namespace deepmoat::gateway
