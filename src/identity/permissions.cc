// The one table of who may do what. Everything that asks goes through allowed(). Pure.
#include <fmt/format.h>

#include <cstddef>

#include "identity/roles.h"

namespace deepmoat::identity {

namespace {

struct Row {
  Permission permission;
  std::string_view name;
  bool user;
  bool operator_;
  bool admin;
  bool auditor;
};

// Three-way separation (GB/T 22239-2019 8.1.4.2): whoever administers keys cannot read the audit
// log that he is written into, and the auditor can do nothing but read it and say what it keeps.
constexpr std::array kTable{
    //  permission                      name                 user   oper.  admin  auditor
    Row{Permission::call_models, "call_models", true, true, true, false},
    Row{Permission::see_logprobs, "see_logprobs", false, true, true, false},
    Row{Permission::see_models, "see_models", true, true, true, false},
    Row{Permission::see_own_usage, "see_own_usage", true, true, true, false},
    Row{Permission::rotate_own_key, "rotate_own_key", true, true, true, true},
    Row{Permission::see_status, "see_status", false, true, true, false},
    Row{Permission::change_parameters, "change_parameters", false, true, true, false},
    Row{Permission::manage_keys, "manage_keys", false, false, true, false},
    Row{Permission::read_audit, "read_audit", false, false, false, true},
    Row{Permission::own_session, "own_session", true, true, true, true},
    Row{Permission::manage_custody, "manage_custody", false, false, true, false},
    Row{Permission::manage_audit, "manage_audit", false, false, false, true},
    Row{Permission::see_receipts, "see_receipts", true, true, true, true},
};

// allowed() indexes the table by the permission's number.
constexpr bool in_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (kTable[i].permission != kPermissions[i] || static_cast<std::size_t>(kPermissions[i]) != i) {
      return false;
    }
  }
  return kTable.size() == kPermissions.size();
}
static_assert(in_order(), "the table has a row for every permission, in the order of the enum");

}  // namespace

bool allowed(Role role, Permission permission) {
  const Row& row = kTable[static_cast<std::size_t>(permission)];
  switch (role) {
    case Role::user:
      return row.user;
    case Role::operator_:
      return row.operator_;
    case Role::admin:
      return row.admin;
    case Role::auditor:
      return row.auditor;
  }
  return false;
}

bool reaches(const TenantId& own, const TenantId& other) {
  return own == other || own.value() == kHomeTenant;
}

std::string_view role_name(Role role) {
  switch (role) {
    case Role::user:
      return "user";
    case Role::operator_:
      return "operator";
    case Role::admin:
      return "admin";
    case Role::auditor:
      return "auditor";
  }
  return "unknown";
}

std::string_view permission_name(Permission permission) {
  return kTable[static_cast<std::size_t>(permission)].name;
}

Result<Role> parse_role(std::string_view name) {
  for (const Role role : kRoles) {
    if (name == role_name(role)) {
      return role;
    }
  }
  return fail(Code::invalid_argument, "role: must be one of user, operator, admin, auditor");
}

Result<Permission> parse_permission(std::string_view name) {
  std::string names;
  for (const Permission permission : kPermissions) {
    if (name == permission_name(permission)) {
      return permission;
    }
    names += (names.empty() ? "" : ", ") + std::string(permission_name(permission));
  }
  return fail(Code::invalid_argument, "permission: must be one of " + names);
}

PermissionSet permissions_of(Role role) {
  PermissionSet permissions;
  for (const Permission permission : kPermissions) {
    if (allowed(role, permission)) {
      permissions.add(permission);
    }
  }
  return permissions;
}

bool needs_home_tenant(Permission permission) {
  return permission == Permission::change_parameters || permission == Permission::manage_custody;
}

std::string permissions_markdown() {
  std::string text = "| permission |";
  for (const Role role : kRoles) {
    text += fmt::format(" {} |", role_name(role));
  }
  text += "\n|---|";
  for ([[maybe_unused]] const Role role : kRoles) {
    text += "---|";
  }
  text += '\n';
  for (const Permission permission : kPermissions) {
    text += fmt::format("| {} |", permission_name(permission));
    for (const Role role : kRoles) {
      text += allowed(role, permission) ? " yes |" : " - |";
    }
    text += '\n';
  }
  return text;
}

}  // namespace deepmoat::identity
