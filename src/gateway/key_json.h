// Keys and tenants as JSON; for the admin interface and for the command line without a server.
#pragma once

#include <nlohmann/json.hpp>

#include <string_view>

#include "identity/key_service.h"
#include "identity/tenant_service.h"
#include "wire/refusal.h"

namespace deepmoat::gateway {

// Times in Unix seconds. What the key is bound to is always there, empty where it is not.
[[nodiscard]] nlohmann::ordered_json key_json(const identity::KeyInfo& key);
[[nodiscard]] nlohmann::ordered_json tenant_json(const identity::Tenant& tenant);

// Bodies of requests (wire/key_request.h) for the services.
[[nodiscard]] wire::OrRefusal<identity::CreateKey> create_key_of(std::string_view body,
                                                                 std::int64_t lifetime_days);
[[nodiscard]] wire::OrRefusal<identity::KeyChange> change_key_of(std::string_view body);
struct TenantBody {
  std::string name;  // empty in a change
  identity::TenantChange fields;
};
[[nodiscard]] wire::OrRefusal<TenantBody> create_tenant_of(std::string_view body);
[[nodiscard]] wire::OrRefusal<TenantBody> change_tenant_of(std::string_view body);

}  // namespace deepmoat::gateway
