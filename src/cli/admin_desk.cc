#include "cli/admin_desk.h"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "cli/command.h"

#include "cli/installation.h"
#include "cli/key_desk.h"
#include "cli/local_client.h"
#include "cli/two_persons.h"
#include "gateway/leak_admin.h"
#include "gateway/people_admin.h"
#include "gateway/routes.h"

namespace deepmoat::cli {

namespace {

// A report of a leak reads a month of the audit log.
constexpr std::chrono::minutes kPatience{30};

std::string text_of(const Json& body) {
  return body.is_null() ? std::string() : body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

class ServerAdminDesk final : public AdminDesk {
 public:
  explicit ServerAdminDesk(DataFolder folder) : folder_(std::move(folder)) {}

  Result<Json> ask(const std::string& method, const std::string& path, const Json& body) override {
    return ask_server(folder_, method, path, text_of(body), "", kPatience);
  }
  [[nodiscard]] bool served() const override { return true; }

 private:
  DataFolder folder_;
};

class OfflineAdminDesk final : public AdminDesk {
 public:
  OfflineAdminDesk(std::unique_ptr<Installation> installation, identity::Actor actor,
                   const Config& config)
      : installation_(std::move(installation)), actor_(std::move(actor)), config_(config) {}

  Result<Json> ask(const std::string& method, const std::string& path, const Json& body) override {
    const auto target = boost::urls::parse_origin_form(path);
    const gateway::RouteMatch match =
        target ? gateway::match_route(method, target->path()) : gateway::RouteMatch();
    if (match.route != nullptr) {
      CHECK_OK(check_one_person_may(config_, match.route->action, text_of(body)));
    }
    if (match.route != nullptr && gateway::is_people(match.route->handler)) {
      auto answer = gateway::act_on_people(installation_->people_desk(), match.route->handler,
                                           actor_, match.argument, text_of(body));
      if (!answer) {
        return fail(Code::invalid_argument, answer.error().message);
      }
      return *std::move(answer);
    }
    if (!gateway::is_leak(match.route->handler)) {
      return fail(Code::internal, "no such route: " + method + " " + path);
    }
    const auto request = gateway::read_leak_request(match.route->handler, text_of(body));
    if (!request) {
      return fail(Code::invalid_argument, request.error().message);
    }
    return gateway::act_on_leaks(installation_->leak_desk(), match.route->handler, actor_,
                                 match.argument, *request);
  }
  [[nodiscard]] bool served() const override { return false; }

 private:
  std::unique_ptr<Installation> installation_;
  identity::Actor actor_;
  const Config config_;
};

}  // namespace

Result<std::unique_ptr<AdminDesk>> AdminDesk::open(const DataFolder& folder, const Config& config,
                                                   const Clock& clock) {
  std::error_code error;
  if (!std::filesystem::exists(folder.database(), error)) {
    return fail(Code::not_found,
                "there is no data folder at " + folder.root().string() + "; name it with --data");
  }
  auto installation = Installation::open(folder, config, clock);
  if (installation) {
    TRY(identity::Actor actor, local_actor());
    return std::unique_ptr<AdminDesk>(
        new OfflineAdminDesk(*std::move(installation), std::move(actor), config));
  }
  if (installation.error().code == Code::already_exists) {
    return std::unique_ptr<AdminDesk>(new ServerAdminDesk(folder));
  }
  return std::unexpected(installation.error());
}

int run_at_admin_desk(const std::string& data, const std::string& config,
                      const std::function<Result<>(AdminDesk&)>& action) {
  const auto loaded = load_config_or_report(config);
  if (!loaded) {
    return kUsage;
  }
  const SystemClock clock;
  const auto desk = AdminDesk::open(DataFolder(data), *loaded, clock);
  if (!desk) {
    return report(desk.error());
  }
  const auto done = action(**desk);
  return done ? kSuccess : report(done.error());
}

}  // namespace deepmoat::cli
