// Where commands about keys and tenants are carried out: by the running server, through the data
// folder's socket, or in this process when no server runs.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/clock.h"
#include "base/config.h"
#include "base/result.h"
#include "base/secret.h"
#include "cli/data_folder.h"
#include "identity/audited_action.h"

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

  // Requests and answers are those of the admin interface; the answer to `create` has "key", the
  // only time it is shown.
  virtual Result<Json> create(const Json& request) = 0;
  virtual Result<Json> list() = 0;
  virtual Result<Json> show(const std::string& key) = 0;
  virtual Result<Json> change(const std::string& key, const Json& fields) = 0;
  virtual Result<Json> revoke(const std::string& key, const std::string& reason) = 0;
  virtual Result<Json> expire(const std::string& key, std::int64_t at_s) = 0;

  virtual Result<Json> create_tenant(const Json& request) = 0;
  virtual Result<Json> list_tenants() = 0;
  virtual Result<Json> show_tenant(const std::string& name) = 0;
  virtual Result<Json> change_tenant(const std::string& name, const Json& fields) = 0;
  // With the key itself, and a one-time password or a recovery code. A server takes the lifetime
  // from its own configuration.
  virtual Result<Json> rotate(const Secret& key, const Secret& code,
                              std::int64_t lifetime_days) = 0;
  // The key that waits for the holder of an old one, with a code as above.
  virtual Result<Json> successor(const Secret& old_key, const Secret& code) = 0;

  // Second factors; the fields are those of the admin interface.
  virtual Result<Json> enrol_factor(const Json& request) = 0;
  virtual Result<Json> confirm_factor(const Json& request) = 0;
  virtual Result<Json> remove_factor(const Json& request) = 0;
  virtual Result<Json> factor_status(const std::string& tenant, const std::string& client_id) = 0;
};

}  // namespace deepmoat::cli
