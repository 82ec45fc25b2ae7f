// Roles, permissions, and the one table that joins them (permissions.cc). Pure; thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/strong.h"

namespace deepmoat::identity {

enum class Role : std::uint8_t { user, operator_, admin, auditor };

enum class Permission : std::uint8_t {
  call_models,        // chat, completions, embeddings, predict and the like
  see_logprobs,       // log probabilities of the tokens of an answer
  see_models,         // the list of models
  see_own_usage,      // usage and limits of the caller's own key
  rotate_own_key,     // give the caller's own key a successor, with a one-time password
  see_status,         // queues, workers and usage of all keys of the tenant
  change_parameters,  // reload, limits, load and unload models
  manage_keys,        // create, list, show, change, revoke, expire; tenants and people too
  read_audit,         // read and verify the audit log
  own_session,        // see and end the session that the caller signed in to
  manage_custody,     // see and roll the root keys
  manage_audit,       // say which content is kept and what is held, and read kept content
  see_receipts,       // proofs of the caller's own calls, the key that checks them, and checkpoints
};

inline constexpr std::array kRoles{Role::user, Role::operator_, Role::admin, Role::auditor};
inline constexpr std::array kPermissions{
    Permission::call_models,       Permission::see_logprobs,   Permission::see_models,
    Permission::see_own_usage,     Permission::rotate_own_key, Permission::see_status,
    Permission::change_parameters, Permission::manage_keys,    Permission::read_audit,
    Permission::own_session,       Permission::manage_custody, Permission::manage_audit,
    Permission::see_receipts};

// The tenant of keys that name none. Its administrators and operators run the installation, so
// they reach every tenant.
inline constexpr std::string_view kHomeTenant = "default";

[[nodiscard]] bool allowed(Role role, Permission permission);

// Some permissions; a value.
class PermissionSet {
 public:
  constexpr PermissionSet() = default;
  void add(Permission permission) { bits_ |= bit(permission); }
  [[nodiscard]] bool has(Permission permission) const { return (bits_ & bit(permission)) != 0; }
  [[nodiscard]] bool within(PermissionSet other) const { return (bits_ & ~other.bits_) == 0; }
  [[nodiscard]] PermissionSet with(PermissionSet other) const {
    PermissionSet both = *this;
    both.bits_ |= other.bits_;
    return both;
  }
  bool operator==(const PermissionSet&) const = default;

 private:
  static std::uint32_t bit(Permission permission) {
    return std::uint32_t{1} << static_cast<unsigned>(permission);
  }
  std::uint32_t bits_ = 0;
};

[[nodiscard]] PermissionSet permissions_of(Role role);

// Whether the permission is about what all tenants share (models, root keys): then only keys of the
// home tenant have it, whatever their role. Somebody of another tenant would act on strangers'
// calls.
[[nodiscard]] bool needs_home_tenant(Permission permission);

// Whether somebody of tenant `own` may see or change things of tenant `other` at all. A caller
// who may not gets "not found", so that he cannot learn that the thing exists.
[[nodiscard]] bool reaches(const TenantId& own, const TenantId& other);

[[nodiscard]] std::string_view role_name(Role role);                    // "user", "operator", ...
[[nodiscard]] std::string_view permission_name(Permission permission);  // "call_models", ...
// Code::invalid_argument with the accepted names.
[[nodiscard]] Result<Role> parse_role(std::string_view name);
// Code::invalid_argument with the accepted names.
[[nodiscard]] Result<Permission> parse_permission(std::string_view name);

// The table as Markdown, for docs/ and `deepmoat key roles`.
[[nodiscard]] std::string permissions_markdown();

}  // namespace deepmoat::identity
