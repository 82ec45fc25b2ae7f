#include "cli/model_desk.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/random.h"
#include "cli/installation.h"
#include "cli/local_client.h"
#include "cli/two_persons.h"
#include "gateway/catalog_service.h"

namespace deepmoat::cli {

namespace {

constexpr const char* kPath = "/admin/v1/catalog";

class ServerDesk final : public ModelDesk {
 public:
  explicit ServerDesk(DataFolder folder) : folder_(std::move(folder)) {}

  Result<Json> list() override {
    TRY(Json answer, ask_server(folder_, "GET", kPath, ""));
    return answer.at("data");
  }
  Result<Json> add(const Json& entry, const std::string& incoming) override {
    Json request = entry;
    request["incoming"] = incoming;
    return ask_server(folder_, "POST", kPath, request.dump());
  }
  Result<Json> pin(const std::string& name, const std::string& version) override {
    return ask_server(folder_, "POST", admin_path({"catalog", name, "pin"}),
                      Json{{"version", version}}.dump());
  }
  Result<Json> unpin(const std::string& name) override {
    return ask_server(folder_, "POST", admin_path({"catalog", name, "unpin"}), "{}");
  }
  Result<Json> remove(const std::string& name, const std::string& version) override {
    return ask_server(folder_, "POST", admin_path({"catalog", name, "remove"}),
                      Json{{"version", version}}.dump());
  }

 private:
  DataFolder folder_;
};

class OfflineDesk final : public ModelDesk {
 public:
  OfflineDesk(std::unique_ptr<Installation> installation, const DataFolder& folder,
              const Config& config, const Clock& clock)
      : installation_(std::move(installation)),
        config_(config),
        catalog_(installation_->database(), folder.models()),
        service_(catalog_, installation_->audit_log(), clock, nullptr) {}

  Result<Json> list() override {
    TRY(const identity::Actor actor, local_actor());
    return service_.list(actor);
  }
  Result<Json> add(const Json& entry, const std::string& incoming) override {
    TRY(const identity::Actor actor, local_actor());
    Json request = entry;
    request["incoming"] = incoming;
    return service_.add(actor, request);
  }
  Result<Json> pin(const std::string& name, const std::string& version) override {
    TRY(const identity::Actor actor, local_actor());
    return service_.pin(actor, name, version);
  }
  Result<Json> unpin(const std::string& name) override {
    TRY(const identity::Actor actor, local_actor());
    return service_.unpin(actor, name);
  }
  Result<Json> remove(const std::string& name, const std::string& version) override {
    CHECK_OK(check_one_person_may(config_, "model.remove"));
    TRY(const identity::Actor actor, local_actor());
    return service_.remove(actor, name, version);
  }

 private:
  static Result<identity::Actor> local_actor() {
    TRY(const std::string id, random_bytes(16));
    identity::Actor actor;
    actor.operator_id = fmt::format("local:{}", ::getuid());
    actor.role = "admin";
    actor.authentication = "command_line";
    actor.ip_address = "local";
    actor.request_id = to_hex(id);
    return actor;
  }

  std::unique_ptr<Installation> installation_;
  const Config config_;
  catalog::Catalog catalog_;
  gateway::CatalogService service_;
};

}  // namespace

Result<std::unique_ptr<ModelDesk>> ModelDesk::open(const DataFolder& folder, const Config& config,
                                                   const Clock& clock, bool may_create) {
  std::error_code error;
  if (!may_create && !std::filesystem::exists(folder.database(), error)) {
    return fail(Code::not_found,
                "there is no data folder at " + folder.root().string() + "; name it with --data");
  }
  auto installation = Installation::open(folder, config, clock);
  if (installation) {
    return std::unique_ptr<ModelDesk>(
        new OfflineDesk(*std::move(installation), folder, config, clock));
  }
  if (installation.error().code == Code::already_exists) {
    return std::unique_ptr<ModelDesk>(new ServerDesk(folder));
  }
  return std::unexpected(installation.error());
}

Result<Json> choose_entry(const Json& entries, const std::string& name,
                          const std::string& version) {
  const Json* chosen = nullptr;
  for (const Json& entry : entries) {
    if (entry.at("name") != name) {
      continue;
    }
    const auto label = entry.at("version").get<std::string>();
    const auto digest = entry.at("sha256").get<std::string>();
    const bool fits = version.empty() || version == label ||
                      version == std::to_string(entry.at("number").get<std::int64_t>()) ||
                      (version.size() >= 8 && digest.starts_with(version));
    if (fits && (!version.empty() || chosen == nullptr || !chosen->at("pinned").get<bool>())) {
      chosen = &entry;
    }
  }
  if (chosen == nullptr) {
    return fail(Code::not_found, "no imported model is called " + name +
                                     (version.empty() ? "" : " in version " + version) +
                                     "; see `deepmoat model list`");
  }
  return *chosen;
}

}  // namespace deepmoat::cli
