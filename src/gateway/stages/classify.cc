// How confidential is this call's data?
#include "gateway/audit_trail.h"
#include "gateway/call.h"

namespace deepmoat::gateway {

wire::OrRefusal<ClassifiedCall> classify(AdmittedCall call, AuditTrail& trail) {
  const AuthenticatedCall& authenticated = call.authenticated;
  const auto data_class = policy::classify(authenticated.received.stated_class,
                                           authenticated.principal.rules->data_class);
  if (!data_class) {
    return std::unexpected(wire::invalid("x-deepmoat-data-class", data_class.error().message));
  }
  trail.record.data_class = policy::data_class_name(*data_class);
  return ClassifiedCall(std::move(call), *data_class);
}

}  // namespace deepmoat::gateway
