#include "incident/folder.h"

#include <algorithm>

#include "base/file.h"
#include "base/hex.h"
#include "base/random.h"
#include "incident/record.h"

namespace deepmoat::incident {

namespace {

constexpr std::string_view kEnding = ".json";
constexpr std::size_t kIdRandomBytes = 12;

// An id becomes part of a path, so nothing else may pass.
bool is_id(std::string_view id) {
  return id.size() == kIncidentIdBytes && id.starts_with(kIncidentIdPrefix) &&
         from_hex(id.substr(kIncidentIdPrefix.size())).has_value();
}

}  // namespace

Result<> IncidentFolder::save(const std::string& id, std::string_view text) const {
  CHECK_OK(make_directory(path_, 0700));
  return write_file_atomic(path_ / (id + std::string(kEnding)), text, 0600);
}

Result<> IncidentFolder::save_public_key(std::string_view public_key) const {
  TRY(const std::string pem, crypto::public_key_to_pem(public_key));
  const std::filesystem::path file = path_ / kPublicKeyFile;
  const auto there = read_file(file, pem.size() + 1);
  return there && *there == pem ? Result<>() : write_file_atomic(file, pem, 0644);
}

Result<std::vector<std::string>> IncidentFolder::ids() const {
  std::vector<std::string> ids;
  std::error_code error;
  if (!std::filesystem::exists(path_, error)) {
    return ids;
  }
  std::filesystem::directory_iterator entries(path_, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    if (name.ends_with(kEnding) && is_id(name.substr(0, name.size() - kEnding.size()))) {
      ids.push_back(name.substr(0, name.size() - kEnding.size()));
    }
  }
  if (error) {
    return fail(Code::io, "list " + path_.string() + ": " + error.message());
  }
  std::ranges::sort(ids);
  return ids;
}

Result<std::string> IncidentFolder::load(std::string_view id) const {
  if (!is_id(id)) {
    return fail(Code::invalid_argument, "incident: give its id, inc_ and 24 hexadecimal digits");
  }
  auto text = read_file(path_ / (std::string(id) + std::string(kEnding)), kIncidentBytesMax);
  if (!text && text.error().code == Code::not_found) {
    return fail(Code::not_found, "no such incident");
  }
  if (!text) {  // too large is no fault of the caller either
    return fail(Code::io, text.error().message);
  }
  return text;
}

Result<std::string> new_incident_id() {
  TRY(const std::string random, random_bytes(kIdRandomBytes));
  return std::string(kIncidentIdPrefix) + to_hex(random);
}

}  // namespace deepmoat::incident
