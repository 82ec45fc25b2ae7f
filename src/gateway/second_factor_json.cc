#include "gateway/second_factor_json.h"

#include "gateway/key_json.h"

namespace deepmoat::gateway {

nlohmann::ordered_json factor_json(const identity::FactorInfo& factor) {
  nlohmann::ordered_json json = {{"client_id", factor.owner.client_id},
                                 {"tenant", factor.owner.tenant},
                                 {"algorithm", factor.algorithm},
                                 {"state", factor.confirmed_ms == 0 ? "pending" : "confirmed"},
                                 {"enrolled_at", factor.enrolled_ms / 1000}};
  if (factor.confirmed_ms != 0) {
    json["confirmed_at"] = factor.confirmed_ms / 1000;
    json["recovery_codes_left"] = factor.recovery_codes_left;
  }
  if (factor.locked_until_ms != 0) {
    json["locked_until"] = factor.locked_until_ms / 1000;
  }
  return json;
}

nlohmann::ordered_json enrolment_json(const identity::Enrolment& enrolment) {
  nlohmann::ordered_json json = factor_json(enrolment.info);
  json["secret"] = enrolment.secret.reveal();
  json["uri"] = enrolment.uri.reveal();
  return json;
}

nlohmann::ordered_json confirmation_json(const identity::Confirmation& confirmation) {
  nlohmann::ordered_json json = factor_json(confirmation.info);
  json["recovery_codes"] = nlohmann::ordered_json::array();
  for (const Secret& code : confirmation.recovery_codes) {
    json["recovery_codes"].push_back(code.reveal());
  }
  return json;
}

nlohmann::ordered_json rotated_json(const identity::RotatedKey& rotated) {
  nlohmann::ordered_json json = key_json(rotated.successor.info);
  json["old_key_ends_at"] = rotated.predecessor.overlap_until_ms / 1000;
  json["key"] = rotated.successor.shown.reveal();
  return json;
}

}  // namespace deepmoat::gateway
