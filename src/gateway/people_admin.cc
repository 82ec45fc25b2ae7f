#include "gateway/people_admin.h"

#include <algorithm>
#include <initializer_list>

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;
using identity::PersonName;

PersonName named(const identity::Actor& actor, const std::string& argument) {
  const std::size_t slash = argument.find('/');
  if (slash == std::string::npos) {
    return {.tenant = actor.tenant.value(), .name = argument};
  }
  return {.tenant = argument.substr(0, slash), .name = argument.substr(slash + 1)};
}

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

template <class T, class ToJson>
Json list_json(const std::vector<T>& list, const ToJson& to_json) {
  Json data = Json::array();
  for (const T& entry : list) {
    data.push_back(to_json(entry));
  }
  return {{"object", "list"}, {"data", std::move(data)}};
}

Result<Json> object_in(const std::string& body, std::initializer_list<std::string_view> fields) {
  wire::RequestReader reader;
  auto read = reader.object(body);
  if (!read) {
    return fail(Code::invalid_argument, read.error().message);
  }
  Json request = *std::move(read);
  std::string known;
  for (const std::string_view field : fields) {
    known += (known.empty() ? "" : ", ") + std::string(field);
  }
  for (const auto& [name, value] : request.items()) {
    if (std::ranges::find(fields, name) == fields.end()) {
      return fail(Code::invalid_argument,
                  name.substr(0, 64) + ": is no field here; the fields are " + known);
    }
  }
  return request;
}

Result<std::optional<std::string>> text_in(const Json& request, const char* name) {
  const auto found = request.find(name);
  if (found == request.end()) {
    return std::nullopt;
  }
  if (!found->is_string()) {
    return fail(Code::invalid_argument, std::string(name) + ": must be a string");
  }
  return found->get<std::string>();
}

Result<std::optional<identity::Role>> role_in(const Json& request) {
  TRY(const auto text, text_in(request, "role"));
  if (!text) {
    return std::nullopt;
  }
  TRY(const identity::Role role, identity::parse_role(*text));
  return role;
}

Result<Json> create(identity::People& people, const identity::Actor& actor,
                    const std::string& body) {
  TRY(const Json request, object_in(body, {"name", "tenant", "role", "label"}));
  TRY(auto name, text_in(request, "name"));
  TRY(auto tenant, text_in(request, "tenant"));
  TRY(const auto role, role_in(request));
  TRY(auto label, text_in(request, "label"));
  if (!name) {
    return fail(Code::invalid_argument, "name: is missing");
  }
  if (!role) {
    return fail(Code::invalid_argument, "role: is missing; one of user, operator, admin, auditor");
  }
  TRY(const identity::PersonWithPassword made,
      people.create(actor, {.who = {.tenant = std::move(tenant).value_or(actor.tenant.value()),
                                    .name = *std::move(name)},
                            .role = *role,
                            .label = std::move(label).value_or("")}));
  return given_json(made);
}

Result<Json> change(identity::People& people, const identity::Actor& actor, const PersonName& who,
                    const std::string& body) {
  TRY(const Json request, object_in(body, {"role", "label", "disabled"}));
  if (request.empty()) {
    return fail(Code::invalid_argument,
                "nothing is to be changed; name at least one of role, label, disabled");
  }
  identity::ChangePerson change;
  TRY(change.role, role_in(request));
  TRY(change.label, text_in(request, "label"));
  if (const auto disabled = request.find("disabled"); disabled != request.end()) {
    if (!disabled->is_boolean()) {
      return fail(Code::invalid_argument, "disabled: must be true or false");
    }
    change.disabled = disabled->get<bool>();
  }
  TRY(const identity::PersonInfo person, people.change(actor, who, change));
  return person_json(person);
}

}  // namespace

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
          {"expires_at", session.ends_ms / 1000}};
}

Result<Json> act_on_people(const PeopleDesk& desk, Handler handler, const identity::Actor& actor,
                           const std::string& argument, const std::string& body) {
  identity::People& people = desk.people;
  const PersonName who = named(actor, argument);
  switch (handler) {
    case Handler::create_person:
      return create(people, actor, body);
    case Handler::list_people: {
      TRY(const auto list, people.list(actor));
      return list_json(list, person_json);
    }
    case Handler::show_person: {
      TRY(const identity::PersonInfo person, people.show(actor, who));
      return person_json(person);
    }
    case Handler::change_person:
      return change(people, actor, who, body);
    case Handler::reset_person_password: {
      TRY(const identity::PersonWithPassword person, people.reset_password(actor, who));
      return given_json(person);
    }
    case Handler::sign_person_out: {
      TRY(const std::size_t ended, people.sign_out(actor, who));
      return Json{{"name", who.name}, {"tenant", who.tenant}, {"sessions_ended", ended}};
    }
    case Handler::remove_person:
      CHECK_OK(people.remove(actor, who));
      return Json{{"name", who.name}, {"tenant", who.tenant}, {"state", "removed"}};
    case Handler::list_sessions: {
      TRY(const auto open, people.sessions(actor));
      return list_json(open, session_json);
    }
    default:
      return fail(Code::internal, "no such action");
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
                : to_response(wire::to_field_refusal(answer.error()));
}

}  // namespace deepmoat::gateway
