// What an administrator does with tenants: create, list, show, change. A tenant is a department;
// it may belong to an organisation, and its clients hold the keys. What a tenant may do is in the
// configuration; here is what people call it. Blocking; used from one blocking thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "identity/audited_action.h"
#include "store/database.h"

namespace deepmoat::identity {

struct Tenant {
  TenantId name;
  std::string organisation;  // empty: none
  std::string label;
  UnixMillis created_ms = 0;

  bool operator==(const Tenant&) const = default;
};

struct TenantChange {
  std::optional<std::string> organisation = {};
  std::optional<std::string> label = {};
};

class TenantService {
 public:
  // What is referred to must outlive the service.
  TenantService(store::Database& database, AppendAudit append, const Clock& clock);

  // Errors of all: Code::unavailable when the log or the database cannot be written,
  // Code::invalid_argument with the field. Only administrators of the home tenant create and
  // change (Code::permission_denied); others see their own tenant, and no other exists for them.
  // Code::already_exists: also one that a key's creation made.
  Result<Tenant> create(const Actor& actor, std::string_view name, const TenantChange& fields);
  Result<std::vector<Tenant>> list(const Actor& actor);  // sorted by name
  Result<Tenant> show(const Actor& actor, std::string_view name);
  Result<Tenant> change(const Actor& actor, std::string_view name, const TenantChange& fields);

 private:
  Result<store::TenantRow> find(const Actor& actor, std::string_view name);

  store::Database& database_;
  AppendAudit append_;
  const Clock& clock_;
};

}  // namespace deepmoat::identity
