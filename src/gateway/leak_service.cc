#include "gateway/leak_service.h"

#include <fmt/format.h>

#include <utility>

#include "gateway/key_json.h"
#include "incident/record.h"

namespace deepmoat::gateway {

namespace {

using Json = LeakService::Json;
using identity::AuditedAction;

constexpr UnixMillis kReportMs = 30 * kDayMs;

bool reaches(const identity::Actor& actor, const nlohmann::json& incident) {
  const std::string tenant = incident.value("/key/tenant"_json_pointer, std::string());
  return identity::reaches(actor.tenant, TenantId(tenant));
}

Json summary(const nlohmann::json& incident) {
  const auto text = [&](const char* pointer) {
    return incident.value(nlohmann::json::json_pointer(pointer), std::string());
  };
  return {{"id", text("/id")},
          {"kind", text("/kind")},
          {"recorded", text("/recorded")},
          {"key", text("/key/id")},
          {"client_id", text("/key/client_id")},
          {"tenant", text("/key/tenant")},
          {"reason", text("/reason")},
          {"reported_by", text("/reported_by/operator")},
          {"calls", incident.value("/report/total/calls"_json_pointer, std::uint64_t{0})}};
}

}  // namespace

LeakService::LeakService(Parts parts)
    : parts_(std::move(parts)), incidents_(parts_.incident_folder) {}

Result<identity::LeakedKey> LeakService::withdraw(const identity::Actor& actor,
                                                  const std::string& reference,
                                                  const std::string& reason) {
  return parts_.keys.leak(actor, reference, reason);
}

audit::KeyUsage LeakService::usage(const identity::LeakedKey& leaked) const {
  return audit::read_key_usage(parts_.audit_folder, leaked.info.key_id.value(),
                               parts_.clock.unix_ms() - kReportMs, leaked.audit_sequence);
}

Result<Json> LeakService::record(const identity::Actor& actor, const identity::LeakedKey& leaked,
                                 const std::string& reason, audit::KeyUsage usage) {
  TRY(const std::string id, incident::new_incident_id());
  const AuditedAction action{audit::Operation::write, "incident.record",
                             id + " " + leaked.info.key_id.value(), reason};
  return identity::audited<Json>(parts_.append, actor, action, [&](AuditedAction&) -> Result<Json> {
    const incident::Leak leak{.id = id,
                              .key = leaked,
                              .reason = reason,
                              .reporter = actor,
                              .recorded_ms = parts_.clock.unix_ms(),
                              .usage = std::move(usage)};
    TRY(const std::string text, incident::sign(incident::leak_json(leak), parts_.signing_key));
    CHECK_OK(incidents_.save(id, text));
    CHECK_OK(incidents_.save_public_key(parts_.signing_key.public_key()));
    TRY(const std::size_t told, parts_.webhooks.announce(webhook::kKeyLeaked, id, leaked.info,
                                                         {{"incident", id}, {"reason", reason}}));
    Json answer = {{"key", key_json(leaked.info)}};
    answer.update(Json::parse(text));
    answer["webhooks"] = told;
    answer["successor"] = successor_of(actor, leaked);
    return answer;
  });
}

Result<Json> LeakService::list(const identity::Actor& actor) {
  return identity::audited<Json>(parts_.append, actor,
                                 {audit::Operation::read, "incident.list", "", ""},
                                 [&](AuditedAction&) -> Result<Json> {
                                   TRY(const auto texts, incidents_.all());
                                   Json list = Json::array();
                                   for (const std::string& text : texts) {
                                     TRY(const nlohmann::json incident,
                                         incident::verify(text, parts_.signing_key.public_key()));
                                     if (reaches(actor, incident)) {
                                       list.push_back(summary(incident));
                                     }
                                   }
                                   return list;
                                 });
}

Result<Json> LeakService::show(const identity::Actor& actor, const std::string& id) {
  return identity::audited<Json>(
      parts_.append, actor, {audit::Operation::read, "incident.show", id.substr(0, 64), ""},
      [&](AuditedAction&) -> Result<Json> {
        TRY(const std::string text, incidents_.load(id));
        TRY(const nlohmann::json incident, incident::verify(text, parts_.signing_key.public_key()));
        if (!reaches(actor, incident)) {
          return fail(Code::not_found, "no such incident");
        }
        return Json::parse(text);  // keeps the order, and with it the spelling
      });
}

Result<Json> LeakService::public_key(const identity::Actor& actor) {
  return identity::audited<Json>(
      parts_.append, actor, {audit::Operation::read, "incident.key", "", ""},
      [&](AuditedAction&) -> Result<Json> {
        const std::string& bytes = parts_.signing_key.public_key();
        TRY(const std::string pem, crypto::public_key_to_pem(bytes));
        return Json{
            {"algorithm", "Ed25519"}, {"key", crypto::public_key_id(bytes)}, {"public_key", pem}};
      });
}

// What goes wrong here must not undo the record of the incident.
Json LeakService::successor_of(const identity::Actor& actor, const identity::LeakedKey& leaked) {
  if (leaked.info.overlap_until_ms != 0) {
    return rotated_advice(leaked.info);
  }
  if (leaked.before != identity::KeyState::active) {
    return successor_advice(leaked.info, nullptr);
  }
  const auto waiting = parts_.successors.prepare(actor, leaked.info);
  Json advice = successor_advice(leaked.info, waiting && *waiting ? &**waiting : nullptr);
  if (!waiting) {
    advice["error"] = waiting.error().message;
  }
  return advice;
}

// A key that was rotated has its next one, and who rotated it needs the second factor too. It is
// not revoked by itself: an old key that is found somewhere must not stop what runs on the new one.
Json LeakService::rotated_advice(const identity::KeyInfo& key) {
  const auto keys = parts_.keys.all_keys();
  if (!keys) {
    return {{"how", "It was rotated before: look for its next key"},
            {"error", keys.error().message}};
  }
  for (const identity::KeyInfo& next : *keys) {
    if (next.predecessor == key.key_id && next.state == identity::KeyState::active) {
      return {
          {"how", fmt::format("It was rotated before, and its next key {} is in force. If its "
                              "owner did not do that, report that one too: deepmoat key leak {}",
                              next.key_id.value(), next.key_id.value())},
          {"key_id", next.key_id.value()}};
    }
  }
  return successor_advice(key, nullptr);
}

Json successor_advice(const identity::KeyInfo& key, const identity::WaitingKey* waiting) {
  if (waiting != nullptr) {
    std::string ways;
    if (waiting->by_certificate) {
      ways += "its client certificate (GET /v1/keys/successor)";
    }
    if (waiting->by_second_factor) {
      ways += ways.empty() ? "" : " or ";
      ways += "a one-time password (POST /v1/keys/successor, or deepmoat key successor)";
    }
    return {{"how", fmt::format("Its client fetches the next key, once, within seven days, with "
                                "the old key and {}",
                                ways)},
            {"key_id", waiting->info.key_id.value()}};
  }
  return {{"how", fmt::format("An administrator makes the next key: deepmoat key create "
                              "--client-id {} --role {} --tenant {}",
                              key.client_id.value(), key.role, key.tenant.value())}};
}

}  // namespace deepmoat::gateway
