#include "oversight/legal_hold.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "crypto/digest.h"
#include "identity/api_key.h"
#include "identity/key_attributes.h"
#include "oversight/setting.h"

namespace deepmoat::oversight {

namespace {

using audit::Operation;
using identity::Actor;
using identity::AuditedAction;

constexpr std::string_view kRowPurpose = "deepmoat legal hold row 1";
constexpr std::string_view kIdPrefix = "hld_";
constexpr std::size_t kNameBytesMax = 128;

Result<> check(const NewLegalHold& request) {
  if (!request.tenant.empty()) {
    CHECK_OK(identity::check_name("tenant", request.tenant));
  }
  CHECK_OK(identity::check_text("key_id", request.key_id, kNameBytesMax));
  CHECK_OK(identity::check_text("operator_id", request.operator_id, kNameBytesMax));
  if (request.operator_id.starts_with("person:")) {  // as queries write it; records do not
    return fail(Code::invalid_argument, "operator_id: write a person's name without person:");
  }
  CHECK_OK(check_time_s("since", request.since_s));
  CHECK_OK(check_time_s("until", request.until_s));
  if (request.until_s != 0 && request.until_s <= request.since_s) {
    return fail(Code::invalid_argument, "until: must be later than since");
  }
  if (request.tenant.empty() && request.key_id.empty() && request.operator_id.empty() &&
      request.since_s == 0 && request.until_s == 0) {
    return fail(Code::invalid_argument,
                "tenant: say what is held: at least one of tenant, key_id, operator_id, since and "
                "until");
  }
  return check_reason(request.reason);
}

// For the audit record. REQUIRES: check() has passed.
std::string summary_of(const NewLegalHold& request) {
  std::string text;
  identity::add_to(text, "tenant", request.tenant.empty() ? "(all)" : request.tenant);
  if (!request.key_id.empty()) {
    identity::add_to(text, "key_id", identity::plain_or_quoted(request.key_id));
  }
  if (!request.operator_id.empty()) {
    identity::add_to(text, "operator_id", identity::plain_or_quoted(request.operator_id));
  }
  if (request.since_s != 0) {
    identity::add_to(text, "since", std::to_string(request.since_s));
  }
  if (request.until_s != 0) {
    identity::add_to(text, "until", std::to_string(request.until_s));
  }
  identity::add_to(text, "reason", identity::plain_or_quoted(request.reason));
  return text;
}

bool fits(std::string_view wanted, std::string_view value) {
  return wanted.empty() || wanted == value;
}

}  // namespace

bool covers(const LegalHold& hold, const HoldFacts& facts) {
  return fits(hold.tenant, facts.tenant) && fits(hold.key_id, facts.key_id) &&
         fits(hold.operator_id, facts.operator_id) && facts.happened_ms >= hold.since_ms &&
         (hold.until_ms == 0 || facts.happened_ms < hold.until_ms);
}

LegalHolds::LegalHolds(store::Database& database, identity::AppendAudit append,
                       const crypto::RootSecrets& secrets, const Clock& clock)
    : database_(database),
      table_(database),
      append_(std::move(append)),
      rows_(secrets, kRowPurpose),
      clock_(clock),
      snapshot_(std::make_shared<const Snapshot>(std::nullopt)) {}

Result<std::unique_ptr<LegalHolds>> LegalHolds::open(store::Database& database,
                                                     identity::AppendAudit append,
                                                     const crypto::RootSecrets& secrets,
                                                     const Clock& clock) {
  std::unique_ptr<LegalHolds> made(new LegalHolds(database, std::move(append), secrets, clock));
  CHECK_OK(made->reload());
  return made;
}

std::string LegalHolds::row_mac(const store::LegalHoldRow& row) const {
  return rows_.mac({row.hold_id, row.tenant, row.key_id, row.operator_id, row.reason, row.placed_by,
                    row.released_by},
                   {row.since_ms, row.until_ms, row.placed_ms, row.released_ms});
}

LegalHold LegalHolds::hold_of(const store::LegalHoldRow& row) const {
  return {.id = row.hold_id,
          .tenant = row.tenant,
          .key_id = row.key_id,
          .operator_id = row.operator_id,
          .since_ms = row.since_ms,
          .until_ms = row.until_ms,
          .reason = row.reason,
          .placed_by = row.placed_by,
          .placed_ms = row.placed_ms,
          .released_by = row.released_by,
          .released_ms = row.released_ms,
          .intact = crypto::equal_constant_time(row.row_mac, row_mac(row))};
}

Result<> LegalHolds::reload() {
  Result<> read = read_rows();
  ++generation_;  // behind the new holds: who saw the old ones sees another number
  return read;
}

Result<> LegalHolds::read_rows() {
  const auto rows = table_.list_holds();
  if (!rows) {
    snapshot_.store(std::make_shared<const Snapshot>(std::nullopt));
    return std::unexpected(rows.error());
  }
  std::vector<LegalHold> in_force;
  for (const store::LegalHoldRow& row : *rows) {
    LegalHold hold = hold_of(row);
    if (!hold.intact) {
      log::error(
          "a legal hold was altered outside this program: nothing is deleted until an auditor of "
          "tenant \"default\" releases it and places it anew",
          {{"hold", row.hold_id}});
      snapshot_.store(std::make_shared<const Snapshot>(std::nullopt));
      return {};
    }
    newest_release_ms_ = std::max(newest_release_ms_.load(), hold.released_ms);
    if (hold.released_ms == 0) {
      in_force.push_back(std::move(hold));
    }
  }
  snapshot_.store(std::make_shared<const Snapshot>(std::move(in_force)));
  return {};
}

bool LegalHolds::uncertain() const {
  return !snapshot_.load()->has_value();
}

bool LegalHolds::held(const HoldFacts& facts) const {
  const std::shared_ptr<const Snapshot> snapshot = snapshot_.load();
  return !*snapshot || std::ranges::any_of(
                           **snapshot, [&](const LegalHold& hold) { return covers(hold, facts); });
}

bool LegalHolds::held(const audit::Record& record, UnixMillis happened_ms) const {
  const std::shared_ptr<const Snapshot> snapshot = snapshot_.load();
  if (!*snapshot) {
    return true;
  }
  const HoldFacts facts{.tenant = record.tenant,
                        .key_id = record.key_id,
                        .operator_id = record.operator_id,
                        .happened_ms = happened_ms};
  // Only there is a resource a key: elsewhere callers name it, a model for one.
  const std::string_view changed_key =
      record.action.starts_with("key.") ? std::string_view(record.resource) : "";
  return std::ranges::any_of(**snapshot, [&](const LegalHold& hold) {
    // What an administrator did to a held key is in a record of the administrator's tenant and key.
    const bool of_changed_key = !hold.key_id.empty() && hold.key_id == changed_key;
    return covers(hold, of_changed_key
                            ? HoldFacts{hold.tenant, hold.key_id, hold.operator_id, happened_ms}
                            : facts);
  });
}

Result<LegalHold> LegalHolds::insert(const Actor& actor, const NewLegalHold& request) {
  CHECK_OK(check(request));
  CHECK_OK(check_reach(actor, request.tenant));
  CHECK_OK(check_tenant_exists(database_, request.tenant));
  std::string key_id;
  if (!request.key_id.empty()) {
    TRY(key_id, whole_key_id(database_, actor, request.key_id));
  }
  TRY(const auto rows, table_.list_holds());
  const auto of_tenant = std::ranges::count_if(rows, [&](const store::LegalHoldRow& row) {
    return row.tenant == request.tenant && row.released_ms == 0;
  });
  if (static_cast<std::size_t>(of_tenant) >= kHoldsMax) {
    return fail(Code::resource_exhausted,
                fmt::format("there are {} holds already: release some", of_tenant));
  }
  store::LegalHoldRow row{.hold_id = "",
                          .tenant = request.tenant,
                          .key_id = std::move(key_id),
                          .operator_id = request.operator_id,
                          .since_ms = request.since_s * 1000,
                          .until_ms = request.until_s * 1000,
                          .reason = request.reason,
                          .placed_by = name_of(actor),
                          .placed_ms = clock_.unix_ms(),
                          .released_by = "",
                          .released_ms = 0,
                          .row_mac = ""};
  TRY(row.hold_id, new_setting_id(kIdPrefix));
  row.row_mac = row_mac(row);
  CHECK_OK(table_.insert_hold(row));
  CHECK_OK(reload());
  return hold_of(row);
}

Result<LegalHold> LegalHolds::place(const Actor& actor, const NewLegalHold& request) {
  const bool good = check(request).has_value();  // else it is no text for a record
  return identity::audited<LegalHold>(
      append_, actor, {Operation::write, "audit.hold.place", "", good ? summary_of(request) : ""},
      [&](AuditedAction& action) -> Result<LegalHold> {
        TRY(LegalHold hold, insert(actor, request));
        action.resource = hold.id;
        return hold;
      });
}

Result<LegalHold> LegalHolds::release(const Actor& actor, const std::string& id) {
  return identity::audited<LegalHold>(
      append_, actor, {Operation::write, "audit.hold.release", id.substr(0, kSettingIdBytes), ""},
      [&](AuditedAction& action) { return end(actor, id, action); });
}

Result<LegalHold> LegalHolds::end(const Actor& actor, const std::string& id,
                                  AuditedAction& action) {
  TRY(auto rows, table_.list_holds());
  const auto row = std::ranges::find(rows, id, &store::LegalHoldRow::hold_id);
  const bool found = row != rows.end();
  const bool intact = found && hold_of(*row).intact;
  if (!found || !may_see(actor, intact ? std::string_view(row->tenant) : "")) {
    return fail(Code::not_found, "no such hold; see: deepmoat audit hold list");
  }
  if (intact && row->released_ms != 0) {
    return fail(Code::already_exists, fmt::format("{} has released it already", row->released_by));
  }
  if (!intact) {
    // What it said is not known any more. What it was placed with is in the audit log.
    action.resource += " (altered)";
    CHECK_OK(table_.erase_hold(id));
    newest_release_ms_ = clock_.unix_ms();
    CHECK_OK(reload());
    return LegalHold{
        .id = id, .released_by = name_of(actor), .released_ms = clock_.unix_ms(), .intact = false};
  }
  CHECK_OK(check_made_by(actor, row->placed_by));
  row->released_by = name_of(actor);
  row->released_ms = clock_.unix_ms();
  row->row_mac = row_mac(*row);
  CHECK_OK(table_.update_hold(*row));
  CHECK_OK(reload());
  return hold_of(*row);
}

Result<std::vector<LegalHold>> LegalHolds::list(const Actor& actor) {
  using List = std::vector<LegalHold>;
  return identity::audited<List>(
      append_, actor, {Operation::read, "audit.hold.list", "", ""},
      [&](AuditedAction&) -> Result<List> {
        TRY(const auto rows, table_.list_holds());
        List holds;
        for (const store::LegalHoldRow& row : rows) {
          LegalHold hold = hold_of(row);
          if (may_see(actor, hold.intact ? std::string_view(hold.tenant) : "")) {
            holds.push_back(std::move(hold));
          }
        }
        return holds;
      });
}

}  // namespace deepmoat::oversight
