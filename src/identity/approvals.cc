// What waits for a second person. On the thread of the database; see the header.
#include "identity/approvals.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "base/log.h"
#include "base/random.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "identity/key_service.h"
#include "identity/sessions.h"

namespace deepmoat::identity {

namespace {

constexpr std::string_view kRowPurpose = "deepmoat approval row 1";
constexpr std::string_view kLocalPrefix = "local:";  // no client's name holds a colon
constexpr std::size_t kIdRandomBytes = 12;
constexpr std::size_t kIdBytes = 4 + 2 * kIdRandomBytes;
constexpr std::int64_t kShownMax = 500;
constexpr std::int64_t kHourMs = 60LL * 60 * 1000;
constexpr UnixMillis kKeptMs = 90 * kDayMs;

std::string scopes_of(const Actor& actor) {
  std::string names;
  for (const Permission permission : kPermissions) {
    if (actor.narrowed_to && actor.narrowed_to->has(permission)) {
      names += (names.empty() ? "" : " ") + std::string(permission_name(permission));
    }
  }
  return names;
}

std::optional<PermissionSet> narrowed_to(const std::string& scopes) {
  if (scopes.empty()) {
    return std::nullopt;
  }
  PermissionSet permissions;
  for (std::size_t at = 0; at < scopes.size();) {
    const std::size_t end = std::min(scopes.find(' ', at), scopes.size());
    // The MAC vouches for the names; one that this program does not know is a right less.
    if (const auto known = parse_permission(scopes.substr(at, end - at))) {
      permissions.add(*known);
    }
    at = end + 1;
  }
  return permissions;
}

bool is_local(std::string_view operator_id) {
  return operator_id.starts_with(kLocalPrefix);
}

std::string person(std::string_view tenant, std::string_view client_id) {
  return fmt::format("{}/{}", tenant, client_id);
}

// "model.remove qwen 1"
std::string what(std::string_view action, std::string_view resource) {
  return fmt::format("{}{}{}", action, resource.empty() ? "" : " ", resource);
}

// Whoever asked, as it will stand in the records of what is carried out; found with those of the
// approver by the approver's request id.
Actor requester_of(const store::ApprovalRow& row, const Actor& approver) {
  return {.operator_id = row.operator_id,
          .key_id = row.key_id,
          .role = row.role,
          .tenant = TenantId(row.tenant),
          .authentication = row.authentication,
          .ip_address = row.ip_address,
          .request_id = approver.request_id,
          .narrowed_to = narrowed_to(row.scopes),
          .approved_by = fmt::format(
              "{} ({})", person(approver.tenant.value(), approver.operator_id), row.approval_id)};
}

HeldCall call_of(const store::ApprovalRow& row) {
  return {.route = row.route,
          .argument = row.argument,
          .body = row.body,
          .action = row.action,
          .resource = row.resource};
}

std::unexpected<Error> no_such() {
  return fail(Code::not_found, "no such approval; see: deepmoat approval list");
}

Result<> check_undecided(const Approval& approval) {
  switch (approval.state) {
    case ApprovalState::waiting:
      return {};
    case ApprovalState::expired:
      return fail(Code::already_exists, "nobody decided in time, so it is over: " +
                                            approval.requester() + " has to ask again");
    case ApprovalState::altered:
      return fail(Code::corrupt,
                  "the row of this approval was altered from outside: nothing is done; find out "
                  "who can write the database, and ask again");
    default:
      return fail(Code::already_exists,
                  fmt::format("{} has decided it already: it is {}", approval.decider(),
                              state_name(approval.state)));
  }
}

}  // namespace

std::string_view state_name(ApprovalState state) {
  switch (state) {
    case ApprovalState::waiting:
      return "waiting";
    case ApprovalState::expired:
      return "expired";
    case ApprovalState::done:
      return "done";
    case ApprovalState::failed:
      return "failed";
    case ApprovalState::interrupted:
      return "interrupted";
    case ApprovalState::refused:
      return "refused";
    case ApprovalState::withdrawn:
      return "withdrawn";
    case ApprovalState::altered:
      return "altered";
  }
  return "altered";
}

std::string Approval::requester() const {
  return person(row.tenant, row.operator_id);
}

std::string Approval::decider() const {
  return row.decided_by.empty() ? "" : person(row.decided_tenant, row.decided_by);
}

bool asked_for(const Actor& actor, const Approval& approval) {
  if (is_local(actor.operator_id)) {
    return is_local(approval.row.operator_id);
  }
  return actor.operator_id == approval.row.operator_id &&
         actor.tenant.value() == approval.row.tenant;
}

Approvals::Approvals(store::Database& database, AppendAudit append,
                     const Authenticator& authenticator, const crypto::RootSecrets& secrets,
                     const Clock& clock)
    : table_(database),
      people_(database, secrets),
      append_(std::move(append)),
      authenticator_(authenticator),
      rows_(secrets, kRowPurpose),
      clock_(clock) {}

// A clock that is set back gives nothing more time.
UnixMillis Approvals::now_ms() const {
  return authenticator_.latest_ms(clock_.unix_ms());
}

std::string Approvals::row_mac(const store::ApprovalRow& row) const {
  return rows_.mac(
      {row.approval_id, row.tenant, row.operator_id, row.key_id, row.role, row.authentication,
       row.ip_address, row.scopes, row.route, row.argument, row.body, row.action, row.resource,
       row.state, row.decided_tenant, row.decided_by, row.decided_key_id, row.reason},
      {row.created_ms, row.expires_ms, row.decided_ms, row.status});
}

Approval Approvals::approval_of(store::ApprovalRow row) const {
  Approval approval{.row = std::move(row)};
  const std::string& stored = approval.row.state;
  if (!crypto::equal_constant_time(approval.row.row_mac, row_mac(approval.row))) {
    approval.state = ApprovalState::altered;
  } else if (stored == "waiting") {
    approval.state =
        now_ms() < approval.row.expires_ms ? ApprovalState::waiting : ApprovalState::expired;
  } else if (stored == "approved") {
    // What is being carried out is on this thread, so nobody who asks sees it.
    approval.state = ApprovalState::interrupted;
  } else {
    approval.state = stored == "done"      ? ApprovalState::done
                     : stored == "failed"  ? ApprovalState::failed
                     : stored == "refused" ? ApprovalState::refused
                                           : ApprovalState::withdrawn;
  }
  return approval;
}

Result<Approval> Approvals::find(const Actor& actor, const std::string& id) {
  TRY(std::optional<store::ApprovalRow> row, table_.find(id));
  if (!row || !reaches(actor.tenant, TenantId(row->tenant))) {
    return no_such();
  }
  return approval_of(*std::move(row));
}

Result<Approval> Approvals::find_waiting(const Actor& actor, const HeldCall& call) {
  TRY(std::vector<store::ApprovalRow> rows, table_.list_waiting(actor.tenant.value()));
  std::size_t waiting = 0;
  for (store::ApprovalRow& row : rows) {
    Approval approval = approval_of(std::move(row));
    if (approval.state != ApprovalState::waiting) {  // its time is over, or it was altered
      continue;
    }
    const store::ApprovalRow& held = approval.row;
    if (held.key_id == actor.key_id && held.operator_id == actor.operator_id &&
        held.scopes == scopes_of(actor) && held.route == call.route &&
        held.argument == call.argument && held.body == call.body) {
      return approval;
    }
    ++waiting;
  }
  if (waiting >= kApprovalsWaitingMax) {
    return fail(Code::resource_exhausted,
                fmt::format("{} requests of this tenant wait for a second person already: decide "
                            "or withdraw some",
                            waiting));
  }
  return no_such();
}

Result<Approval> Approvals::request(const Actor& actor, const HeldCall& call, std::int64_t hours) {
  const auto body = [&](AuditedAction& action) -> Result<Approval> {
    if (call.body.size() > kHeldBodyBytesMax) {
      return fail(Code::invalid_argument,
                  fmt::format("the body must have at most {} bytes where a second person has to "
                              "read it",
                              kHeldBodyBytesMax));
    }
    CHECK_OK(table_.prune(now_ms() - kKeptMs));
    auto waiting = find_waiting(actor, call);
    if (waiting || waiting.error().code != Code::not_found) {
      if (waiting) {
        action.resource = waiting->row.approval_id;
      }
      return waiting;
    }
    store::ApprovalRow row{.approval_id = "",
                           .tenant = actor.tenant.value(),
                           .operator_id = actor.operator_id,
                           .key_id = actor.key_id,
                           .role = actor.role,
                           .authentication = actor.authentication,
                           .ip_address = actor.ip_address,
                           .scopes = scopes_of(actor),
                           .route = call.route,
                           .argument = call.argument,
                           .body = call.body,
                           .action = call.action,
                           .resource = call.resource,
                           .created_ms = now_ms(),
                           .expires_ms = now_ms() + hours * kHourMs,
                           .state = "waiting"};
    TRY(const std::string random, random_bytes(kIdRandomBytes));
    row.approval_id = "apr_" + to_hex(random);
    row.row_mac = row_mac(row);
    CHECK_OK(table_.insert(row));
    action.resource = row.approval_id;
    return approval_of(std::move(row));
  };
  return audited<Approval>(
      append_, actor,
      {audit::Operation::write, "approval.request", "", what(call.action, call.resource)}, body);
}

Result<std::vector<Approval>> Approvals::list(const Actor& actor) {
  using List = std::vector<Approval>;
  return audited<List>(append_, actor, {audit::Operation::read, "approval.list", "", ""},
                       [&](AuditedAction&) -> Result<List> {
                         const bool all = actor.tenant.value() == kHomeTenant;
                         TRY(std::vector<store::ApprovalRow> rows,
                             table_.list(all ? std::string() : actor.tenant.value(), kShownMax));
                         List approvals;
                         for (store::ApprovalRow& row : rows) {
                           if (reaches(actor.tenant, TenantId(row.tenant))) {
                             approvals.push_back(approval_of(std::move(row)));
                           }
                         }
                         return approvals;
                       });
}

// Names both persons, and what it is about, where there is such a thing.
AuditedAction Approvals::decision(std::string_view name, const Actor& actor,
                                  const std::string& id) {
  AuditedAction action{audit::Operation::write, std::string(name), id.substr(0, kIdBytes), ""};
  if (const auto found = find(actor, id); found && found->state != ApprovalState::altered) {
    action.detail =
        what(found->row.action, found->row.resource) + " requested by " + found->requester();
  }
  return action;
}

// A session may have ended since: what counts is the person, as he was when he asked. A password
// that was set since may mean that it was not him.
bool Approvals::requester_in_force(const store::ApprovalRow& row) {
  if (is_local(row.operator_id)) {
    return true;
  }
  if (!is_session(KeyId(row.key_id))) {
    return authenticator_.still_valid(KeyId(row.key_id), clock_.unix_ms());
  }
  const auto person = people_.find({.tenant = row.tenant, .name = row.operator_id});
  return person && *person && (*person)->disabled_ms == 0 && (*person)->role == row.role &&
         (*person)->password_ms <= row.created_ms;
}

Result<> Approvals::save(store::ApprovalRow& row, std::string_view state_before) {
  row.row_mac = row_mac(row);
  return table_.update(row, state_before);
}

Result<> Approvals::decide(Approval& approval, const Actor& actor, std::string_view state) {
  approval.row.state = state;
  approval.row.decided_tenant = actor.tenant.value();
  approval.row.decided_by = actor.operator_id;
  approval.row.decided_key_id = actor.key_id;
  approval.row.decided_ms = now_ms();
  return save(approval.row, "waiting");
}

Result<Approval> Approvals::approve(const Actor& actor, const std::string& id,
                                    const Permitted& permitted, const CarryOut& carry_out) {
  const auto body = [&](AuditedAction&) -> Result<Approval> {
    TRY(Approval approval, find(actor, id));
    if (approval.state == ApprovalState::altered) {
      return std::unexpected(check_undecided(approval).error());
    }
    CHECK_OK(permitted(approval));
    if (asked_for(actor, approval)) {
      return fail(Code::permission_denied,
                  approval.requester() + " has asked for it: another person must approve it");
    }
    CHECK_OK(check_undecided(approval));
    store::ApprovalRow& row = approval.row;
    if (!requester_in_force(row)) {
      return fail(Code::already_exists, "what " + approval.requester() +
                                            " has asked with, a key or being signed in, is no "
                                            "longer in force: refuse it");
    }
    CHECK_OK(decide(approval, actor, "approved"));
    row.status = carry_out(requester_of(row, actor), call_of(row));
    row.state = row.status < 400 ? "done" : "failed";
    if (const auto saved = save(row, "approved"); !saved) {
      // It is done, and that is in the audit log; the row stays as a crash would leave it.
      log::error("the result of an approval could not be stored",
                 {{"approval", row.approval_id}, {"error", saved.error().message}});
    }
    return approval_of(std::move(row));
  };
  return audited<Approval>(append_, actor, decision("approval.approve", actor, id), body);
}

Result<Approval> Approvals::refuse(const Actor& actor, const std::string& id,
                                   const Permitted& permitted, const std::string& reason) {
  AuditedAction action = decision("approval.refuse", actor, id);
  const Result<> reason_good = check_text("reason", reason, kReasonBytesMax);
  if (reason_good) {
    action.detail += (action.detail.empty() ? "" : ": ") + reason;
  }
  const auto body = [&](AuditedAction&) -> Result<Approval> {
    CHECK_OK(reason_good);
    if (reason.empty()) {
      return fail(Code::invalid_argument, "reason: say why it is refused");
    }
    TRY(Approval approval, find(actor, id));
    if (approval.state == ApprovalState::altered) {
      return std::unexpected(check_undecided(approval).error());
    }
    const bool own = asked_for(actor, approval);
    if (!own) {
      CHECK_OK(permitted(approval));
    }
    CHECK_OK(check_undecided(approval));
    approval.row.reason = reason;
    CHECK_OK(decide(approval, actor, own ? "withdrawn" : "refused"));
    return approval_of(std::move(approval.row));
  };
  return audited<Approval>(append_, actor, std::move(action), body);
}

}  // namespace deepmoat::identity
