// The monthly report over HTTP, and its sign-off.
#pragma once

#include <string>

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

struct SignOffRequest {
  std::string figures_sha256;
  std::string note;

  // As the record of it has it.
  [[nodiscard]] std::string reason() const {
    return figures_sha256 + (note.empty() ? "" : " ") + note;
  }
};

// 400 for a digest that is none, or a note that would not stand whole in the record.
[[nodiscard]] wire::OrRefusal<SignOffRequest> read_sign_off(const std::string& body);

// Of all tenants, so for auditors of the home tenant alone. Both block, on a thread for reading the
// log, for seconds at times. REQUIRES: services.audit_desk.
[[nodiscard]] Response show_report(const Services& services, const AuthenticatedCall& call);
// 409 when the figures are others by now, or the month is not over. The call's own record is what
// the report reads back.
[[nodiscard]] Response sign_off_report(const Services& services, const AuthenticatedCall& call);

}  // namespace deepmoat::gateway
