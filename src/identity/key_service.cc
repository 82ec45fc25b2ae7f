// Administration of keys. One blocking thread; see the header for the order of things.
#include "identity/key_service.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/hex.h"

namespace deepmoat::identity {

namespace {

constexpr std::string_view kRootIdSetting = "root_key_file_id";

bool right_of(const Actor& actor, const std::string& tenant) {
  return reaches(actor.tenant, TenantId(tenant));
}

}  // namespace

std::string_view state_name(KeyState state) {
  switch (state) {
    case KeyState::active:
      return "active";
    case KeyState::revoked:
      return "revoked";
    case KeyState::expired:
      return "expired";
    case KeyState::replaced:
      return "replaced";
    case KeyState::corrupt:
      return "corrupt";
  }
  return "unknown";
}

KeyService::KeyService(store::Database& database, AppendAudit append, Authenticator& authenticator,
                       const KeyAuthority& authority, const Clock& clock)
    : database_(database),
      append_(std::move(append)),
      authenticator_(authenticator),
      authority_(authority),
      clock_(clock) {}

Result<std::unique_ptr<KeyService>> KeyService::open(store::Database& database, AppendAudit append,
                                                     Authenticator& authenticator,
                                                     const KeyAuthority& authority,
                                                     const Clock& clock, std::string_view root_id) {
  TRY(const std::optional<std::string> stored, database.setting(kRootIdSetting));
  if (!stored) {
    CHECK_OK(database.set_setting(kRootIdSetting, root_id));
  } else if (*stored != root_id) {
    return fail(Code::corrupt,
                "the key file and the database do not belong together (the database wants key "
                "file " +
                    *stored + ", the key file is " + std::string(root_id) +
                    "); restore both from one backup");
  }
  std::unique_ptr<KeyService> service(
      new KeyService(database, std::move(append), authenticator, authority, clock));
  CHECK_OK(service->reload());
  return service;
}

Result<> KeyService::reload() {
  TRY(const std::vector<store::KeyRow> rows, database_.list_keys());
  corrupt_rows_ = authenticator_.replace(rows);
  return {};
}

Result<> KeyService::put_in_force(const store::KeyRow& edited) {
  TRY(std::vector<store::KeyRow> rows, database_.list_keys());
  std::ranges::replace_if(
      rows, [&](const store::KeyRow& row) { return row.key_id == edited.key_id; }, edited);
  authenticator_.replace(rows);
  return {};
}

KeyInfo KeyService::info_of(const store::KeyRow& row) const {
  KeyInfo info{.key_id = KeyId(row.key_id),
               .client_id = ClientId(row.client_id),
               .tenant = TenantId(row.tenant),
               .role = row.role,
               .kind = row.kind,
               .label = row.label,
               .created_ms = row.created_ms,
               .expires_ms = row.expires_ms,
               .revoked_ms = row.revoked_ms,
               .revoke_reason = row.revoke_reason,
               .predecessor = KeyId(row.predecessor),
               .overlap_until_ms = row.overlap_until_ms,
               .state = KeyState::active,
               .attributes = attributes_of(row)};
  const UnixMillis now_ms = authenticator_.latest_ms(clock_.unix_ms());  // as calls are judged
  if (!authority_.row_intact(row)) {
    info.state = KeyState::corrupt;
  } else if (row.revoked_ms != 0) {
    info.state = KeyState::revoked;
  } else if (row.overlap_until_ms != 0 && now_ms >= row.overlap_until_ms) {
    info.state = KeyState::replaced;
  } else if (now_ms >= row.expires_ms) {
    info.state = KeyState::expired;
  }
  return info;
}

namespace {

// For the record, before it is known that the key may be made: nothing unchecked stands in it.
std::string what_is_made(const CreateKey& request, bool attributes_are_good) {
  std::string text = "role=" + std::string(role_name(request.role));
  if (check_name("tenant", request.tenant)) {
    text += "; tenant=" + request.tenant;
  }
  const std::string more = attributes_are_good ? summary_of(request.attributes) : std::string();
  return more.empty() ? text : text + "; " + more;
}

}  // namespace

Result<CreatedKey> KeyService::create(const Actor& actor, const CreateKey& request) {
  // Names are checked inside, so that a refused attempt is on record; the record itself gets
  // nothing unchecked that is longer than a name.
  const std::string named = request.client_id.substr(0, 63);
  const Result<KeyRules> rules = rules_of(request.attributes, request.role);
  const std::string detail = what_is_made(request, rules.has_value());
  return audited<CreatedKey>(
      append_, actor, AuditedAction{audit::Operation::write, "key.create", named, detail},
      [&](AuditedAction& action) -> Result<CreatedKey> {
        CHECK_OK(check_name("client_id", request.client_id));
        CHECK_OK(check_name("tenant", request.tenant));
        CHECK_OK(check_text("label", request.label, kLabelBytesMax));
        if (request.lifetime_s < 1 || request.lifetime_s > kKeyLifetimeMaxS) {
          return fail(Code::invalid_argument, "lifetime_s: must be 1 second to 90 days");
        }
        if (!right_of(actor, request.tenant)) {
          return fail(Code::permission_denied,
                      "tenant: keys of another tenant need an administrator of tenant \"default\"");
        }
        CHECK_OK(rules);
        CHECK_OK(check_grant(actor, rules->permissions));
        CHECK_OK(may_issue());
        const UnixMillis now_ms = clock_.unix_ms();
        const KeyKind kind = kind_of(request.role);
        TRY(Secret shown, authority_.make_key(kind, request.client_id, now_ms));
        store::KeyRow row;
        TRY(row.key_id, KeyAuthority::make_key_id());
        row.lookup = to_hex(crypto::view(authority_.lookup(shown.reveal())));
        row.client_id = request.client_id;
        row.kind = kind_name(kind);
        row.role = role_name(request.role);
        row.tenant = request.tenant;
        row.label = request.label;
        row.created_ms = now_ms;
        row.expires_ms = now_ms + request.lifetime_s * 1000;
        put_attributes(request.attributes, row);
        authority_.seal(row);
        action.resource = row.key_id;
        CHECK_OK(database_.ensure_tenant(
            {.name = row.tenant, .organisation = "", .label = "", .created_ms = now_ms}));
        CHECK_OK(database_.insert_key(row));
        CHECK_OK(reload());
        return CreatedKey{.info = info_of(row), .shown = std::move(shown)};
      });
}

Result<std::vector<KeyInfo>> KeyService::list(const Actor& actor) {
  return audited<std::vector<KeyInfo>>(
      append_, actor, AuditedAction{audit::Operation::read, "key.list", "", ""},
      [&](AuditedAction&) -> Result<std::vector<KeyInfo>> {
        TRY(const std::vector<store::KeyRow> rows, database_.list_keys());
        std::vector<KeyInfo> keys;
        for (const store::KeyRow& row : rows) {
          if (right_of(actor, row.tenant)) {
            keys.push_back(info_of(row));
          }
        }
        return keys;
      });
}

Result<std::vector<KeyInfo>> KeyService::all_keys() {
  TRY(const std::vector<store::KeyRow> rows, database_.list_keys());
  std::vector<KeyInfo> keys;
  for (const store::KeyRow& row : rows) {
    keys.push_back(info_of(row));
  }
  return keys;
}

Result<store::KeyRow> KeyService::find(const Actor& actor, std::string_view reference) {
  const bool shown_key = parse_key(reference, true).has_value();
  std::vector<std::string> lookups;
  if (shown_key) {
    if (reference.size() == kKeyBodyDigits) {
      for (const Role role : kRoles) {
        const Secret shown = compose_key(kind_of(role), reference);
        lookups.push_back(to_hex(crypto::view(authority_.lookup(shown.reveal()))));
      }
    } else {
      lookups.push_back(to_hex(crypto::view(authority_.lookup(reference))));
    }
  } else if (reference.size() < kKeyReferenceBytesMin || !reference.starts_with(kKeyIdPrefix)) {
    return fail(Code::invalid_argument,
                "key: give its id (key_...), the first 8 or more characters of it, or the key");
  }
  TRY(const std::vector<store::KeyRow> rows, database_.list_keys());
  std::optional<store::KeyRow> found;
  for (const store::KeyRow& row : rows) {
    const bool fits = shown_key ? std::ranges::find(lookups, row.lookup) != lookups.end()
                                : row.key_id.starts_with(reference);
    if (!fits || !right_of(actor, row.tenant)) {
      continue;
    }
    if (found) {
      return fail(Code::invalid_argument, "key: more than one key begins with these characters");
    }
    found = row;
  }
  if (!found) {
    return fail(Code::not_found, "no such key");
  }
  return *std::move(found);
}

Result<KeyInfo> KeyService::show(const Actor& actor, std::string_view reference) {
  return audited<KeyInfo>(append_, actor, AuditedAction{audit::Operation::read, "key.show", "", ""},
                          [&](AuditedAction& action) -> Result<KeyInfo> {
                            TRY(const store::KeyRow row, find(actor, reference));
                            action.resource = row.key_id;
                            return info_of(row);
                          });
}

Result<KeyInfo> KeyService::edit(const Actor& actor, std::string_view name,
                                 std::string_view reference, std::string_view detail, First first,
                                 const Edit& apply, const Keep& keep,
                                 std::uint64_t* result_sequence) {
  // The intent names the key that it is about, so the key is looked up before it is written.
  const Result<store::KeyRow> target = find(actor, reference);
  const std::string resource = target ? target->key_id : std::string();
  return audited<KeyInfo>(
      append_, actor,
      AuditedAction{audit::Operation::write, std::string(name), resource, std::string(detail)},
      [&](AuditedAction&) -> Result<KeyInfo> {
        TRY(store::KeyRow row, Result<store::KeyRow>(target));
        if (!authority_.row_intact(row)) {
          // Sealing it anew would make a forged row good.
          return fail(Code::corrupt, "key " + row.key_id +
                                         ": its row was altered from outside, so nobody can use "
                                         "it; it cannot be changed");
        }
        const store::KeyRow before = row;
        CHECK_OK(apply(row));
        if (row != before) {
          authority_.seal(row);
          if (first == First::memory) {
            CHECK_OK(put_in_force(row));
          }
        }
        if (row != before || keep) {
          const Result<> kept = database_.transaction([&]() -> Result<> {
            if (row != before) {
              CHECK_OK(database_.update_key(row));
            }
            return keep ? keep(row) : Result<>();
          });
          CHECK_OK(reload());
          CHECK_OK(kept);
        }
        return info_of(row);
      },
      result_sequence);
}

Result<KeyInfo> KeyService::change(const Actor& actor, std::string_view reference,
                                   const KeyChange& change) {
  // What is on record was checked by itself; the rest needs the key that it is for.
  const std::vector<std::string> scopes = change.scopes.value_or(std::vector<std::string>());
  KeyAttributes alone;
  identity::apply(change, alone);
  alone.scopes = {};
  alone.adapter_only = false;
  const bool good =
      rules_of(alone, Role::admin).has_value() &&
      std::ranges::all_of(
          scopes, [](const std::string& scope) { return parse_permission(scope).has_value(); }) &&
      check_text("label", change.label.value_or(""), kLabelBytesMax).has_value();
  return edit(actor, "key.change", reference, good ? summary_of(change) : "", First::disk,
              [&](store::KeyRow& row) -> Result<> {
                const KeyState state = info_of(row).state;
                if (state != KeyState::active) {
                  return fail(Code::invalid_argument,
                              "key: it is " + std::string(state_name(state)) +
                                  ", and only a living key is changed; make a new "
                                  "one");
                }
                CHECK_OK(check_text("label", change.label.value_or(""), kLabelBytesMax));
                TRY(const Role role, parse_role(row.role));
                KeyAttributes attributes = attributes_of(row);
                identity::apply(change, attributes);
                TRY(const KeyRules rules, rules_of(attributes, role));
                CHECK_OK(check_grant(actor, rules.permissions));
                put_attributes(attributes, row);
                row.label = change.label.value_or(row.label);
                return {};
              });
}

Result<LeakedKey> KeyService::revoke_as(std::string_view name, const Actor& actor,
                                        std::string_view reference, std::string_view reason,
                                        const KeepLeak& keep) {
  const Result<> reason_good = check_text("reason", reason, kReasonBytesMax);
  const std::string_view recorded = reason_good ? reason : std::string_view();
  LeakedKey revoked;
  const Edit withdraw = [&](store::KeyRow& row) -> Result<> {
    CHECK_OK(reason_good);
    if (reason.empty()) {
      return fail(Code::invalid_argument, "reason: say why the key is revoked");
    }
    revoked.before = info_of(row).state;
    if (row.revoked_ms == 0) {
      row.revoked_ms = clock_.unix_ms();
      row.revoke_reason = reason;
    }
    return {};
  };
  const Keep keep_row = [&](const store::KeyRow& row) -> Result<> {
    revoked.info = info_of(row);
    return keep(revoked);
  };
  TRY(revoked.info, edit(actor, name, reference, recorded, First::memory, withdraw,
                         keep ? keep_row : Keep(), &revoked.audit_sequence));
  return revoked;
}

Result<KeyInfo> KeyService::revoke(const Actor& actor, std::string_view reference,
                                   std::string_view reason) {
  TRY(LeakedKey revoked, revoke_as("key.revoke", actor, reference, reason, nullptr));
  return std::move(revoked.info);
}

Result<LeakedKey> KeyService::leak(const Actor& actor, std::string_view reference,
                                   std::string_view reason, const KeepLeak& keep) {
  return revoke_as("key.leak", actor, reference, reason, keep);
}

Result<KeyInfo> KeyService::expire(const Actor& actor, std::string_view reference,
                                   UnixMillis at_ms) {
  return edit(actor, "key.expire", reference, "", First::memory,
              [&](store::KeyRow& row) -> Result<> {
                if (at_ms > row.expires_ms) {
                  return fail(Code::invalid_argument,
                              "at: later than the key's own end; make a new key instead");
                }
                row.expires_ms = std::max(at_ms, row.created_ms);
                return {};
              });
}

}  // namespace deepmoat::identity
