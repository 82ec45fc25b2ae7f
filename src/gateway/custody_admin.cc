#include "gateway/custody_admin.h"

#include "base/log.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

Response no_custody() {
  return to_response(wire::to_refusal({Code::not_found, "this server has no root keys"}));
}

}  // namespace

Json custody_json(const crypto::CustodyFacts& facts, const crypto::CustodyHealth& health,
                  const crypto::EnvelopeStatus& envelope) {
  Json json = {{"kind", facts.kind},
               {"place", facts.place},
               {"protection", facts.protection},
               {"id", facts.id},
               {"keys_can_leave", facts.keys_can_leave},
               {"state", crypto::custody_state_name(health.state)},
               {"last_check_ms", health.last_check_ms}};
  if (health.state != crypto::CustodyState::up) {
    json["lost_since"] = health.lost_since_ms / 1000;
    json["seals_at"] = health.seals_at_ms / 1000;
    json["reason"] = health.reason;
  }
  json["envelope"] = {{"generation", envelope.generation},
                      {"made_at", envelope.generation_made_ms / 1000},
                      {"tenant_keys", envelope.tenant_keys},
                      {"cached_keys", envelope.cached_keys},
                      {"undestroyed_generation", envelope.undestroyed_generation},
                      {"locked", envelope.locked}};
  return json;
}

Json roll_json(const crypto::RollReport& report) {
  return {{"old_generation", report.old_generation},
          {"new_generation", report.new_generation},
          {"keys_kept", report.keys_kept},
          {"keys_dropped", report.keys_dropped},
          {"old_destroyed", report.old_destroyed}};
}

Response answer_custody_status(const Services& services) {
  if (services.custody == nullptr) {
    return no_custody();
  }
  const Custody& custody = *services.custody;
  return {.body = custody_json(custody.keys.describe(), custody.watch.health(),
                               custody.envelope.status())
                      .dump(-1, ' ', false, Json::error_handler_t::replace)};
}

Response roll_custody(const Services& services) {
  if (services.custody == nullptr) {
    return no_custody();
  }
  const auto rolled = services.custody->envelope.roll();
  if (!rolled) {
    log::error("the envelope was not rolled", {{"error", rolled.error().message}});
    return to_response(wire::to_refusal(rolled.error()));
  }
  log::info("the envelope has a new generation",
            {{"generation", rolled->new_generation}, {"old_destroyed", rolled->old_destroyed}});
  return {.body = roll_json(*rolled).dump()};
}

}  // namespace deepmoat::gateway
