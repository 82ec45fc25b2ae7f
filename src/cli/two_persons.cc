#include "cli/two_persons.h"

#include <fmt/format.h>

#include <algorithm>

namespace deepmoat::cli {

namespace {

std::unexpected<Error> needs_two(std::string_view action) {
  return fail(Code::permission_denied,
              fmt::format("{} needs two persons (approval.two_persons), and without a server there "
                          "is one: start the server, then say it again",
                          action));
}

}  // namespace

Result<> check_one_person_may(const Config& config, std::string_view action) {
  const bool needs = std::ranges::any_of(gateway::routes(), [action](const gateway::Route& route) {
    return route.action == action && route.two_persons == gateway::TwoPersons::always;
  });
  return config.approval.two_persons && needs ? needs_two(action) : Result<>();
}

Result<> check_one_person_may_give(const Config& config, identity::Role role) {
  return config.approval.two_persons && gateway::may_approve(role)
             ? needs_two(fmt::format("role {}", identity::role_name(role)))
             : Result<>();
}

Result<> check_one_person_may_give(const Config& config, const gateway::Route& route,
                                   const nlohmann::ordered_json& body) {
  if (route.two_persons != gateway::TwoPersons::for_approvers || !body.is_object() ||
      !body.contains("role") || !body["role"].is_string()) {
    return {};
  }
  const auto role = identity::parse_role(body["role"].get<std::string>());
  return role ? check_one_person_may_give(config, *role) : Result<>();  // else its route says so
}

}  // namespace deepmoat::cli
