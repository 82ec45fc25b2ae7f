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
      {Role::user, {call_models, see_models, see_own_usage, rotate_own_key}},
      {Role::operator_,
       {call_models, see_logprobs, see_models, see_own_usage, rotate_own_key, see_status,
        change_parameters}},
      {Role::admin,
       {call_models, see_logprobs, see_models, see_own_usage, rotate_own_key, see_status,
        change_parameters, manage_keys}},
      {Role::auditor, {rotate_own_key, read_audit}}};
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
  }
}

TEST(Roles, ReachTheirOwnTenantAndFromHomeEveryone) {
  EXPECT_TRUE(reaches(TenantId("a"), TenantId("a")));
  EXPECT_FALSE(reaches(TenantId("a"), TenantId("b")));
  EXPECT_FALSE(reaches(TenantId("a"), TenantId("default")));
  EXPECT_TRUE(reaches(TenantId("default"), TenantId("b")));
  EXPECT_FALSE(reaches(TenantId(""), TenantId("b")));
}

TEST(Roles, AreReadExactly) {
  for (const Role role : kRoles) {
    EXPECT_EQ(*parse_role(role_name(role)), role);
  }
  for (const char* text : {"", "Admin", "admin ", "root", "operator_"}) {
    EXPECT_EQ(parse_role(text).error().code, Code::invalid_argument) << text;
  }
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
            "| read_audit | - | - | - | yes |\n");
}

}  // namespace
}  // namespace deepmoat::identity
