#include "cli/audit_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "base/log.h"
#include "cli/https_client.h"
#include "cli/node_place.h"
#include "cli/root_keys.h"
#include "crypto/signature.h"
#include "gateway/tls_client.h"
#include "identity/api_key.h"
#include "identity/roles.h"
#include "transparency/note.h"
#include "transparency/witness.h"

namespace deepmoat::cli {

namespace {

using Problems = std::vector<std::string>;

constexpr std::string_view kDirectory = "directory:/";

bool is_node(const std::string& place) {
  return place.starts_with(kNodePlace);
}

std::string url_of(const std::string& node) {
  return node.substr(std::string_view(kNodePlace).size());
}

// The signer knows which names there may be. Nothing is signed with this key.
void check_origin(const Config& config, Problems& problems) {
  if (config.audit.origin.empty()) {
    return;
  }
  auto key =
      crypto::SigningKey::from_seed(Secret::copy_of(std::string(crypto::kSigningSeedBytes, 'k')));
  if (!key) {
    problems.push_back("audit.origin: " + key.error().message);
    return;
  }
  const auto signer =
      transparency::NoteSigner::make(config.audit.origin, *std::move(key), std::nullopt);
  if (!signer) {
    problems.push_back(
        fmt::format("audit.origin: \"{}\": {}", config.audit.origin, signer.error().message));
  }
}

void check_node(const std::string& place, const Config& config, Problems& problems) {
  if (config.audit.node_key_file.empty()) {
    problems.push_back(fmt::format(
        "audit.node_key_file is not set: \"{}\" wants an API key of that server, in a file",
        place));
  }
  if (const auto server = parse_server(url_of(place), config.audit.node_ca_file); !server) {
    problems.push_back(
        fmt::format("audit.checkpoint_places: \"{}\": {}", place, server.error().message));
  }
}

// As audit::make_checkpoint_place() takes it, which wants the root keys.
void check_place(const std::string& place, const Config& config, Problems& problems) {
  if (is_node(place)) {
    check_node(place, config, problems);
  } else if (place == "token" && config.custody.kind == "file") {
    problems.push_back(
        "audit.checkpoint_places: \"token\" needs custody.kind = \"pkcs11\": the root keys lie in "
        "a file, so there is no token that could keep anything");
  } else if (place != "token" && place != "syslog" && !place.starts_with(kDirectory)) {
    problems.push_back(
        fmt::format("audit.checkpoint_places: \"{}\" is no place; use directory:/absolute/path, "
                    "syslog, token or node:https://host:port",
                    place));
  }
}

void check_places(const Config& config, Problems& problems) {
  const std::vector<std::string>& places = config.audit.checkpoint_places;
  for (const std::string& place : places) {
    check_place(place, config, problems);
  }
  // Each server issues its own keys: a key of the one would go to the other.
  if (std::ranges::count_if(places, is_node) > 1) {
    Problems nodes;
    std::ranges::copy_if(places, std::back_inserter(nodes), is_node);
    problems.push_back(
        fmt::format("audit.checkpoint_places: more than one \"node:\" (\"{}\"); there is one "
                    "audit.node_key_file, of one server: name one of them",
                    fmt::join(nodes, "\", \"")));
  }
}

void check_witness_keys(const Config& config, Problems& problems) {
  std::set<std::string> files;
  for (const std::string& key : config.audit.witness_keys) {
    const auto log = transparency::NoteVerifier::parse(key);
    if (!log) {
      problems.push_back("audit.witness_keys: " + log.error().message);
    } else if (!files.insert(transparency::checkpoint_file_name(log->name())).second) {
      problems.push_back(
          fmt::format("audit.witness_keys: two keys are of logs named \"{}\", or so nearly that "
                      "their checkpoints would be kept in one file; take one of them out",
                      log->name()));
    }
  }
}

// No other one is possible, so its records would be kept too short and nobody would notice.
void check_medical_tenants(const Config& config, Problems& problems) {
  for (const std::string& tenant : config.audit.medical_tenants) {
    const auto good =
        identity::check_name(fmt::format("audit.medical_tenants: \"{}\"", tenant), tenant);
    if (!good) {
      problems.push_back(good.error().message);
    }
  }
}

}  // namespace

Problems audit_problems(const Config& config) {
  Problems problems;
  check_origin(config, problems);
  check_places(config, problems);
  check_witness_keys(config, problems);
  check_medical_tenants(config, problems);
  return problems;
}

Problems audit_file_problems(const Config& config) {
  Problems problems;
  for (const std::string& place : config.audit.checkpoint_places) {
    std::error_code error;
    if (place.starts_with(kDirectory) &&
        !std::filesystem::is_directory(place.substr(kDirectory.size() - 1), error)) {
      problems.push_back(
          fmt::format("audit.checkpoint_places: \"{}\" is no folder; mount or make it", place));
    }
  }
  const auto& audit = config.audit;
  if (std::ranges::none_of(audit.checkpoint_places, is_node)) {
    return problems;
  }
  if (!audit.node_key_file.empty()) {
    if (const auto key = read_private_line(audit.node_key_file, "audit.node_key_file"); !key) {
      problems.push_back("audit.node_key_file: " + key.error().message);
    }
  }
  if (const auto tls = gateway::tls_client_context(audit.node_ca_file); !tls) {
    problems.push_back("audit.node_ca_file: " + tls.error().message);
  }
  return problems;
}

Result<> check_audit_config(const Config& config) {
  const Problems problems = audit_problems(config);
  return problems.empty()
             ? Result<>()
             : fail(Code::invalid_argument, fmt::format("{}", fmt::join(problems, "\n")));
}

void warn_of_unknown_tenants(const Config& config, store::Database& database) {
  const auto tenants = config.audit.medical_tenants.empty()
                           ? Result<std::vector<store::TenantRow>>()
                           : database.list_tenants();
  if (!tenants) {
    log::warn("audit.medical_tenants could not be compared with the tenants that there are",
              {{"error", tenants.error().message}});
    return;
  }
  for (const std::string& tenant : config.audit.medical_tenants) {
    if (tenant != identity::kHomeTenant &&
        std::ranges::find(*tenants, tenant, &store::TenantRow::name) == tenants->end()) {
      log::warn(
          "audit.medical_tenants names a tenant that there is not: see deepmoat tenant list, and "
          "mend the name if it is written wrongly",
          {{"tenant", tenant}});
    }
  }
}

}  // namespace deepmoat::cli
