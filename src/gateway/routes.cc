#include "gateway/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace deepmoat::gateway {

namespace {

using audit::Operation;
using identity::Permission;

constexpr std::array kRoutes = {
    Route{"POST", "/v1/chat/completions", Handler::chat_completions, Permission::call_models,
          "chat.completions", Operation::execute},
    Route{"POST", "/v1/completions", Handler::completions, Permission::call_models, "completions",
          Operation::execute},
    Route{"POST", "/v1/embeddings", Handler::embeddings, Permission::call_models, "embeddings",
          Operation::execute},
    Route{"POST", "/v1/rerank", Handler::rerank, Permission::call_models, "rerank",
          Operation::execute},
    Route{"POST", "/rerank", Handler::rerank, Permission::call_models, "rerank",
          Operation::execute},
    Route{"POST", "/v1/responses", Handler::responses, Permission::call_models, "responses",
          Operation::execute},
    Route{"POST", "/v1/messages", Handler::messages, Permission::call_models, "messages",
          Operation::execute, wire::ErrorShape::anthropic},
    Route{"POST", "/v1/messages/count_tokens", Handler::count_tokens, Permission::call_models,
          "messages.count_tokens", Operation::execute, wire::ErrorShape::anthropic},
    Route{"POST", "/api/predict", Handler::predict, Permission::call_models, "predict",
          Operation::execute},
    Route{"GET", "/v1/models", Handler::list_models, Permission::see_models, "models.list",
          Operation::read},
    Route{"GET", "/v1/models/{}", Handler::show_model, Permission::see_models, "models.show",
          Operation::read},
    Route{"GET", "/v1/usage", Handler::own_usage, Permission::see_own_usage, "usage.own",
          Operation::read},
    Route{"POST", "/v1/keys/rotate", Handler::rotate_key, Permission::rotate_own_key, "key.rotate",
          Operation::write},
    // These two authenticate in their own way (gateway/successor.h): no role's permission is asked
    // for.
    Route{"GET", "/v1/keys/successor", Handler::fetch_successor, Permission::see_own_usage,
          "key.successor", Operation::read},
    Route{"POST", "/v1/keys/successor", Handler::fetch_successor_by_code,
          Permission::rotate_own_key, "key.successor", Operation::write},
    // Authenticates by its body (gateway/sign_in.h).
    Route{"POST", "/v1/sessions", Handler::open_session, Permission::own_session, "session.open",
          Operation::write},
    Route{"GET", "/v1/sessions/current", Handler::show_session, Permission::own_session,
          "session.show", Operation::read},
    Route{"POST", "/v1/sessions/end", Handler::end_session, Permission::own_session,
          "session.close", Operation::write},
    // Who could make a second person for himself, or become one, would be two.
    Route{"POST", "/admin/v1/keys", Handler::create_key, Permission::manage_keys, "key.create",
          Operation::write, wire::ErrorShape::openai, TwoPersons::for_approvers},
    Route{"GET", "/admin/v1/keys", Handler::list_keys, Permission::manage_keys, "key.list",
          Operation::read},
    Route{"GET", "/admin/v1/keys/{}", Handler::show_key, Permission::manage_keys, "key.show",
          Operation::read},
    Route{"PATCH", "/admin/v1/keys/{}", Handler::change_key, Permission::manage_keys, "key.change",
          Operation::write},
    Route{"POST", "/admin/v1/keys/{}/revoke", Handler::revoke_key, Permission::manage_keys,
          "key.revoke", Operation::write},
    Route{"POST", "/admin/v1/keys/{}/expire", Handler::expire_key, Permission::manage_keys,
          "key.expire", Operation::write},
    Route{"POST", "/admin/v1/tenants", Handler::create_tenant, Permission::manage_keys,
          "tenant.create", Operation::write},
    Route{"GET", "/admin/v1/tenants", Handler::list_tenants, Permission::manage_keys, "tenant.list",
          Operation::read},
    Route{"GET", "/admin/v1/tenants/{}", Handler::show_tenant, Permission::manage_keys,
          "tenant.show", Operation::read},
    Route{"PATCH", "/admin/v1/tenants/{}", Handler::change_tenant, Permission::manage_keys,
          "tenant.change", Operation::write},
    Route{"POST", "/admin/v1/second-factors", Handler::enrol_second_factor, Permission::manage_keys,
          "second_factor.enrol", Operation::write},
    Route{"POST", "/admin/v1/second-factors/confirm", Handler::confirm_second_factor,
          Permission::manage_keys, "second_factor.confirm", Operation::write},
    // The first step of taking somebody's key line over.
    Route{"POST", "/admin/v1/second-factors/remove", Handler::remove_second_factor,
          Permission::manage_keys, "second_factor.remove", Operation::erase,
          wire::ErrorShape::openai, TwoPersons::always},
    Route{"GET", "/admin/v1/second-factors/{}", Handler::show_second_factor,
          Permission::manage_keys, "second_factor.status", Operation::read},
    Route{"POST", "/admin/v1/keys/{}/leak", Handler::leak_key, Permission::manage_keys, "key.leak",
          Operation::write},
    Route{"GET", "/admin/v1/incidents", Handler::list_incidents, Permission::manage_keys,
          "incident.list", Operation::read},
    Route{"GET", "/admin/v1/incidents/{}", Handler::show_incident, Permission::manage_keys,
          "incident.show", Operation::read},
    Route{"GET", "/admin/v1/incident-key", Handler::incident_key, Permission::manage_keys,
          "incident.key", Operation::read},
    Route{"POST", "/admin/v1/webhooks", Handler::add_webhook, Permission::manage_keys,
          "webhook.add", Operation::write},
    Route{"GET", "/admin/v1/webhooks", Handler::list_webhooks, Permission::manage_keys,
          "webhook.list", Operation::read},
    // Not for two: a receiver that turned hostile has to be cut off at once.
    Route{"POST", "/admin/v1/webhooks/{}/remove", Handler::remove_webhook, Permission::manage_keys,
          "webhook.remove", Operation::erase},
    Route{"POST", "/admin/v1/webhooks/{}/test", Handler::test_webhook, Permission::manage_keys,
          "webhook.test", Operation::write},
    Route{"GET", "/admin/v1/webhook-deliveries", Handler::list_deliveries, Permission::manage_keys,
          "webhook.deliveries", Operation::read},
    Route{"POST", "/admin/v1/client-certificates", Handler::issue_certificate,
          Permission::manage_keys, "certificate.issue", Operation::write},
    Route{"GET", "/admin/v1/client-certificates", Handler::list_certificates,
          Permission::manage_keys, "certificate.list", Operation::read},
    Route{"POST", "/admin/v1/client-certificates/{}/revoke", Handler::revoke_certificate,
          Permission::manage_keys, "certificate.revoke", Operation::write},
    Route{"POST", "/admin/v1/people", Handler::create_person, Permission::manage_keys,
          "person.create", Operation::write, wire::ErrorShape::openai, TwoPersons::for_approvers},
    Route{"GET", "/admin/v1/people", Handler::list_people, Permission::manage_keys, "person.list",
          Operation::read},
    Route{"GET", "/admin/v1/people/{}", Handler::show_person, Permission::manage_keys,
          "person.show", Operation::read},
    Route{"PATCH", "/admin/v1/people/{}", Handler::change_person, Permission::manage_keys,
          "person.change", Operation::write, wire::ErrorShape::openai, TwoPersons::for_approvers},
    Route{"POST", "/admin/v1/people/{}/reset-password", Handler::reset_person_password,
          Permission::manage_keys, "person.reset_password", Operation::write,
          wire::ErrorShape::openai, TwoPersons::always},
    Route{"POST", "/admin/v1/people/{}/sign-out", Handler::sign_person_out, Permission::manage_keys,
          "person.sign_out", Operation::write},
    Route{"POST", "/admin/v1/people/{}/remove", Handler::remove_person, Permission::manage_keys,
          "person.remove", Operation::erase},
    Route{"GET", "/admin/v1/sessions", Handler::list_sessions, Permission::manage_keys,
          "session.list", Operation::read},
    Route{"GET", "/admin/v1/status", Handler::status, Permission::see_status, "status",
          Operation::read},
    Route{"GET", "/metrics", Handler::metrics, Permission::see_status, "metrics", Operation::read},
    Route{"GET", "/admin/v1/models", Handler::list_model_states, Permission::see_status,
          "model.states", Operation::read},
    Route{"POST", "/admin/v1/models/{}/load", Handler::load_model, Permission::change_parameters,
          "model.load", Operation::write},
    Route{"POST", "/admin/v1/models/{}/unload", Handler::unload_model,
          Permission::change_parameters, "model.unload", Operation::write},
    Route{"POST", "/admin/v1/models/{}/swap", Handler::swap_model, Permission::change_parameters,
          "model.swap", Operation::write},
    Route{"GET", "/admin/v1/catalog", Handler::list_catalog, Permission::see_status, "model.list",
          Operation::read},
    Route{"POST", "/admin/v1/catalog", Handler::add_to_catalog, Permission::change_parameters,
          "model.import", Operation::write},
    Route{"POST", "/admin/v1/catalog/{}/pin", Handler::pin_version, Permission::change_parameters,
          "model.pin", Operation::write},
    Route{"POST", "/admin/v1/catalog/{}/unpin", Handler::unpin_version,
          Permission::change_parameters, "model.unpin", Operation::write},
    Route{"POST", "/admin/v1/catalog/{}/remove", Handler::remove_version,
          Permission::change_parameters, "model.remove", Operation::erase, wire::ErrorShape::openai,
          TwoPersons::always},
    Route{"GET", "/admin/v1/custody", Handler::custody_status, Permission::manage_custody,
          "custody.status", Operation::read},
    Route{"POST", "/admin/v1/custody/roll", Handler::roll_custody, Permission::manage_custody,
          "custody.roll", Operation::write, wire::ErrorShape::openai, TwoPersons::always},
    // Deciding needs the permission of the route that waits, too.
    Route{"GET", "/admin/v1/approvals", Handler::list_approvals, Permission::see_status,
          "approval.list", Operation::read},
    Route{"POST", "/admin/v1/approvals/{}/approve", Handler::approve, Permission::see_status,
          "approval.approve", Operation::write},
    Route{"POST", "/admin/v1/approvals/{}/refuse", Handler::refuse_approval, Permission::see_status,
          "approval.refuse", Operation::write},
    // What auditors set, and the content that is kept. A read says why, so it is a POST.
    Route{"GET", "/admin/v1/audit/content-policies", Handler::list_content_policies,
          Permission::manage_audit, "audit.content_policy.list", Operation::read},
    Route{"POST", "/admin/v1/audit/content-policies", Handler::add_content_policy,
          Permission::manage_audit, "audit.content_policy.add", Operation::write},
    Route{"POST", "/admin/v1/audit/content-policies/{}/remove", Handler::remove_content_policy,
          Permission::manage_audit, "audit.content_policy.remove", Operation::erase},
    Route{"GET", "/admin/v1/audit/holds", Handler::list_holds, Permission::manage_audit,
          "audit.hold.list", Operation::read},
    Route{"POST", "/admin/v1/audit/holds", Handler::place_hold, Permission::manage_audit,
          "audit.hold.place", Operation::write},
    Route{"POST", "/admin/v1/audit/holds/{}/release", Handler::release_hold,
          Permission::manage_audit, "audit.hold.release", Operation::write},
    Route{"POST", "/admin/v1/audit/content/{}", Handler::read_content, Permission::manage_audit,
          "audit.content.read", Operation::read},
    // Of the caller's own calls; for an auditor, of all calls of the tenants that he reaches.
    Route{"GET", "/v1/audit/receipts/{}", Handler::show_receipt, Permission::see_receipts,
          "audit.receipt", Operation::read},
    Route{"GET", "/v1/audit/key", Handler::audit_key, Permission::see_receipts, "audit.key",
          Operation::read},
    // For the logs of other servers. What is taken, its signature decides.
    Route{"POST", "/v1/audit/witness/add-checkpoint", Handler::add_witnessed,
          Permission::see_receipts, "audit.witness.add", Operation::write},
    Route{"GET", "/v1/audit/witness/{}", Handler::show_witnessed, Permission::see_receipts,
          "audit.witness.show", Operation::read},
    Route{"GET", "/admin/v1/audit/records", Handler::list_records, Permission::read_audit,
          "audit.records", Operation::read},
    Route{"GET", "/admin/v1/audit/export", Handler::export_records, Permission::read_audit,
          "audit.export", Operation::read},
    Route{"GET", "/admin/v1/audit/reports/{}", Handler::show_report, Permission::read_audit,
          "audit.report", Operation::read},
    Route{"POST", "/admin/v1/audit/reports/{}/sign-off", Handler::sign_off_report,
          Permission::read_audit, "audit.report.sign_off", Operation::write},
    Route{"GET", "/admin/v1/audit/status", Handler::audit_status, Permission::read_audit,
          "audit.status", Operation::read},
    Route{"GET", "/livez", Handler::livez, std::nullopt, "", Operation::read},
    Route{"GET", "/readyz", Handler::readyz, std::nullopt, "", Operation::read},
    Route{"GET", "/health", Handler::health, std::nullopt, "", Operation::read},
};

// What "{}" stands for when `path` fits `pattern`.
std::optional<std::string_view> fit(std::string_view pattern, std::string_view path) {
  const std::size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos) {
    return pattern == path ? std::optional<std::string_view>("") : std::nullopt;
  }
  const std::string_view before = pattern.substr(0, hole);
  const std::string_view after = pattern.substr(hole + 2);
  if (path.size() <= before.size() + after.size() || !path.starts_with(before) ||
      !path.ends_with(after)) {
    return std::nullopt;
  }
  return path.substr(before.size(), path.size() - before.size() - after.size());
}

// Of two patterns that fit, the one with more fixed text is meant.
std::size_t fixed_bytes(const Route& route) {
  return route.pattern.size() - (route.pattern.find("{}") == std::string_view::npos ? 0 : 2);
}

}  // namespace

std::span<const Route> routes() {
  return kRoutes;
}

bool runs_inference(Handler handler) {
  switch (handler) {
    case Handler::chat_completions:
    case Handler::completions:
    case Handler::embeddings:
    case Handler::rerank:
    case Handler::responses:
    case Handler::messages:
    case Handler::count_tokens:
    case Handler::predict:
      return true;
    default:
      return false;
  }
}

bool may_approve(identity::Role role) {
  return std::ranges::any_of(kRoutes, [role](const Route& route) {
    return route.two_persons != TwoPersons::never && route.permission &&
           identity::allowed(role, *route.permission);
  });
}

RouteMatch match_route(std::string_view method, std::string_view path) {
  RouteMatch match;
  for (const Route& route : kRoutes) {
    const auto argument = fit(route.pattern, path);
    if (!argument) {
      continue;
    }
    match.path_known = true;
    match.allowed_methods += match.allowed_methods.empty() ? "" : ", ";
    match.allowed_methods += route.method;
    const bool better = match.route == nullptr || fixed_bytes(route) > fixed_bytes(*match.route);
    if (route.method == method && better) {
      match.route = &route;
      match.argument = *argument;
    }
  }
  return match;
}

namespace {

std::string_view two_persons_note(TwoPersons two_persons) {
  switch (two_persons) {
    case TwoPersons::never:
      return "";
    case TwoPersons::always:
      return "; two persons";
    case TwoPersons::for_approvers:
      return "; two persons for an approver";
  }
  return "";
}

}  // namespace

std::string routes_markdown() {
  std::string text = "| method | path | permission |\n|---|---|---|\n";
  for (const Route& route : kRoutes) {
    text += fmt::format("| {} | `{}` | {}{} |\n", route.method, route.pattern,
                        route.permission ? identity::permission_name(*route.permission) : "none",
                        two_persons_note(route.two_persons));
  }
  return text;
}

}  // namespace deepmoat::gateway
