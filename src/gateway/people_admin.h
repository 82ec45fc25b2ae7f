// The administrator's interface to people and their sessions: one answer for each route, the same
// for the running server and for the command line without one.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

#include "base/clock.h"
#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"
#include "identity/people.h"
#include "identity/sessions.h"
#include "identity/sign_in.h"

namespace deepmoat::gateway {

// What the routes of people and of sign_in.h work with.
struct PeopleDesk {
  identity::People& people;
  identity::Sessions& sessions;
  identity::SignIn& sign_in;
};

[[nodiscard]] bool is_people(Handler handler);

// On the database's thread. `argument`: "TENANT/NAME", or the name of somebody of the actor's own
// tenant. `body`: as a call has it; a field that is not known is refused.
// REQUIRES: is_people(handler).
[[nodiscard]] wire::OrRefusal<nlohmann::ordered_json> act_on_people(const PeopleDesk& desk,
                                                                    Handler handler,
                                                                    const identity::Actor& actor,
                                                                    const std::string& argument,
                                                                    const std::string& body);

// What the routes take, for whoever has to read it before it is done. `own`: the tenant of whoever
// calls.
[[nodiscard]] wire::OrRefusal<identity::CreatePerson> create_person_of(const TenantId& own,
                                                                       const std::string& body);
[[nodiscard]] wire::OrRefusal<identity::ChangePerson> change_person_of(const std::string& body);
[[nodiscard]] identity::PersonName person_named(const TenantId& own, const std::string& argument);

[[nodiscard]] Response answer_people(const Services& services, const identity::Actor& actor,
                                     const ReceivedCall& call);

[[nodiscard]] nlohmann::ordered_json session_json(const identity::SessionInfo& session);

}  // namespace deepmoat::gateway
