#include "gateway/catalog_service.h"

#include <exception>
#include <utility>

#include "catalog/entry_json.h"

namespace deepmoat::gateway {

namespace {

using Json = CatalogService::Json;

Result<Json> shown(const Result<catalog::Entry>& entry, std::string& resource) {
  if (!entry) {
    return std::unexpected(entry.error());
  }
  resource = entry->name + " " + entry->label() + " sha256:" + entry->sha256;
  return catalog::to_json(*entry);
}

}  // namespace

CatalogService::CatalogService(catalog::Catalog& catalog, audit::Log& log, const Clock& clock,
                               catalog::InUse in_use)
    : catalog_(catalog), log_(log), clock_(clock), in_use_(std::move(in_use)) {}

// The body may say better what the record is about.
template <class Body>
Result<Json> CatalogService::audited(const identity::Actor& actor, const char* name,
                                     audit::Operation operation, std::string resource,
                                     const Body& body) {
  const identity::AppendAudit append = [this](audit::Record record) {
    return log_.append_and_wait(std::move(record));
  };
  return identity::audited<Json>(
      append, actor, {operation, name, std::move(resource), ""},
      [&](identity::AuditedAction& action) { return body(action.resource); });
}

Result<Json> CatalogService::list(const identity::Actor& actor) {
  return audited(actor, "model.list", audit::Operation::read, "",
                 [this](std::string&) -> Result<Json> {
                   TRY(const auto entries, catalog_.list());
                   Json list = Json::array();
                   for (const catalog::Entry& entry : entries) {
                     list.push_back(catalog::to_json(entry));
                   }
                   return list;
                 });
}

Result<Json> CatalogService::add(const identity::Actor& actor, const Json& request) {
  TRY(catalog::Entry entry, catalog::entry_from(request));
  const std::string incoming =
      request.contains("incoming") && request["incoming"].is_string() ? request["incoming"] : "";
  if (!incoming.starts_with(".incoming-") || incoming.find('/') != std::string::npos) {
    return fail(Code::invalid_argument,
                "incoming: must name a file that an import has written, .incoming-...");
  }
  entry.provenance.imported_by = actor.operator_id;
  entry.created_ms = clock_.unix_ms();
  return audited(actor, "model.import", audit::Operation::write,
                 entry.name + " sha256:" + entry.sha256, [&](std::string& resource) {
                   return shown(catalog_.add(std::move(entry), catalog_.folder() / incoming),
                                resource);
                 });
}

Result<Json> CatalogService::pin(const identity::Actor& actor, const std::string& name,
                                 const std::string& version) {
  return audited(actor, "model.pin", audit::Operation::write, name, [&](std::string& resource) {
    return shown(catalog_.pin(name, version), resource);
  });
}

Result<Json> CatalogService::unpin(const identity::Actor& actor, const std::string& name) {
  return audited(actor, "model.unpin", audit::Operation::write, name,
                 [&](std::string&) -> Result<Json> {
                   CHECK_OK(catalog_.unpin(name));
                   return Json{{"name", name}};
                 });
}

Result<Json> CatalogService::remove(const identity::Actor& actor, const std::string& name,
                                    const std::string& version) {
  return audited(actor, "model.remove", audit::Operation::erase, name, [&](std::string& resource) {
    return shown(catalog_.remove(name, version, in_use_), resource);
  });
}

}  // namespace deepmoat::gateway
