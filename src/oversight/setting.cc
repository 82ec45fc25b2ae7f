#include "oversight/setting.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/hex.h"
#include "base/random.h"
#include "identity/key_attributes.h"
#include "identity/key_service.h"

namespace deepmoat::oversight {

namespace {
constexpr std::size_t kIdRandomBytes = 12;
constexpr std::int64_t kLatestTimeS = 253'402'300'799;  // 9999-12-31T23:59:59Z
}  // namespace

Result<std::string> new_setting_id(std::string_view prefix) {
  TRY(const std::string random, random_bytes(kIdRandomBytes));
  return std::string(prefix) + to_hex(random);
}

Result<> check_reason(std::string_view reason) {
  CHECK_OK(identity::check_text("reason", reason, kReasonBytesMax));
  if (reason.size() < kReasonBytesMin || reason.find_first_not_of(' ') == std::string_view::npos) {
    return fail(Code::invalid_argument,
                fmt::format("reason: say why, in at least {} characters", kReasonBytesMin));
  }
  return {};
}

Result<> check_reach(const identity::Actor& actor, std::string_view tenant) {
  if (!may_see(actor, tenant)) {
    return fail(Code::permission_denied,
                "tenant: what is set for all tenants, or for another one, needs an auditor of "
                "tenant \"default\"");
  }
  return {};
}

Result<> check_tenant_exists(store::Database& database, const std::string& tenant) {
  if (tenant.empty() || tenant == identity::kHomeTenant) {
    return {};
  }
  TRY(const std::vector<store::TenantRow> tenants, database.list_tenants());
  return std::ranges::find(tenants, tenant, &store::TenantRow::name) != tenants.end()
             ? Result<>()
             : fail(
                   Code::invalid_argument,
                   fmt::format("tenant: there is no tenant {}; see: deepmoat tenant list", tenant));
}

Result<std::string> whole_key_id(store::Database& database, const identity::Actor& actor,
                                 const std::string& reference) {
  TRY(const std::vector<store::KeyRow> keys, database.list_keys());
  std::vector<std::string> found;
  for (const store::KeyRow& key : keys) {
    if (key.key_id.starts_with(reference) && may_see(actor, key.tenant)) {
      found.push_back(key.key_id);
    }
  }
  if (std::ranges::find(found, reference) != found.end()) {
    return reference;
  }
  if (found.size() == 1 && reference.size() >= identity::kKeyReferenceBytesMin) {
    return found.front();
  }
  return fail(Code::invalid_argument,
              found.empty() ? "key_id: there is no such key; see: deepmoat key list"
                            : "key_id: it fits more than one key, or is shorter than 8 characters; "
                              "give the whole id");
}

bool may_see(const identity::Actor& actor, std::string_view tenant) {
  return identity::reaches(actor.tenant, TenantId(std::string(tenant)));
}

Result<> check_made_by(const identity::Actor& actor, std::string_view made_by) {
  const std::string home = std::string(identity::kHomeTenant) + '/';
  if (made_by.starts_with(home) && actor.tenant.value() != identity::kHomeTenant) {
    return fail(Code::permission_denied,
                fmt::format("{} has set this, and an auditor of that tenant ends it", made_by));
  }
  return {};
}

std::string name_of(const identity::Actor& actor) {
  return fmt::format("{}/{}", actor.tenant.value(), actor.operator_id);
}

Result<> check_time_s(std::string_view field, std::int64_t unix_s) {
  if (unix_s < 0 || unix_s > kLatestTimeS) {
    return fail(Code::invalid_argument,
                fmt::format("{}: must be a time in seconds since 1970, or left out", field));
  }
  return {};
}

}  // namespace deepmoat::oversight
