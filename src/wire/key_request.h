// Bodies of the administration of keys and tenants. Here a field that is not known is refused, not
// ignored: "ip_range" for "ip_ranges" would make a key that is good from everywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace deepmoat::wire {

// What a key is bound to; absent: as it was, or nothing. Bounds are for identity/ to check.
struct KeyFields {
  std::optional<std::string> label;
  std::optional<std::vector<std::string>> models;
  std::optional<std::string> adapter;
  std::optional<bool> adapter_only;
  std::optional<std::vector<std::string>> ip_ranges;
  std::optional<std::string> data_class;
  std::optional<std::vector<std::string>> scopes;
  std::optional<std::int64_t> requests_per_minute;  // of `limits`
  std::optional<std::int64_t> tokens_per_minute;
  std::optional<std::int64_t> concurrent_calls;
  std::optional<std::vector<std::pair<std::string, std::string>>> labels;
};

// POST /admin/v1/keys
struct CreateKeyRequest {
  std::string client_id;
  std::string role;
  std::string tenant;
  std::int64_t lifetime_s = 0;  // 0: the configured lifetime
  KeyFields fields;
};

// POST /admin/v1/tenants, and PATCH, which has no name.
struct TenantRequest {
  std::string name;
  std::optional<std::string> organisation;
  std::optional<std::string> label;
};

}  // namespace deepmoat::wire
