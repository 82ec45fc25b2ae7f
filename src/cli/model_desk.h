// Where model commands are carried out: by the running server, through the data folder's socket, or
// in this process when no server runs. Each change is in the audit log.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/clock.h"
#include "base/config.h"
#include "base/result.h"
#include "cli/data_folder.h"

namespace deepmoat::cli {

using Json = nlohmann::ordered_json;

class ModelDesk {
 public:
  // Without `may_create`, a folder that holds nothing yet is Code::not_found. Holds the folder's
  // lock when no server does: keep it for no longer than needed.
  static Result<std::unique_ptr<ModelDesk>> open(const DataFolder& folder, const Config& config,
                                                 const Clock& clock, bool may_create);
  virtual ~ModelDesk() = default;

  // Entries as catalog/entry_json.h shows them.
  virtual Result<Json> list() = 0;
  // Adds the file `incoming` of the folder of models.
  virtual Result<Json> add(const Json& entry, const std::string& incoming) = 0;
  virtual Result<Json> pin(const std::string& name, const std::string& version) = 0;
  virtual Result<Json> unpin(const std::string& name) = 0;
  virtual Result<Json> remove(const std::string& name, const std::string& version) = 0;
};

// The entry that `name` and `version` mean in the answer of list(), by the catalog's rules.
[[nodiscard]] Result<Json> choose_entry(const Json& entries, const std::string& name,
                                        const std::string& version);

}  // namespace deepmoat::cli
