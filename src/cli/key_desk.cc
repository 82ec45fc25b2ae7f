#include "cli/key_desk.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/random.h"
#include "cli/installation.h"
#include "cli/local_client.h"
#include "cli/two_persons.h"
#include "gateway/key_json.h"
#include "gateway/second_factor_json.h"
#include "gateway/successor.h"

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
    return ask_server(folder_, "GET", admin_path({"keys", key}), "");
  }
  Result<Json> change(const std::string& key, const Json& fields) override {
    return ask_server(folder_, "PATCH", admin_path({"keys", key}), fields.dump());
  }
  Result<Json> revoke(const std::string& key, const std::string& reason) override {
    return ask_server(folder_, "POST", admin_path({"keys", key, "revoke"}),
                      Json{{"reason", reason}}.dump());
  }
  Result<Json> expire(const std::string& key, std::int64_t at_s) override {
    return ask_server(folder_, "POST", admin_path({"keys", key, "expire"}),
                      Json{{"expires_at", at_s}}.dump());
  }
  Result<Json> create_tenant(const Json& request) override {
    return ask_server(folder_, "POST", "/admin/v1/tenants", request.dump());
  }
  Result<Json> list_tenants() override {
    TRY(Json answer, ask_server(folder_, "GET", "/admin/v1/tenants", ""));
    return answer.at("data");
  }
  Result<Json> show_tenant(const std::string& name) override {
    return ask_server(folder_, "GET", admin_path({"tenants", name}), "");
  }
  Result<Json> change_tenant(const std::string& name, const Json& fields) override {
    return ask_server(folder_, "PATCH", admin_path({"tenants", name}), fields.dump());
  }
  Result<Json> rotate(const Secret& key, const Secret& code, std::int64_t) override {
    return ask_server(folder_, "POST", "/v1/keys/rotate",
                      Json{{"one_time_password", code.reveal()}}.dump(), key.reveal());
  }
  Result<Json> successor(const Secret& old_key, const Secret& code) override {
    return ask_server(folder_, "POST", "/v1/keys/successor",
                      Json{{"one_time_password", code.reveal()}}.dump(), old_key.reveal());
  }
  Result<Json> enrol_factor(const Json& request) override {
    return ask_server(folder_, "POST", "/admin/v1/second-factors", request.dump());
  }
  Result<Json> confirm_factor(const Json& request) override {
    return ask_server(folder_, "POST", "/admin/v1/second-factors/confirm", request.dump());
  }
  Result<Json> remove_factor(const Json& request) override {
    return ask_server(folder_, "POST", "/admin/v1/second-factors/remove", request.dump());
  }
  Result<Json> factor_status(const std::string& tenant, const std::string& client_id) override {
    return ask_server(folder_, "GET", admin_path({"second-factors", tenant, client_id}), "");
  }

 private:
  DataFolder folder_;
};

class OfflineDesk final : public KeyDesk {
 public:
  OfflineDesk(std::unique_ptr<Installation> installation, identity::Actor actor,
              const Config& config, const Clock& clock)
      : installation_(std::move(installation)),
        actor_(std::move(actor)),
        config_(config),
        clock_(clock) {}

  Result<Json> create(const Json& request) override {
    TRY(const auto create,
        read(gateway::create_key_of(request.dump(), config_.keys.lifetime_days)));
    CHECK_OK(check_one_person_may(config_, "key.create", request.dump()));
    TRY(const identity::CreatedKey created, installation_->keys().create(actor_, create));
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

  Result<Json> change(const std::string& key, const Json& fields) override {
    TRY(const auto change, read(gateway::change_key_of(fields.dump())));
    return json_of(installation_->keys().change(actor_, key, change));
  }

  Result<Json> revoke(const std::string& key, const std::string& reason) override {
    return json_of(installation_->keys().revoke(actor_, key, reason));
  }

  Result<Json> expire(const std::string& key, std::int64_t at_s) override {
    return json_of(installation_->keys().expire(actor_, key, at_s * 1000));
  }

  Result<Json> create_tenant(const Json& request) override {
    TRY(const auto tenant, read(gateway::create_tenant_of(request.dump())));
    return json_of(installation_->tenants().create(actor_, tenant.name, tenant.fields));
  }

  Result<Json> list_tenants() override {
    TRY(const auto tenants, installation_->tenants().list(actor_));
    Json list = Json::array();
    for (const identity::Tenant& tenant : tenants) {
      list.push_back(gateway::tenant_json(tenant));
    }
    return list;
  }

  Result<Json> show_tenant(const std::string& name) override {
    return json_of(installation_->tenants().show(actor_, name));
  }

  Result<Json> change_tenant(const std::string& name, const Json& fields) override {
    TRY(const auto tenant, read(gateway::change_tenant_of(fields.dump())));
    return json_of(installation_->tenants().change(actor_, name, tenant.fields));
  }

  Result<Json> rotate(const Secret& key, const Secret& code, std::int64_t lifetime_days) override {
    const auto principal =
        installation_->authenticator().authenticate_for_rotation(key.reveal(), clock_.unix_ms());
    if (!principal) {
      return fail(Code::unauthenticated,
                  std::string(identity::failure_message(principal.error().kind)));
    }
    TRY(const identity::Actor holder, holder_of(*principal));
    TRY(const identity::RotatedKey rotated,
        installation_->rotation().rotate(holder, principal->key_id, code.reveal(),
                                         lifetime_days * 86'400));
    return gateway::rotated_json(rotated);
  }

  Result<Json> successor(const Secret& old_key, const Secret& code) override {
    const auto principal =
        installation_->authenticator().authenticate(old_key.reveal(), clock_.unix_ms());
    if (!principal && !identity::has_ended(principal.error().kind)) {
      return fail(Code::unauthenticated,
                  std::string(identity::failure_message(principal.error().kind)));
    }
    identity::Actor holder = actor_;
    if (principal) {
      TRY(holder, holder_of(*principal));
    } else {
      holder.operator_id = principal.error().client_id.value();
      holder.key_id = principal.error().key_id.value();
      holder.role = "";  // an old key has none
      holder.tenant = principal.error().tenant;
    }
    TRY(const identity::FetchedKey fetched,
        installation_->leak_desk().successors.fetch(
            holder, KeyId(holder.key_id),
            {.tenant = holder.tenant.value(), .client_id = holder.operator_id}, code.reveal()));
    return gateway::fetched_json(fetched, holder.key_id);
  }

  Result<Json> enrol_factor(const Json& request) override {
    TRY(const crypto::OtpAlgorithm algorithm,
        crypto::parse_otp_algorithm(request.at("algorithm").get<std::string>()));
    TRY(const identity::Enrolment enrolment,
        installation_->second_factors().enrol(actor_, owner_of(request), algorithm));
    return gateway::enrolment_json(enrolment);
  }

  Result<Json> confirm_factor(const Json& request) override {
    TRY(const identity::Confirmation confirmation,
        installation_->second_factors().confirm(
            actor_, owner_of(request), request.at("one_time_password").get<std::string>()));
    return gateway::confirmation_json(confirmation);
  }

  Result<Json> remove_factor(const Json& request) override {
    CHECK_OK(check_one_person_may(config_, "second_factor.remove"));
    CHECK_OK(installation_->second_factors().remove(actor_, owner_of(request)));
    return request;
  }

  Result<Json> factor_status(const std::string& tenant, const std::string& client_id) override {
    TRY(const identity::FactorInfo factor,
        installation_->second_factors().status(actor_, {.tenant = tenant, .client_id = client_id}));
    return gateway::factor_json(factor);
  }

 private:
  // The client whose key it is. The first use of a successor ends the key before it.
  Result<identity::Actor> holder_of(const identity::Principal& principal) {
    identity::Actor holder = actor_;
    holder.operator_id = principal.client_id.value();
    holder.key_id = principal.key_id.value();
    holder.role = identity::role_name(principal.role);
    holder.tenant = principal.tenant;
    if (!principal.replaced.value().empty()) {
      CHECK_OK(installation_->rotation().retire_predecessor(holder, principal.key_id));
    }
    return holder;
  }
  static identity::FactorOwner owner_of(const Json& request) {
    return {.tenant = request.at("tenant"), .client_id = request.at("client_id")};
  }

  static Result<Json> json_of(const Result<identity::KeyInfo>& key) {
    if (!key) {
      return std::unexpected(key.error());
    }
    return gateway::key_json(*key);
  }
  static Result<Json> json_of(const Result<identity::Tenant>& tenant) {
    if (!tenant) {
      return std::unexpected(tenant.error());
    }
    return gateway::tenant_json(*tenant);
  }
  // What the admin interface would refuse is refused with its words.
  template <class T>
  static Result<T> read(wire::OrRefusal<T> request) {
    if (!request) {
      return fail(Code::invalid_argument, request.error().message);
    }
    return *std::move(request);
  }

  std::unique_ptr<Installation> installation_;
  identity::Actor actor_;
  const Config config_;
  const Clock& clock_;
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
    return std::unique_ptr<KeyDesk>(
        new OfflineDesk(*std::move(installation), std::move(actor), config, clock));
  }
  if (installation.error().code == Code::already_exists) {
    return std::unique_ptr<KeyDesk>(new ServerDesk(folder));
  }
  return std::unexpected(installation.error());
}

}  // namespace deepmoat::cli
