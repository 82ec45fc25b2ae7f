#include "cli/key_desk.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/random.h"
#include "cli/installation.h"
#include "cli/local_client.h"
#include "gateway/key_json.h"

namespace deepmoat::cli {

namespace {

class ServerDesk final : public KeyDesk {
 public:
  explicit ServerDesk(DataFolder folder) : folder_(std::move(folder)) {}

  Result<Json> create(const Json& request) override {
    return ask_server(folder_, "POST", "/admin/v1/keys", request.dump());
  }
  Result<Json> list() override {
    TRY(Json answer, ask_server(folder_, "GET", "/admin/v1/keys", ""));
    return answer.at("data");
  }
  Result<Json> show(const std::string& key) override {
    return ask_server(folder_, "GET", "/admin/v1/keys/" + key, "");
  }
  Result<Json> revoke(const std::string& key, const std::string& reason) override {
    return ask_server(folder_, "POST", "/admin/v1/keys/" + key + "/revoke",
                      Json{{"reason", reason}}.dump());
  }
  Result<Json> expire(const std::string& key, std::int64_t at_s) override {
    return ask_server(folder_, "POST", "/admin/v1/keys/" + key + "/expire",
                      Json{{"expires_at", at_s}}.dump());
  }

 private:
  DataFolder folder_;
};

class OfflineDesk final : public KeyDesk {
 public:
  OfflineDesk(std::unique_ptr<Installation> installation, identity::Actor actor)
      : installation_(std::move(installation)), actor_(std::move(actor)) {}

  Result<Json> create(const Json& request) override {
    TRY(const identity::Role role, identity::parse_role(request.at("role").get<std::string>()));
    TRY(const identity::CreatedKey created,
        installation_->keys().create(actor_, {.client_id = request.at("client_id"),
                                              .role = role,
                                              .tenant = request.at("tenant"),
                                              .lifetime_s = request.at("lifetime_s"),
                                              .label = request.at("label")}));
    Json json = gateway::key_json(created.info);
    json["key"] = created.shown.reveal();
    return json;
  }

  Result<Json> list() override {
    TRY(const auto keys, installation_->keys().list(actor_));
    Json list = Json::array();
    for (const identity::KeyInfo& key : keys) {
      list.push_back(gateway::key_json(key));
    }
    return list;
  }

  Result<Json> show(const std::string& key) override {
    return json_of(installation_->keys().show(actor_, key));
  }

  Result<Json> revoke(const std::string& key, const std::string& reason) override {
    return json_of(installation_->keys().revoke(actor_, key, reason));
  }

  Result<Json> expire(const std::string& key, std::int64_t at_s) override {
    return json_of(installation_->keys().expire(actor_, key, at_s * 1000));
  }

 private:
  static Result<Json> json_of(const Result<identity::KeyInfo>& key) {
    if (!key) {
      return std::unexpected(key.error());
    }
    return gateway::key_json(*key);
  }

  std::unique_ptr<Installation> installation_;
  identity::Actor actor_;
};

}  // namespace

Result<identity::Actor> local_actor() {
  TRY(const std::string id, random_bytes(16));
  identity::Actor actor;
  actor.operator_id = fmt::format("local:{}", ::getuid());
  actor.role = "admin";
  actor.authentication = "command_line";
  actor.ip_address = "local";
  actor.request_id = to_hex(id);
  return actor;
}

Result<std::unique_ptr<KeyDesk>> KeyDesk::open(const DataFolder& folder, const Config& config,
                                               const Clock& clock, bool may_create) {
  std::error_code error;
  if (!may_create && !std::filesystem::exists(folder.database(), error)) {
    return fail(Code::not_found,
                "there is no data folder at " + folder.root().string() + "; name it with --data");
  }
  auto installation = Installation::open(folder, config, clock);
  if (installation) {
    TRY(identity::Actor actor, local_actor());
    return std::unique_ptr<KeyDesk>(new OfflineDesk(*std::move(installation), std::move(actor)));
  }
  if (installation.error().code == Code::already_exists) {
    return std::unique_ptr<KeyDesk>(new ServerDesk(folder));
  }
  return std::unexpected(installation.error());
}

}  // namespace deepmoat::cli
