#include "cli/two_persons.h"

#include <fmt/format.h>

#include <algorithm>

#include "gateway/approval_admin.h"
#include "gateway/routes.h"

namespace deepmoat::cli {

Result<> check_one_person_may(const Config& config, std::string_view action,
                              const std::string& body) {
  const auto routes = gateway::routes();
  const auto route = std::ranges::find(routes, action, &gateway::Route::action);
  if (!config.approval.two_persons || route == routes.end() ||
      !gateway::needs_two_persons(*route, body)) {
    return {};
  }
  return fail(Code::permission_denied,
              fmt::format("{} needs two persons here (approval.two_persons), and without a server "
                          "there is one: start the server, then say it again",
                          action));
}

}  // namespace deepmoat::cli
