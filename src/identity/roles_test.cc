// The permission table against the matrix that the product promises.
#include "identity/roles.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace deepmoat::identity {
namespace {

TEST(Roles, MayDoWhatWasPromisedAndNothingElse) {
  using enum Permission;
  const std::map<Role, std::set<Permission>> promised{
      {Role::user,
       {call_models, see_models, see_own_usage, rotate_own_key, own_session, see_receipts}},
      {Role::operator_,
       {call_models, see_logprobs, see_models, see_own_usage, rotate_own_key, see_status,
        change_parameters, own_session, see_receipts}},
      {Role::admin,
       {call_models, see_logprobs, see_models, see_own_usage, rotate_own_key, see_status,
        change_parameters, manage_keys, own_session, manage_custody, see_receipts}},
      {Role::auditor, {rotate_own_key, read_audit, own_session, manage_audit, see_receipts}}};
  for (const Role role : kRoles) {
    for (const Permission permission : kPermissions) {
      EXPECT_EQ(allowed(role, permission), promised.at(role).contains(permission))
          << role_name(role) << " " << permission_name(permission);
    }
  }
}

TEST(Roles, KeepNobodyBothManagingKeysAndReadingTheAuditLog) {
  for (const Role role : kRoles) {
    EXPECT_FALSE(allowed(role, Permission::manage_keys) && allowed(role, Permission::read_audit));
    EXPECT_FALSE(allowed(role, Permission::manage_keys) && allowed(role, Permission::manage_audit));
  }
}

TEST(Roles, ReachTheirOwnTenantAndFromHomeEveryone) {
  EXPECT_TRUE(reaches(TenantId("a"), TenantId("a")));
  EXPECT_FALSE(reaches(TenantId("a"), TenantId("b")));
  EXPECT_FALSE(reaches(TenantId("a"), TenantId("default")));
  EXPECT_TRUE(reaches(TenantId("default"), TenantId("b")));
  EXPECT_FALSE(reaches(TenantId(""), TenantId("b")));
}

TEST(Roles, LeaveWhatAllTenantsShareToTheHomeTenant) {
  using enum Permission;
  const std::set<Permission> shared{change_parameters, manage_custody};
  for (const Permission permission : kPermissions) {
    EXPECT_EQ(needs_home_tenant(permission), shared.contains(permission))
        << permission_name(permission);
  }
}

TEST(Roles, AreReadExactly) {
  for (const Role role : kRoles) {
    EXPECT_EQ(*parse_role(role_name(role)), role);
  }
  // A name has one spelling (Vault CVE-2025-5999: another case was another, unlimited, name).
  for (const std::string text : {"",
                                 "Admin",
                                 "ADMIN",
                                 "aDMIN",
                                 "admin ",
                                 " admin",
                                 "admin\t",
                                 "admin\n",
                                 "root",
                                 "operator_",
                                 "Operator",
                                 "USER",
                                 "Auditor",
                                 "\xD0\xB0"
                                 "dmin",
                                 "\xEF\xBD\x81"
                                 "dmin",
                                 "admin\xE2\x80\x8B",
                                 "adm\xC4\xB1n",
                                 "admi",
                                 "admins",
                                 "admin,user",
                                 "admin;user"}) {
    EXPECT_EQ(parse_role(text).error().code, Code::invalid_argument) << text;
  }
  EXPECT_FALSE(parse_role(std::string_view("admin\0", 6)));
  EXPECT_FALSE(parse_role(std::string_view("user\0admin", 10)));
  for (const Permission permission : kPermissions) {
    EXPECT_EQ(*parse_permission(permission_name(permission)), permission);
  }
  for (const char* text : {"", "Manage_keys", "MANAGE_KEYS", "manage_keys ", "manage-keys", "*"}) {
    EXPECT_EQ(parse_permission(text).error().code, Code::invalid_argument) << text;
  }
}

TEST(Roles, AreSetsOfPermissions) {
  for (const Role role : kRoles) {
    const PermissionSet all = permissions_of(role);
    EXPECT_TRUE(PermissionSet().within(all));
    EXPECT_TRUE(all.within(all));
    for (const Permission permission : kPermissions) {
      EXPECT_EQ(all.has(permission), allowed(role, permission));
      PermissionSet one;
      one.add(permission);
      EXPECT_EQ(one.within(all), allowed(role, permission));
      EXPECT_EQ(all.with(one).has(permission), true);
    }
  }
  EXPECT_FALSE(permissions_of(Role::admin).within(permissions_of(Role::user)));
}

TEST(Roles, PrintTheTable) {
  EXPECT_EQ(permissions_markdown(),
            "| permission | user | operator | admin | auditor |\n"
            "|---|---|---|---|---|\n"
            "| call_models | yes | yes | yes | - |\n"
            "| see_logprobs | - | yes | yes | - |\n"
            "| see_models | yes | yes | yes | - |\n"
            "| see_own_usage | yes | yes | yes | - |\n"
            "| rotate_own_key | yes | yes | yes | yes |\n"
            "| see_status | - | yes | yes | - |\n"
            "| change_parameters | - | yes | yes | - |\n"
            "| manage_keys | - | - | yes | - |\n"
            "| read_audit | - | - | - | yes |\n"
            "| own_session | yes | yes | yes | yes |\n"
            "| manage_custody | - | - | yes | - |\n"
            "| manage_audit | - | - | - | yes |\n"
            "| see_receipts | yes | yes | yes | yes |\n");
}

}  // namespace
}  // namespace deepmoat::identity
