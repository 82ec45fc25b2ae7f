#include "gateway/open_leak.h"

#include <array>
#include <nlohmann/json.hpp>

#include "base/hex.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::json;
using identity::KeyState;

// Part of what is signed, so that nothing else that the key signs can be taken for one.
constexpr const char* kForm = "deepmoat open leak 1";

constexpr std::array kStates{KeyState::active, KeyState::revoked, KeyState::expired,
                             KeyState::replaced, KeyState::corrupt};

std::string text_at(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Json actor_json(const identity::Actor& actor) {
  Json json = {{"operator", actor.operator_id},
               {"key_id", actor.key_id},
               {"role", actor.role},
               {"tenant", actor.tenant.value()},
               {"authentication", actor.authentication},
               {"ip_address", actor.ip_address},
               {"request_id", actor.request_id}};
  if (actor.narrowed_to) {
    json["narrowed_to"] = Json::array();
    for (const identity::Permission permission : identity::kPermissions) {
      if (actor.narrowed_to->has(permission)) {
        json["narrowed_to"].push_back(identity::permission_name(permission));
      }
    }
  }
  return json;
}

Result<identity::Actor> actor_of(const Json& json) {
  identity::Actor actor{.operator_id = text_at(json, "operator"),
                        .key_id = text_at(json, "key_id"),
                        .role = text_at(json, "role"),
                        .tenant = TenantId(text_at(json, "tenant")),
                        .authentication = text_at(json, "authentication"),
                        .ip_address = text_at(json, "ip_address"),
                        .request_id = text_at(json, "request_id")};
  if (json.contains("narrowed_to")) {
    actor.narrowed_to.emplace();
    for (const std::string& name : json["narrowed_to"].get<std::vector<std::string>>()) {
      TRY(const identity::Permission permission, identity::parse_permission(name));
      actor.narrowed_to->add(permission);
    }
  }
  return actor;
}

std::unexpected<Error> strange(const store::OpenLeakRow& row) {
  return fail(Code::corrupt,
              "the row of the leak of key " + row.key_id + " is not one that this program wrote");
}

}  // namespace

Result<store::OpenLeakRow> row_of(const OpenLeak& leak, const crypto::SigningKey& signing_key) {
  const Json json = {{"form", kForm},
                     {"incident_id", leak.incident_id},
                     {"key_id", leak.key.info.key_id.value()},
                     {"state_before", identity::state_name(leak.key.before)},
                     {"audit_sequence", leak.key.audit_sequence},
                     {"reason", leak.reason},
                     {"reported_ms", leak.reported_ms},
                     {"reporter", actor_json(leak.reporter)}};
  store::OpenLeakRow row{.key_id = leak.key.info.key_id.value(),
                         .content = json.dump(-1, ' ', false, Json::error_handler_t::replace),
                         .signature = ""};
  TRY(const std::string signature, signing_key.sign(row.content));
  row.signature = to_hex(signature);
  return row;
}

Result<OpenLeak> open_leak_of(const store::OpenLeakRow& row,
                              const crypto::SigningKey& signing_key) {
  const auto signature = from_hex(row.signature);
  if (!signature || !crypto::verify_signature(signing_key.public_key(), row.content, *signature)) {
    return strange(row);
  }
  // From here on it is what row_of() wrote, but for what else the key may sign.
  const Json json = Json::parse(row.content, nullptr, false);
  if (!json.is_object() || text_at(json, "form") != kForm ||
      text_at(json, "key_id") != row.key_id) {
    return strange(row);
  }
  OpenLeak leak{.incident_id = text_at(json, "incident_id"),
                .reason = text_at(json, "reason"),
                .reported_ms = json.value("reported_ms", UnixMillis{0}),
                .reporter = {},
                .key = {}};
  TRY(leak.reporter, actor_of(json.value("reporter", Json::object())));
  leak.key.info.key_id = KeyId(row.key_id);
  leak.key.audit_sequence = json.value("audit_sequence", std::uint64_t{0});
  const std::string before = text_at(json, "state_before");
  for (const KeyState state : kStates) {
    if (identity::state_name(state) == before) {
      leak.key.before = state;
    }
  }
  return leak;
}

}  // namespace deepmoat::gateway
