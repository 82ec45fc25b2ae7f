// Where incident records lie: <data>/incidents/<id>.json, for their owner alone. One thread at a
// time.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace deepmoat::incident {

inline constexpr std::string_view kIncidentIdPrefix = "inc_";
inline constexpr std::string_view kPublicKeyFile = "public-key.pem";
inline constexpr std::size_t kIncidentIdBytes = 28;  // prefix and 24 hex digits

class IncidentFolder {
 public:
  explicit IncidentFolder(std::filesystem::path path) : path_(std::move(path)) {}

  // Durable when it returns. Makes the folder (0700).
  [[nodiscard]] Result<> save(const std::string& id, std::string_view text) const;
  // Beside the records, as public-key.pem, so that the folder can be given away as it is.
  [[nodiscard]] Result<> save_public_key(std::string_view public_key) const;
  // The ids of all records, in their order; empty when there is no folder.
  [[nodiscard]] Result<std::vector<std::string>> ids() const;
  // Code::invalid_argument for what is no id, Code::not_found.
  [[nodiscard]] Result<std::string> load(std::string_view id) const;

 private:
  std::filesystem::path path_;
};

// A new id. Code::unavailable without entropy.
[[nodiscard]] Result<std::string> new_incident_id();

}  // namespace deepmoat::incident
