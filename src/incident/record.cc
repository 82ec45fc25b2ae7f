#include "incident/record.h"

#include "audit/record_json.h"
#include "base/hex.h"

namespace deepmoat::incident {

namespace {

using Json = nlohmann::json;  // sorts the names of an object, as RFC 8785 does

constexpr const char* kForm = "deepmoat incident 1";
constexpr const char* kAlgorithm = "Ed25519";
constexpr int kDepthMax = 8;

// RFC 8785 for what we write: names in ASCII, whole numbers, text. Bytes that are not UTF-8
// become U+FFFD.
std::string canonical(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json count_json(const audit::UsageCount& count) {
  Json json = {{"calls", count.calls},
               {"tokens_in", count.tokens_in},
               {"tokens_out", count.tokens_out},
               {"bytes_out", count.bytes_out}};
  if (count.calls > 0) {
    json["first"] = audit::format_time(count.first_ms);
    json["last"] = audit::format_time(count.last_ms);
  }
  if (!count.value.empty()) {
    json["value"] = count.value;
  }
  return json;
}

Json counts_json(const std::vector<audit::UsageCount>& counts) {
  Json list = Json::array();
  for (const audit::UsageCount& count : counts) {
    list.push_back(count_json(count));
  }
  return list;
}

Json usage_json(const audit::KeyUsage& usage) {
  Json changes = Json::array();
  for (const audit::UsageChange& change : usage.changes) {
    changes.push_back({{"at", audit::format_time(change.unix_ms)},
                       {"action", change.action},
                       {"resource", change.resource},
                       {"outcome", change.outcome}});
  }
  return {{"since", audit::format_time(usage.since_ms)},
          {"complete", usage.fault.empty()},
          {"fault", usage.fault},
          {"total", count_json(usage.total)},
          {"unfinished_calls", usage.unfinished},
          {"by_day", counts_json(usage.days)},
          {"by_model", counts_json(usage.models)},
          {"by_route", counts_json(usage.routes)},
          {"by_data_class", counts_json(usage.data_classes)},
          {"by_address", counts_json(usage.addresses)},
          {"by_outcome", counts_json(usage.outcomes)},
          {"by_action", counts_json(usage.actions)},
          {"egress", counts_json(usage.egress)},
          {"changes", changes},
          {"changes_left_out", usage.changes_left_out}};
}

Json key_json(const identity::LeakedKey& leaked) {
  const identity::KeyInfo& key = leaked.info;
  return {{"id", key.key_id.value()},
          {"client_id", key.client_id.value()},
          {"tenant", key.tenant.value()},
          {"role", key.role},
          {"kind", key.kind},
          {"label", key.label},
          {"state_before", identity::state_name(leaked.before)},
          {"created", audit::format_time(key.created_ms)},
          {"expires", audit::format_time(key.expires_ms)},
          {"revoked", audit::format_time(key.revoked_ms)}};
}

Json reporter_json(const identity::Actor& actor) {
  return {{"operator", actor.operator_id},
          {"key_id", actor.key_id},
          {"role", actor.role},
          {"tenant", actor.tenant.value()},
          {"authentication", actor.authentication},
          {"ip_address", actor.ip_address},
          {"request_id", actor.request_id}};
}

std::unexpected<Error> corrupt(std::string why) {
  return fail(Code::corrupt, "incident: " + std::move(why));
}

std::string text_at(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The file as a whole, if it has one spelling and our form.
Result<Json> parse(std::string_view text) {
  if (text.ends_with('\n')) {
    text.remove_suffix(1);
  }
  if (text.size() > kIncidentBytesMax) {
    return corrupt("the file is too large");
  }
  // What nests deeper is left out, and then the spelling is another.
  const Json::parser_callback_t shallow = [](int depth, Json::parse_event_t, Json&) {
    return depth <= kDepthMax;
  };
  Json file = Json::parse(text, shallow, false);
  if (file.is_discarded() || !file.is_object() || canonical(file) != text) {
    return corrupt(
        "the file is not in the one spelling that this program writes, so it was "
        "altered or cut");
  }
  if (file.size() != 2 || !file.contains("incident") || !file.contains("signature") ||
      !file["incident"].is_object() || !file["signature"].is_object() ||
      text_at(file["incident"], "form") != kForm ||
      text_at(file["signature"], "algorithm") != kAlgorithm) {
    return corrupt("not the form of an incident that this program knows");
  }
  return file;
}

}  // namespace

Json leak_json(const Leak& leak) {
  return {{"form", kForm},
          {"id", leak.id},
          {"kind", "key.leaked"},
          {"reason", leak.reason},
          {"recorded", audit::format_time(leak.recorded_ms)},
          {"reported_by", reporter_json(leak.reporter)},
          {"key", key_json(leak.key)},
          {"report", usage_json(leak.usage)},
          {"audit_log",
           {{"revocation_record", leak.key.audit_sequence},
            {"last_record", leak.usage.last_sequence},
            {"last_hash", to_hex(crypto::view(leak.usage.last_hash))}}}};
}

Result<std::string> sign(const Json& incident, const crypto::SigningKey& key) {
  TRY(const std::string signature, key.sign(canonical(incident)));
  const Json file = {{"incident", incident},
                     {"signature",
                      {{"algorithm", kAlgorithm},
                       {"key", crypto::public_key_id(key.public_key())},
                       {"value", to_hex(signature)}}}};
  return canonical(file) + "\n";
}

Result<Json> verify(std::string_view text, std::string_view public_key) {
  TRY(Json file, parse(text));
  const Json& signature = file["signature"];
  const Result<std::string> value = from_hex(text_at(signature, "value"));
  if (text_at(signature, "key") != crypto::public_key_id(public_key)) {
    return corrupt("it was signed with key " + text_at(signature, "key") + ", not with key " +
                   crypto::public_key_id(public_key));
  }
  if (!value || !crypto::verify_signature(public_key, canonical(file["incident"]), *value)) {
    return corrupt("the signature does not fit: the record was altered");
  }
  return std::move(file["incident"]);
}

Result<Json> read_unverified(std::string_view text) {
  TRY(Json file, parse(text));
  return std::move(file["incident"]);
}

}  // namespace deepmoat::incident
