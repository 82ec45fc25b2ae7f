// Administration of tenants. One blocking thread.
#include "identity/tenant_service.h"

#include <fmt/format.h>

#include <algorithm>

#include "identity/api_key.h"
#include "identity/key_attributes.h"

namespace deepmoat::identity {

namespace {

constexpr std::size_t kTextBytesMax = 200;

Tenant tenant_of(const store::TenantRow& row) {
  return {.name = TenantId(row.name),
          .organisation = row.organisation,
          .label = row.label,
          .created_ms = row.created_ms};
}

Result<> check_fields(const TenantChange& fields) {
  CHECK_OK(check_text("organisation", fields.organisation.value_or(""), kTextBytesMax));
  return check_text("label", fields.label.value_or(""), kTextBytesMax);
}

Result<> check_home(const Actor& actor) {
  if (actor.tenant.value() != kHomeTenant) {
    return fail(Code::permission_denied,
                "tenant: only administrators of the tenant \"default\" create and change tenants");
  }
  return {};
}

std::string summary_of(const TenantChange& fields) {
  std::string text;
  if (fields.organisation) {
    text += fmt::format("organisation={:?}", *fields.organisation);
  }
  if (fields.label) {
    text += fmt::format("{}label={:?}", text.empty() ? "" : "; ", *fields.label);
  }
  return text;
}

// What goes on record before anything was checked is no longer than a name.
AuditedAction action_of(audit::Operation operation, std::string verb, std::string_view name,
                        const TenantChange& fields = {}) {
  constexpr std::size_t kNameBytesMax = 63;
  return {operation, "tenant." + std::move(verb), std::string(name.substr(0, kNameBytesMax)),
          check_fields(fields) ? summary_of(fields) : std::string()};
}

}  // namespace

TenantService::TenantService(store::Database& database, AppendAudit append, const Clock& clock)
    : database_(database), append_(std::move(append)), clock_(clock) {}

Result<store::TenantRow> TenantService::find(const Actor& actor, std::string_view name) {
  TRY(const std::vector<store::TenantRow> rows, database_.list_tenants());
  const auto found = std::ranges::find(rows, name, &store::TenantRow::name);
  if (found == rows.end() || !reaches(actor.tenant, TenantId(found->name))) {
    return fail(Code::not_found, "no such tenant");
  }
  return *found;
}

Result<Tenant> TenantService::create(const Actor& actor, std::string_view name,
                                     const TenantChange& fields) {
  return audited<Tenant>(append_, actor, action_of(audit::Operation::write, "create", name, fields),
                         [&](AuditedAction&) -> Result<Tenant> {
                           CHECK_OK(check_home(actor));
                           CHECK_OK(check_name("name", name));
                           CHECK_OK(check_fields(fields));
                           const store::TenantRow row{
                               .name = std::string(name),
                               .organisation = fields.organisation.value_or(""),
                               .label = fields.label.value_or(""),
                               .created_ms = clock_.unix_ms()};
                           const Result<> inserted = database_.insert_tenant(row);
                           if (!inserted && inserted.error().code == Code::already_exists) {
                             return fail(Code::already_exists,
                                         "name: there is a tenant of this name; change it instead");
                           }
                           CHECK_OK(inserted);
                           return tenant_of(row);
                         });
}

Result<std::vector<Tenant>> TenantService::list(const Actor& actor) {
  return audited<std::vector<Tenant>>(append_, actor, action_of(audit::Operation::read, "list", ""),
                                      [&](AuditedAction&) -> Result<std::vector<Tenant>> {
                                        TRY(const std::vector<store::TenantRow> rows,
                                            database_.list_tenants());
                                        std::vector<Tenant> tenants;
                                        for (const store::TenantRow& row : rows) {
                                          if (reaches(actor.tenant, TenantId(row.name))) {
                                            tenants.push_back(tenant_of(row));
                                          }
                                        }
                                        return tenants;
                                      });
}

Result<Tenant> TenantService::show(const Actor& actor, std::string_view name) {
  return audited<Tenant>(append_, actor, action_of(audit::Operation::read, "show", name),
                         [&](AuditedAction&) -> Result<Tenant> {
                           TRY(const store::TenantRow row, find(actor, name));
                           return tenant_of(row);
                         });
}

Result<Tenant> TenantService::change(const Actor& actor, std::string_view name,
                                     const TenantChange& fields) {
  return audited<Tenant>(append_, actor, action_of(audit::Operation::write, "change", name, fields),
                         [&](AuditedAction&) -> Result<Tenant> {
                           TRY(store::TenantRow row, find(actor, name));
                           CHECK_OK(check_home(actor));
                           CHECK_OK(check_fields(fields));
                           row.organisation = fields.organisation.value_or(row.organisation);
                           row.label = fields.label.value_or(row.label);
                           CHECK_OK(database_.update_tenant(row));
                           return tenant_of(row);
                         });
}

}  // namespace deepmoat::identity
