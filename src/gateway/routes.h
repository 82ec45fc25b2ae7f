// The route table: every path that is served, in one file. What is not here is 404.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "audit/record.h"
#include "identity/roles.h"
#include "wire/refusal.h"

namespace deepmoat::gateway {

enum class Handler : std::uint8_t {
  chat_completions,
  completions,
  embeddings,
  rerank,
  responses,
  messages,
  count_tokens,
  predict,
  list_models,
  show_model,
  own_usage,
  create_key,
  list_keys,
  show_key,
  change_key,
  revoke_key,
  expire_key,
  create_tenant,
  list_tenants,
  show_tenant,
  change_tenant,
  rotate_key,
  enrol_second_factor,
  confirm_second_factor,
  show_second_factor,
  remove_second_factor,
  leak_key,
  list_incidents,
  show_incident,
  incident_key,
  add_webhook,
  list_webhooks,
  remove_webhook,
  test_webhook,
  list_deliveries,
  issue_certificate,
  list_certificates,
  revoke_certificate,
  fetch_successor,
  fetch_successor_by_code,
  open_session,
  show_session,
  end_session,
  create_person,
  list_people,
  show_person,
  change_person,
  reset_person_password,
  sign_person_out,
  remove_person,
  list_sessions,
  status,
  metrics,
  list_model_states,
  load_model,
  unload_model,
  swap_model,
  list_catalog,
  add_to_catalog,
  pin_version,
  unpin_version,
  remove_version,
  custody_status,
  roll_custody,
  list_approvals,
  approve,
  refuse_approval,
  list_content_policies,
  add_content_policy,
  remove_content_policy,
  list_holds,
  place_hold,
  release_hold,
  read_content,
  show_receipt,
  audit_key,
  add_witnessed,
  show_witnessed,
  list_records,
  export_records,
  show_report,
  sign_off_report,
  audit_status,
  livez,
  readyz,
  health,
};

// Whether a call waits for a second person where the configuration says so (approval.two_persons).
// What takes rights away never waits: revoking, expiring, reporting a leak.
enum class TwoPersons : std::uint8_t {
  never,
  always,
  for_approvers,  // when it makes a key or a person who may then approve, or an auditor
};

struct Route {
  std::string_view method;
  std::string_view
      pattern;  // "{}" stands for the rest of the path, or for one segment before a "/"
  Handler handler;
  std::optional<identity::Permission> permission;  // none: open to everybody, and not audited
  std::string_view action;                         // of the audit record
  audit::Operation operation;
  wire::ErrorShape errors = wire::ErrorShape::openai;  // how refusals look
  TwoPersons two_persons = TwoPersons::never;
};

// The call goes to a model; other permitted routes read or change the server itself.
[[nodiscard]] bool runs_inference(Handler handler);

[[nodiscard]] std::span<const Route> routes();

// Whether the role has the permission of any route that needs two persons.
[[nodiscard]] bool may_approve(identity::Role role);

struct RouteMatch {
  const Route* route = nullptr;
  std::string argument;         // what "{}" stood for, decoded
  bool path_known = false;      // the path exists, with another method
  std::string allowed_methods;  // for the Allow header of a 405
};

// `path` is decoded, without query.
[[nodiscard]] RouteMatch match_route(std::string_view method, std::string_view path);

// The table as Markdown for docs/api.md; a test holds the page to it.
[[nodiscard]] std::string routes_markdown();

}  // namespace deepmoat::gateway
