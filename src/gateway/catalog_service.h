// What an administrator does with imported models: list, add, pin, unpin, remove. Each writes its
// audit intent before and its result after. Blocking; on the database's thread. The command line
// without a server uses it too.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "audit/log.h"
#include "base/clock.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "identity/key_service.h"

namespace deepmoat::gateway {

class CatalogService {
 public:
  using Json = nlohmann::ordered_json;

  // `in_use`: what a worker serves; it may not be removed. All outlive this.
  CatalogService(catalog::Catalog& catalog, audit::Log& log, const Clock& clock,
                 catalog::InUse in_use);

  Result<Json> list(const identity::Actor& actor);
  // `request`: an entry (catalog/entry_json.h) with "incoming", a file's name in the folder of
  // models, to which the importer has written it.
  Result<Json> add(const identity::Actor& actor, const Json& request);
  Result<Json> pin(const identity::Actor& actor, const std::string& name,
                   const std::string& version);
  Result<Json> unpin(const identity::Actor& actor, const std::string& name);
  Result<Json> remove(const identity::Actor& actor, const std::string& name,
                      const std::string& version);

 private:
  template <class Body>
  Result<Json> audited(const identity::Actor& actor, const char* name, audit::Operation operation,
                       std::string resource, const Body& body);

  catalog::Catalog& catalog_;
  audit::Log& log_;
  const Clock& clock_;
  catalog::InUse in_use_;
};

}  // namespace deepmoat::gateway
