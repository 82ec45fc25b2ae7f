#include "gateway/second_factor_admin.h"

#include <algorithm>

#include "gateway/second_factor_json.h"

namespace deepmoat::gateway {

namespace {

using identity::FactorOwner;

Response json_response(const nlohmann::ordered_json& body) {
  return {.body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)};
}

Response enrol(const Services& services, const identity::Actor& actor, const FactorOwner& owner,
               const wire::SecondFactorRequest& request) {
  const auto algorithm = crypto::parse_otp_algorithm(request.algorithm);
  if (!algorithm) {
    return to_response(wire::invalid("algorithm", algorithm.error().message));
  }
  const auto enrolment = services.second_factors->enrol(actor, owner, *algorithm);
  return enrolment ? json_response(enrolment_json(*enrolment))
                   : to_response(second_factor_refusal(services, enrolment.error(), owner));
}

Response confirm(const Services& services, const identity::Actor& actor, const FactorOwner& owner,
                 const wire::SecondFactorRequest& request) {
  const auto confirmation =
      services.second_factors->confirm(actor, owner, request.one_time_password);
  return confirmation ? json_response(confirmation_json(*confirmation))
                      : to_response(second_factor_refusal(services, confirmation.error(), owner));
}

Response remove(const Services& services, const identity::Actor& actor, const FactorOwner& owner) {
  const auto removed = services.second_factors->remove(actor, owner);
  return removed
             ? json_response(
                   {{"client_id", owner.client_id}, {"tenant", owner.tenant}, {"state", "removed"}})
             : to_response(wire::to_refusal(removed.error()));
}

// `argument`: "TENANT/CLIENT_ID", or a client of the actor's own tenant.
Response show(const Services& services, const identity::Actor& actor, std::string_view argument) {
  const std::size_t slash = argument.find('/');
  FactorOwner owner{.tenant = actor.tenant.value(), .client_id = std::string(argument)};
  if (slash != std::string_view::npos) {
    owner.tenant = argument.substr(0, slash);
    owner.client_id = argument.substr(slash + 1);
  }
  const auto factor = services.second_factors->status(actor, owner);
  return factor ? json_response(factor_json(*factor))
                : to_response(wire::to_refusal(factor.error()));
}

}  // namespace

bool is_second_factor(Handler handler) {
  return handler == Handler::enrol_second_factor || handler == Handler::confirm_second_factor ||
         handler == Handler::show_second_factor || handler == Handler::remove_second_factor;
}

Response act_on_second_factors(const Services& services, const identity::Actor& actor,
                               const ReceivedCall& call) {
  if (call.route->handler == Handler::show_second_factor) {
    return show(services, actor, call.argument);
  }
  wire::RequestReader reader;
  const auto request = reader.second_factor(call.body);
  if (!request) {
    return to_response(request.error());
  }
  const FactorOwner owner{.tenant = request->tenant, .client_id = request->client_id};
  switch (call.route->handler) {
    case Handler::enrol_second_factor:
      return enrol(services, actor, owner, *request);
    case Handler::confirm_second_factor:
      return confirm(services, actor, owner, *request);
    default:
      return remove(services, actor, owner);
  }
}

wire::Refusal second_factor_refusal(const Services& services, const Error& error,
                                    const FactorOwner& owner) {
  wire::Refusal refusal = wire::to_refusal(error);
  switch (error.code) {
    case Code::permission_denied:
      refusal.code = "one_time_password_refused";
      refusal.param = "one_time_password";
      break;
    case Code::resource_exhausted:
      refusal.code = "second_factor_locked";
      refusal.retry_after_s =
          std::max(services.second_factors->locked_for_s(owner).value_or(1), 1U);
      break;
    default:
      break;
  }
  return refusal;
}

wire::Refusal code_refusal(const Services& services, const Error& error, const FactorOwner& owner) {
  wire::Refusal refusal = second_factor_refusal(services, error, owner);
  if (error.code == Code::invalid_argument) {
    refusal.param = "one_time_password";
  } else if (error.code == Code::not_found &&
             !services.second_factors->counts(owner).value_or(true)) {
    refusal.status = 403;
    refusal.type = "permission_error";
    refusal.code = "second_factor_missing";
  }
  return refusal;
}

}  // namespace deepmoat::gateway
