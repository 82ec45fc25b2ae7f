#include "gateway/approval_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/printable.h"
#include "gateway/admin.h"
#include "gateway/blocking.h"
#include "gateway/key_json.h"
#include "gateway/leak_admin.h"
#include "gateway/people_admin.h"

namespace deepmoat::gateway {

namespace {

using identity::Approval;
using identity::ApprovalState;
using identity::HeldCall;
using Json = nlohmann::ordered_json;

Response json_response(const Json& body, int status = 200) {
  return {.status = status, .body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

std::string name_of(const Route& route) {
  return fmt::format("{} {}", route.method, route.pattern);
}

const Route* route_named(std::string_view name) {
  const auto found =
      std::ranges::find_if(routes(), [name](const Route& route) { return name_of(route) == name; });
  return found == routes().end() ? nullptr : &*found;
}

// One approves exactly what one reads: a version is named, not "the newest", and the body holds
// what its route takes and nothing more, so no secret that strayed into it.
wire::OrRefusal<HeldCall> held_call_of(const ReceivedCall& call, const TenantId& own,
                                       const Services& services) {
  HeldCall held{.route = name_of(*call.route),
                .argument = call.argument,
                .body = "",
                .action = std::string(call.route->action),
                .resource = call.argument};
  switch (call.route->handler) {
    case Handler::create_key: {
      TRY(const identity::CreateKey request,
          create_key_of(call.body, services.config.get()->keys.lifetime_days));
      held.body = call.body;  // its reader refuses fields that it does not know
      held.resource = fmt::format("{}/{} {}", request.tenant, request.client_id,
                                  identity::role_name(request.role));
      break;
    }
    case Handler::remove_second_factor: {
      wire::RequestReader reader;
      TRY(const wire::SecondFactorRequest request, reader.second_factor(call.body));
      held.body = Json{{"client_id", request.client_id}, {"tenant", request.tenant}}.dump();
      held.resource = request.tenant + "/" + request.client_id;
      break;
    }
    case Handler::remove_version: {
      wire::RequestReader reader;
      TRY(const Json request, reader.object(call.body.empty() ? "{}" : call.body));
      const bool named = request.contains("version") && request["version"].is_string() &&
                         is_printable(request["version"].get<std::string>()) &&
                         request["version"] != "";
      if (!named) {
        return std::unexpected(wire::invalid(
            "version", "version: name it, as a second person approves this one alone"));
      }
      held.body = Json{{"version", request["version"]}}.dump();
      held.resource = call.argument + " " + request["version"].get<std::string>();
      break;
    }
    case Handler::create_person: {
      TRY(const identity::CreatePerson request, create_person_of(own, call.body));
      held.body = call.body;  // its reader refuses fields that it does not know
      held.resource = fmt::format("{}/{} {}", request.who.tenant, request.who.name,
                                  identity::role_name(request.role));
      break;
    }
    case Handler::change_person: {
      TRY(const identity::ChangePerson change, change_person_of(call.body));
      const identity::PersonName who = person_named(own, call.argument);
      held.body = call.body;
      held.resource = fmt::format("{}/{} {}", who.tenant, who.name,
                                  change.role ? identity::role_name(*change.role) : "enabled");
      break;
    }
    case Handler::reset_person_password: {
      const identity::PersonName who = person_named(own, call.argument);
      held.resource = who.tenant + "/" + who.name;
      break;
    }
    case Handler::roll_custody:
      break;
    default:
      // A route that is marked for two persons is said here what of its call may be kept.
      return std::unexpected(
          wire::to_refusal({Code::internal, "nothing of this call can be kept"}));
  }
  return held;
}

Json approval_json(const Approval& approval) {
  const store::ApprovalRow& row = approval.row;
  Json json = {{"id", row.approval_id}, {"state", identity::state_name(approval.state)}};
  if (approval.state == ApprovalState::altered) {
    return json;  // the rest says what somebody wants us to read
  }
  json["action"] = row.action;
  json["resource"] = row.resource;
  Json request = row.body.empty() ? Json::object() : Json::parse(row.body, nullptr, false);
  json["request"] = request.is_discarded() ? Json(row.body) : std::move(request);
  json["requested_by"] = approval.requester();
  json["requested_at"] = row.created_ms / 1000;
  json["expires_at"] = row.expires_ms / 1000;
  if (row.decided_ms != 0) {
    json["decided_by"] = approval.decider();
    json["decided_at"] = row.decided_ms / 1000;
  }
  if (!row.reason.empty()) {
    json["reason"] = row.reason;
  }
  if (row.status != 0) {
    json["status"] = row.status;
  }
  return json;
}

wire::Refusal refusal_of(const Error& error, const identity::Actor& actor, const std::string& id,
                         identity::Approvals& approvals) {
  wire::Refusal refusal = wire::to_field_refusal(error);
  const auto approval = approvals.find(actor, id);
  switch (error.code) {
    case Code::permission_denied:
      if (approval && identity::asked_for(actor, *approval)) {
        refusal.code = "second_person_required";
      }
      break;
    case Code::already_exists:
      refusal.code = approval && approval->state == ApprovalState::waiting
                         ? "requester_not_in_force"
                     : approval && approval->state == ApprovalState::expired ? "approval_expired"
                                                                             : "approval_decided";
      break;
    case Code::corrupt:
      refusal = {.status = 409,
                 .type = "invalid_request_error",
                 .code = "approval_altered",
                 .message = error.message};
      break;
    default:
      break;
  }
  return refusal;
}

void announce(const Services& services, const Approval& approval) {
  if (services.leak_desk == nullptr) {
    return;
  }
  Json content = approval_json(approval);
  content.erase("request");
  const auto announced = services.leak_desk->webhooks.announce_approval(
      approval.row.approval_id, TenantId(approval.row.tenant), content);
  if (!announced) {
    log::error("nobody was told of what waits for a second person",
               {{"approval", approval.row.approval_id}, {"error", announced.error().message}});
  }
}

Response hold(const Services& services, const identity::Actor& actor, const HeldCall& held) {
  const auto approval =
      services.approvals->request(actor, held, services.config.get()->approval.hours);
  if (!approval) {
    return to_response(wire::to_refusal(approval.error()));
  }
  announce(services, *approval);
  return json_response(
      {{"state", "waiting_for_approval"},
       {"message",
        fmt::format("Nothing is done yet: a second person has to approve it, with POST "
                    "/admin/v1/approvals/{0}/approve or `deepmoat approval approve {0}`.",
                    approval->row.approval_id)},
       {"approval", approval_json(*approval)}},
      202);
}

// As the route would have done it at once, but for the second name in its audit records.
Response carry_out(const Services& services, const identity::Actor& requester,
                   const HeldCall& held) {
  const Route* const route = route_named(held.route);
  if (route == nullptr || route->two_persons == TwoPersons::never) {
    return to_response(wire::to_refusal(
        {Code::not_found, "this program has no route " + held.route + " for two persons"}));
  }
  ReceivedCall call;
  call.request_id = RequestId(requester.request_id);
  call.route = route;
  call.argument = held.argument;
  call.address = requester.ip_address;
  call.body = held.body;
  if (audits_itself(route->handler)) {
    return act_as(services, requester, call);
  }
  const identity::AppendAudit append = [&services](audit::Record record) {
    return services.audit_log.append_and_wait(std::move(record));
  };
  identity::AuditedAction action{route->operation, held.action, held.resource, ""};
  auto intent = identity::begin_action(append, requester, action);
  if (!intent) {
    return to_response(wire::to_refusal(intent.error()));
  }
  Response response = act_as(services, requester, call);
  intent->status = response.status;
  action.refusal = response.error_code;  // as the route itself would have it recorded
  const Error failure{response.status < 500 ? Code::invalid_argument : Code::internal, ""};
  const auto ended = identity::end_action(append, *std::move(intent), action,
                                          response.status < 400 ? nullptr : &failure);
  return ended ? std::move(response) : to_response(wire::to_refusal(ended.error()));
}

Response list(identity::Approvals& approvals, const identity::Actor& actor) {
  const auto found = approvals.list(actor);
  if (!found) {
    return to_response(wire::to_refusal(found.error()));
  }
  Json data = Json::array();
  for (const Approval& approval : *found) {
    data.push_back(approval_json(approval));
  }
  return json_response({{"object", "list"}, {"data", data}});
}

}  // namespace

bool is_approval(Handler handler) {
  return handler == Handler::list_approvals || handler == Handler::approve ||
         handler == Handler::refuse_approval;
}

bool made_by_two(identity::Role role) {
  return may_approve(role) || role == identity::Role::auditor;
}

namespace {

bool makes_one_for_two(const Route& route, const std::string& body) {
  switch (route.handler) {
    case Handler::create_key: {
      const auto request = create_key_of(body, 1);
      return request && made_by_two(request->role);
    }
    case Handler::create_person: {
      const auto request = create_person_of(TenantId(), body);
      return request && made_by_two(request->role);
    }
    case Handler::change_person: {
      // Whose role it is is in the database; so somebody enabled again counts as an approver.
      const auto change = change_person_of(body);
      const bool enables = change && change->disabled && !*change->disabled;
      return change && (enables || (change->role && made_by_two(*change->role)));
    }
    default:
      return true;  // a new route is said here what makes one of its calls
  }
}

}  // namespace

bool needs_two_persons(const Route& route, const std::string& body) {
  return route.two_persons == TwoPersons::always ||
         (route.two_persons == TwoPersons::for_approvers && makes_one_for_two(route, body));
}

bool needs_second_person(const ReceivedCall& call, const Services& services) {
  return call.route->two_persons != TwoPersons::never &&
         services.config.get()->approval.two_persons && needs_two_persons(*call.route, call.body);
}

asio::awaitable<wire::OrRefusal<Response>> hold_for_second_person(AuthenticatedCall call,
                                                                  Services& services) {
  if (services.approvals == nullptr) {
    co_return std::unexpected(
        wire::to_refusal({Code::unavailable, "this server keeps no approvals"}));
  }
  auto held = held_call_of(call.received, call.principal.tenant, services);
  if (!held) {
    co_return std::unexpected(std::move(held).error());
  }
  const auto shared_held = std::make_shared<const HeldCall>(*std::move(held));
  const auto actor =
      std::make_shared<const identity::Actor>(actor_of(call.received, call.principal));
  std::move_only_function<Response()> work = [&services, actor, shared_held] {
    return hold(services, *actor, *shared_held);
  };
  Response response = co_await run_blocking<Response>(services.blocking, std::move(work));
  co_return response;
}

Response act_on_approvals(const Services& services, const AuthenticatedCall& call) {
  if (services.approvals == nullptr) {
    return to_response(wire::to_refusal({Code::unavailable, "this server keeps no approvals"}));
  }
  identity::Approvals& approvals = *services.approvals;
  const ReceivedCall& received = call.received;
  const identity::Actor actor = actor_of(received, call.principal);
  if (received.route->handler == Handler::list_approvals) {
    return list(approvals, actor);
  }
  const identity::Approvals::Permitted permitted = [&](const Approval& approval) -> Result<> {
    const Route* const route = route_named(approval.row.route);
    if (route == nullptr || !route->permission) {
      return fail(Code::not_found, "this program has no route " + approval.row.route);
    }
    return call.principal.may(*route->permission)
               ? Result<>()
               : fail(Code::permission_denied,
                      identity::denial_of(call.principal, *route->permission));
  };
  if (received.route->handler == Handler::refuse_approval) {
    wire::RequestReader reader;
    const auto reason = reader.reason(received.body);
    if (!reason) {
      return to_response(reason.error());
    }
    const auto refused = approvals.refuse(actor, received.argument, permitted, *reason);
    return refused ? json_response(approval_json(*refused))
                   : to_response(refusal_of(refused.error(), actor, received.argument, approvals));
  }
  Response answer;
  const auto approved =
      approvals.approve(actor, received.argument, permitted,
                        [&](const identity::Actor& requester, const HeldCall& held) {
                          answer = carry_out(services, requester, held);
                          return answer.status;
                        });
  return approved ? std::move(answer)
                  : to_response(refusal_of(approved.error(), actor, received.argument, approvals));
}

}  // namespace deepmoat::gateway
