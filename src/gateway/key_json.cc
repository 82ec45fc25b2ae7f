#include "gateway/key_json.h"

#include "wire/key_request.h"
#include "wire/request_reader.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

identity::KeyChange change_of(wire::KeyFields fields) {
  return {.label = std::move(fields.label),
          .models = std::move(fields.models),
          .adapter = std::move(fields.adapter),
          .adapter_only = fields.adapter_only,
          .ip_ranges = std::move(fields.ip_ranges),
          .data_class = std::move(fields.data_class),
          .scopes = std::move(fields.scopes),
          .requests_per_minute = fields.requests_per_minute,
          .tokens_per_minute = fields.tokens_per_minute,
          .concurrent_calls = fields.concurrent_calls,
          .labels = std::move(fields.labels)};
}

TenantBody tenant_of(wire::TenantRequest request) {
  return {.name = std::move(request.name),
          .fields = {.organisation = std::move(request.organisation),
                     .label = std::move(request.label)}};
}

void add_attributes(const identity::KeyAttributes& attributes, Json& json) {
  json["models"] = attributes.models;
  json["adapter"] = attributes.adapter;
  json["adapter_only"] = attributes.adapter_only;
  json["ip_ranges"] = attributes.ip_ranges;
  json["data_class"] = attributes.data_class;
  json["scopes"] = attributes.scopes;
  json["limits"] = {{"requests_per_minute", attributes.limits.requests_per_minute},
                    {"tokens_per_minute", attributes.limits.tokens_per_minute},
                    {"concurrent_calls", attributes.limits.concurrent_calls}};
  Json labels = Json::object();
  for (const auto& [name, value] : attributes.labels) {
    labels[name] = value;
  }
  json["labels"] = std::move(labels);
}

}  // namespace

Json key_json(const identity::KeyInfo& key) {
  Json json = {{"id", key.key_id.value()},
               {"client_id", key.client_id.value()},
               {"tenant", key.tenant.value()},
               {"role", key.role},
               {"kind", key.kind},
               {"label", key.label},
               {"state", identity::state_name(key.state)},
               {"created_at", key.created_ms / 1000},
               {"expires_at", key.expires_ms / 1000}};
  add_attributes(key.attributes, json);
  if (key.revoked_ms != 0) {
    json["revoked_at"] = key.revoked_ms / 1000;
    json["revoke_reason"] = key.revoke_reason;
  }
  if (!key.predecessor.value().empty()) {
    json["predecessor"] = key.predecessor.value();
  }
  if (key.overlap_until_ms != 0 && key.state == identity::KeyState::active) {
    json["overlap_until"] = key.overlap_until_ms / 1000;
  }
  return json;
}

Json tenant_json(const identity::Tenant& tenant) {
  return {{"name", tenant.name.value()},
          {"organisation", tenant.organisation},
          {"label", tenant.label},
          {"created_at", tenant.created_ms / 1000}};
}

wire::OrRefusal<identity::CreateKey> create_key_of(std::string_view body,
                                                   std::int64_t lifetime_days) {
  wire::RequestReader reader;
  TRY(wire::CreateKeyRequest request, reader.create_key(body));
  const auto role = identity::parse_role(request.role);
  if (!role) {
    return std::unexpected(wire::invalid("role", role.error().message));
  }
  constexpr std::int64_t kSecondsPerDay = 86'400;
  const std::int64_t lifetime_s =
      request.lifetime_s > 0 ? request.lifetime_s : lifetime_days * kSecondsPerDay;
  identity::CreateKey create{.client_id = std::move(request.client_id),
                             .role = *role,
                             .tenant = std::move(request.tenant),
                             .lifetime_s = lifetime_s,
                             .label = request.fields.label.value_or("")};
  identity::apply(change_of(std::move(request.fields)), create.attributes);
  return create;
}

wire::OrRefusal<identity::KeyChange> change_key_of(std::string_view body) {
  wire::RequestReader reader;
  TRY(wire::KeyFields fields, reader.change_key(body));
  return change_of(std::move(fields));
}

wire::OrRefusal<TenantBody> create_tenant_of(std::string_view body) {
  wire::RequestReader reader;
  TRY(wire::TenantRequest request, reader.create_tenant(body));
  return tenant_of(std::move(request));
}

wire::OrRefusal<TenantBody> change_tenant_of(std::string_view body) {
  wire::RequestReader reader;
  TRY(wire::TenantRequest request, reader.change_tenant(body));
  return tenant_of(std::move(request));
}

}  // namespace deepmoat::gateway
