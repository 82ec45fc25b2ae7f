// Where key commands are carried out: by the running server, through the data folder's socket, or
// in this process when no server runs.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/clock.h"
#include "base/config.h"
#include "base/result.h"
#include "cli/data_folder.h"
#include "identity/audited.h"

namespace deepmoat::cli {

using Json = nlohmann::ordered_json;

// Who acts when no server runs: the user of this process.
[[nodiscard]] Result<identity::Actor> local_actor();

class KeyDesk {
 public:
  // The server's when one holds the folder. Without `may_create`, a folder that holds nothing yet
  // is Code::not_found rather than made: its name is a typing error.
  static Result<std::unique_ptr<KeyDesk>> open(const DataFolder& folder, const Config& config,
                                               const Clock& clock, bool may_create);
  virtual ~KeyDesk() = default;

  // Answers as the admin interface gives them; `create` adds "key", the only time it is shown.
  virtual Result<Json> create(const Json& request) = 0;
  virtual Result<Json> list() = 0;
  virtual Result<Json> show(const std::string& key) = 0;
  virtual Result<Json> revoke(const std::string& key, const std::string& reason) = 0;
  virtual Result<Json> expire(const std::string& key, std::int64_t at_s) = 0;
};

}  // namespace deepmoat::cli
