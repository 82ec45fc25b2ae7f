// The rows of calls that wait for a second person, and of what became of them. One thread at a
// time, as all of Database.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/database.h"

namespace deepmoat::store {

// One call; identity/approvals.h says what each field means.
struct ApprovalRow {
  std::string approval_id;  // "apr_" + 24 hex digits
  // Who asked.
  std::string tenant;
  std::string operator_id;
  std::string key_id;
  std::string role;
  std::string authentication;
  std::string ip_address;
  std::string scopes;  // permissions with a space between two; empty: all of the role
  // For what.
  std::string route;  // method and pattern
  std::string argument;
  std::string body;
  std::string action;
  std::string resource;
  UnixMillis created_ms = 0;
  UnixMillis expires_ms = 0;
  // What became of it.
  std::string state;  // "waiting", "approved", "done", "failed", "refused", "withdrawn"
  std::string decided_tenant;
  std::string decided_by;
  std::string decided_key_id;
  UnixMillis decided_ms = 0;
  std::string reason;       // of a refusal
  std::int64_t status = 0;  // HTTP, of the call that was carried out
  std::string row_mac;      // HMAC over all of the above, 64 hex digits

  bool operator==(const ApprovalRow&) const = default;
};

class ApprovalTable {
 public:
  // `database` outlives it.
  explicit ApprovalTable(Database& database) : database_(database) {}

  Result<> insert(const ApprovalRow& row);
  Result<std::optional<ApprovalRow>> find(std::string_view approval_id);
  // The newest first; of all tenants when `tenant` is empty.
  Result<std::vector<ApprovalRow>> list(std::string_view tenant, std::int64_t count);
  // Those of the tenant that nobody has decided, be their time over or not.
  Result<std::vector<ApprovalRow>> list_waiting(std::string_view tenant);
  // Replaces what a decision changes, from `state` on, if the row is in `state_before`: of two who
  // decide, one does. Code::not_found for the other.
  Result<> update(const ApprovalRow& row, std::string_view state_before);
  // Forgets those that could be decided until `before_ms` at the latest.
  Result<> prune(UnixMillis before_ms);

 private:
  Database& database_;
};

}  // namespace deepmoat::store
