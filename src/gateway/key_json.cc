#include "gateway/key_json.h"

namespace deepmoat::gateway {

nlohmann::ordered_json key_json(const identity::KeyInfo& key) {
  nlohmann::ordered_json json = {{"id", key.key_id.value()},
                                 {"client_id", key.client_id.value()},
                                 {"tenant", key.tenant.value()},
                                 {"role", key.role},
                                 {"kind", key.kind},
                                 {"label", key.label},
                                 {"state", identity::state_name(key.state)},
                                 {"created_at", key.created_ms / 1000},
                                 {"expires_at", key.expires_ms / 1000}};
  if (key.revoked_ms != 0) {
    json["revoked_at"] = key.revoked_ms / 1000;
    json["revoke_reason"] = key.revoke_reason;
  }
  if (!key.predecessor.value().empty()) {
    json["predecessor"] = key.predecessor.value();
  }
  if (key.overlap_until_ms != 0 && key.state == identity::KeyState::active) {
    json["overlap_until"] = key.overlap_until_ms / 1000;
  }
  return json;
}

}  // namespace deepmoat::gateway
