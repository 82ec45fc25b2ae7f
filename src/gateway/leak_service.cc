#include "gateway/leak_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "audit/tail.h"
#include "base/log.h"
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
    : parts_(std::move(parts)), incidents_(parts_.incident_folder), table_(parts_.database) {}

Result<OpenLeak> LeakService::withdraw(const identity::Actor& actor, const std::string& reference,
                                       const std::string& reason) {
  OpenLeak leak{.incident_id = "",
                .reason = reason,
                .reported_ms = parts_.clock.unix_ms(),
                .reporter = actor,
                .key = {}};
  TRY(leak.incident_id, incident::new_incident_id());
  TRY(const identity::LeakedKey leaked,
      parts_.keys.leak(actor, reference, reason, [&](const identity::LeakedKey& withdrawn) {
        return resume_or_keep(withdrawn, leak);
      }));
  leak.key.info = leaked.info;
  if (leak.key.audit_sequence == 0) {
    leak.key.audit_sequence = leaked.audit_sequence;
    if (const Result<> kept = keep_open(leak); !kept) {  // only the pointer into the log is lost
      log::error("a leak's place in the audit log could not be kept",
                 {{"key", leaked.info.key_id.value()}, {"error", kept.error().message}});
    }
  }
  return leak;
}

Result<> LeakService::keep_open(const OpenLeak& leak) {
  TRY(const store::OpenLeakRow row, row_of(leak, parts_.signing_key));
  return table_.put_open_leak(row);
}

// An earlier report of this key that came to no record is the one that goes on: it knows in what
// state the key was, which decides whether its client gets a new one.
Result<> LeakService::resume_or_keep(const identity::LeakedKey& leaked, OpenLeak& leak) {
  TRY(const auto row, table_.find_open_leak(leaked.info.key_id.value()));
  if (row) {
    auto earlier = open_leak_of(*row, parts_.signing_key);
    if (earlier) {
      leak = *std::move(earlier);
      return {};
    }
    log::error("an earlier report of a leak is lost", {{"error", earlier.error().message}});
  }
  leak.key = leaked;
  return keep_open(leak);
}

Result<std::vector<OpenLeak>> LeakService::open_leaks() {
  TRY(const std::vector<store::OpenLeakRow> rows, table_.list_open_leaks());
  std::vector<OpenLeak> leaks;
  if (rows.empty()) {
    return leaks;
  }
  TRY(const std::vector<identity::KeyInfo> keys, parts_.keys.all_keys());
  for (const store::OpenLeakRow& row : rows) {
    auto leak = open_leak_of(row, parts_.signing_key);
    const auto key = std::ranges::find(keys, KeyId(row.key_id), &identity::KeyInfo::key_id);
    if (!leak || key == keys.end() || key->state != identity::KeyState::revoked) {
      log::error(
          "a report of a leak cannot be finished: report its key again",
          {{"key", row.key_id}, {"error", leak ? "its key is not revoked" : leak.error().message}});
      continue;
    }
    leak->key.info = *key;
    leaks.push_back(*std::move(leak));
  }
  return leaks;
}

// A record of the log that stands behind all that the key did.
std::uint64_t LeakService::reach_of(const OpenLeak& leak) const {
  if (leak.key.audit_sequence != 0) {
    return leak.key.audit_sequence;
  }
  const auto last = audit::TailReader(parts_.audit_folder).read_last(1);
  return last && !last->empty() ? last->back().sequence : 0;
}

Result<audit::KeyUsage> LeakService::usage(const OpenLeak& leak) const {
  audit::KeyUsage usage =
      audit::read_key_usage(parts_.audit_folder, leak.key.info.key_id.value(),
                            leak.reported_ms - kReportMs, reach_of(leak), &stopping_);
  if (stopping_) {
    return fail(Code::unavailable,
                "the key is withdrawn, but the server stops: it makes the record of the incident "
                "and tells the webhooks after its next start");
  }
  return usage;
}

// The file of this incident, or a new one where there is none that verifies.
Result<std::string> LeakService::signed_record(const OpenLeak& leak, audit::KeyUsage usage) {
  const std::string& public_key = parts_.signing_key.public_key();
  if (auto text = incidents_.load(leak.incident_id)) {
    const auto there = incident::verify(*text, public_key);
    if (there && there->value("id", std::string()) == leak.incident_id) {
      return *std::move(text);
    }
  }
  const incident::Leak leaked{.id = leak.incident_id,
                              .key = leak.key,
                              .reason = leak.reason,
                              .reporter = leak.reporter,
                              .recorded_ms = parts_.clock.unix_ms(),
                              .usage = std::move(usage)};
  TRY(std::string text, incident::sign(incident::leak_json(leaked), parts_.signing_key));
  CHECK_OK(incidents_.save(leak.incident_id, text));
  CHECK_OK(incidents_.save_public_key(public_key));
  return text;
}

Result<Json> LeakService::record(const OpenLeak& leak, audit::KeyUsage usage) {
  const std::string& id = leak.incident_id;
  const identity::KeyInfo& key = leak.key.info;
  const AuditedAction action{audit::Operation::write, "incident.record",
                             id + " " + key.key_id.value(), leak.reason};
  const auto body = [&](AuditedAction&) -> Result<Json> {
    TRY(const std::string text, signed_record(leak, std::move(usage)));
    TRY(const std::size_t told,
        parts_.webhooks.announce(webhook::kKeyLeaked, id, key,
                                 {{"incident", id}, {"reason", leak.reason}}));
    Json answer = {{"key", key_json(key)}};
    answer.update(Json::parse(text));
    answer["webhooks"] = told;
    answer["successor"] = successor_of(leak.reporter, leak.key);
    if (const Result<> closed = table_.erase_open_leak(key.key_id.value()); !closed) {
      log::error("a finished leak stays open; it is finished once more after the next start",
                 {{"incident", id}, {"error", closed.error().message}});
    }
    return answer;
  };
  return identity::audited<Json>(parts_.append, leak.reporter, action, body);
}

// What verifies, and by its id what does not: one bad file must not hide the others.
Result<Json> LeakService::list(const identity::Actor& actor) {
  return identity::audited<Json>(parts_.append, actor,
                                 {audit::Operation::read, "incident.list", "", ""},
                                 [&](AuditedAction&) -> Result<Json> {
                                   TRY(const auto ids, incidents_.ids());
                                   Json list = Json::array();
                                   for (const std::string& id : ids) {
                                     Json one = listed(actor, id);
                                     if (!one.is_null()) {
                                       list.push_back(std::move(one));
                                     }
                                   }
                                   return list;
                                 });
}

// Null: not for this actor. Whose incident a file is that does not verify nobody knows, so those
// who run the installation see it.
Json LeakService::listed(const identity::Actor& actor, const std::string& id) {
  const auto text = incidents_.load(id);
  const auto incident = text ? incident::verify(*text, parts_.signing_key.public_key())
                             : Result<nlohmann::json>(std::unexpected(text.error()));
  if (incident && incident->value("id", std::string()) == id) {
    return reaches(actor, *incident) ? summary(*incident) : Json();
  }
  const std::string fault = incident ? "it is a copy of another incident's file"
                            : text   ? incident.error().message
                                     : "the file cannot be read; the server's log says why";
  log::error("the record of an incident is not as it was written",
             {{"incident", id}, {"error", text ? fault : text.error().message}});
  return actor.tenant.value() == identity::kHomeTenant ? Json{{"id", id}, {"fault", fault}}
                                                       : Json();
}

Result<Json> LeakService::show(const identity::Actor& actor, const std::string& id) {
  return identity::audited<Json>(
      parts_.append, actor, {audit::Operation::read, "incident.show", id.substr(0, 64), ""},
      [&](AuditedAction&) -> Result<Json> {
        TRY(const std::string text, incidents_.load(id));
        TRY(const nlohmann::json incident, incident::verify(text, parts_.signing_key.public_key()));
        if (!reaches(actor, incident) || incident.value("id", std::string()) != id) {
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
