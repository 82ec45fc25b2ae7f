#include "gateway/people_admin.h"

#include "gateway/admin_fields.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;
using identity::PersonName;

Json person_json(const identity::PersonInfo& person) {
  Json json = {{"name", person.who.name},
               {"tenant", person.who.tenant},
               {"role", person.role},
               {"label", person.label},
               {"state", !person.intact                ? "corrupt"
                         : person.disabled_ms != 0     ? "disabled"
                         : person.locked_until_ms != 0 ? "locked"
                                                       : "active"},
               {"second_factor", person.second_factor},
               {"must_change_password", person.must_change},
               {"created_at", person.created_ms / 1000},
               {"password_set_at", person.password_ms / 1000}};
  if (person.disabled_ms != 0) {
    json["disabled_at"] = person.disabled_ms / 1000;
  }
  if (person.locked_until_ms != 0) {
    json["locked_until"] = person.locked_until_ms / 1000;
  }
  return json;
}

Json given_json(const identity::PersonWithPassword& person) {
  Json json = person_json(person.info);
  // The only time that it exists outside the person's head; the response is not logged anywhere.
  json["password"] = person.password.reveal();
  return json;
}

wire::OrRefusal<std::optional<identity::Role>> role_in(const Json& request) {
  TRY(const auto text, text_in(request, "role"));
  if (!text) {
    return std::nullopt;
  }
  const auto role = identity::parse_role(*text);
  if (!role) {
    return std::unexpected(wire::to_field_refusal(role.error()));
  }
  return *role;
}

}  // namespace

wire::OrRefusal<identity::CreatePerson> create_person_of(const TenantId& own,
                                                         const std::string& body) {
  TRY(const Json request, object_in(body, {"name", "tenant", "role", "label"}));
  TRY(auto name, text_in(request, "name"));
  TRY(auto tenant, text_in(request, "tenant"));
  TRY(const auto role, role_in(request));
  TRY(auto label, text_in(request, "label"));
  if (!name) {
    return std::unexpected(missing_field("name"));
  }
  if (!role) {
    return std::unexpected(missing_field("role"));
  }
  return identity::CreatePerson{
      .who = {.tenant = std::move(tenant).value_or(own.value()), .name = *std::move(name)},
      .role = *role,
      .label = std::move(label).value_or("")};
}

wire::OrRefusal<identity::ChangePerson> change_person_of(const std::string& body) {
  TRY(const Json request, object_in(body, {"role", "label", "disabled"}));
  if (request.empty()) {
    return std::unexpected(
        wire::invalid("", "Nothing is to be changed; name at least one of role, label, disabled."));
  }
  identity::ChangePerson change;
  TRY(change.role, role_in(request));
  TRY(change.label, text_in(request, "label"));
  if (const auto disabled = request.find("disabled"); disabled != request.end()) {
    if (!disabled->is_boolean()) {
      return std::unexpected(
          wire::invalid("disabled", "'disabled' must be true or false.", "invalid_type"));
    }
    change.disabled = disabled->get<bool>();
  }
  return change;
}

PersonName person_named(const TenantId& own, const std::string& argument) {
  const std::size_t slash = argument.find('/');
  if (slash == std::string::npos) {
    return {.tenant = own.value(), .name = argument};
  }
  return {.tenant = argument.substr(0, slash), .name = argument.substr(slash + 1)};
}

bool is_people(Handler handler) {
  switch (handler) {
    case Handler::create_person:
    case Handler::list_people:
    case Handler::show_person:
    case Handler::change_person:
    case Handler::reset_person_password:
    case Handler::sign_person_out:
    case Handler::remove_person:
    case Handler::list_sessions:
      return true;
    default:
      return false;
  }
}

Json session_json(const identity::SessionInfo& session) {
  return {{"id", session.id.value()},
          {"name", session.name.value()},
          {"tenant", session.tenant.value()},
          {"role", identity::role_name(session.role)},
          {"signed_in_with", session.place.fingerprint.empty() ? "password" : "certificate"},
          {"address", session.place.address},
          {"opened_at", session.opened_ms / 1000},
          {"used_at", session.used_ms / 1000},
          {"idle_until", session.idle_ends_ms / 1000},
          {"expires_at", session.ends_ms / 1000}};
}

wire::OrRefusal<Json> act_on_people(const PeopleDesk& desk, Handler handler,
                                    const identity::Actor& actor, const std::string& argument,
                                    const std::string& body) {
  identity::People& people = desk.people;
  const PersonName who = person_named(actor.tenant, argument);
  switch (handler) {
    case Handler::create_person: {
      TRY(const identity::CreatePerson request, create_person_of(actor.tenant, body));
      return answered(people.create(actor, request), given_json);
    }
    case Handler::list_people:
      return answered(people.list(actor),
                      [](const auto& list) { return list_json(list, person_json); });
    case Handler::show_person:
      return answered(people.show(actor, who), person_json);
    case Handler::change_person: {
      TRY(const identity::ChangePerson change, change_person_of(body));
      return answered(people.change(actor, who, change), person_json);
    }
    case Handler::reset_person_password:
      return answered(people.reset_password(actor, who), given_json);
    case Handler::sign_person_out:
      return answered(people.sign_out(actor, who), [&](std::size_t ended) {
        return Json{{"name", who.name}, {"tenant", who.tenant}, {"sessions_ended", ended}};
      });
    case Handler::remove_person: {
      const auto removed = people.remove(actor, who);
      if (!removed) {
        return std::unexpected(wire::to_field_refusal(removed.error()));
      }
      return Json{{"name", who.name}, {"tenant", who.tenant}, {"state", "removed"}};
    }
    case Handler::list_sessions:
      return answered(people.sessions(actor),
                      [](const auto& list) { return list_json(list, session_json); });
    default:
      return std::unexpected(wire::to_refusal({Code::internal, "no such action"}));
  }
}

Response answer_people(const Services& services, const identity::Actor& actor,
                       const ReceivedCall& call) {
  if (services.people_desk == nullptr) {
    return to_response(wire::to_refusal({Code::unavailable, "nobody signs in to this server"}));
  }
  const auto answer =
      act_on_people(*services.people_desk, call.route->handler, actor, call.argument, call.body);
  return answer ? Response{.body = answer->dump(-1, ' ', false, Json::error_handler_t::replace)}
                : to_response(answer.error());
}

}  // namespace deepmoat::gateway
