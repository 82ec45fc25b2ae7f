#include "gateway/oversight_admin.h"

#include <boost/asio/post.hpp>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "gateway/admin_fields.h"
#include "review/retention_run.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;
using oversight::ContentPolicy;
using oversight::FoundContents;
using oversight::KeptContent;
using oversight::LegalHold;

Json policy_json(const ContentPolicy& policy) {
  return {{"id", policy.id},
          {"state", policy.intact ? "in_force" : "corrupt"},
          {"tenant", policy.tenant},
          {"model", policy.model},
          {"data_class", policy.data_class},
          {"sample_rate", static_cast<double>(policy.sample_ppm) / oversight::kSampleAll},
          {"keep_days", policy.keep_days},
          {"reason", policy.reason},
          {"created_by", policy.created_by},
          {"created_at", policy.created_ms / 1000}};
}

Json hold_json(const LegalHold& hold) {
  Json json = {{"id", hold.id},
               {"state", !hold.intact            ? "corrupt"
                         : hold.released_ms != 0 ? "released"
                                                 : "in_force"},
               {"tenant", hold.tenant},
               {"key_id", hold.key_id},
               {"operator_id", hold.operator_id},
               {"since", hold.since_ms / 1000},
               {"until", hold.until_ms / 1000},
               {"reason", hold.reason},
               {"placed_by", hold.placed_by},
               {"placed_at", hold.placed_ms / 1000}};
  if (hold.released_ms != 0) {
    json["released_by"] = hold.released_by;
    json["released_at"] = hold.released_ms / 1000;
  }
  return json;
}

// The only time that it leaves the database unsealed; the response is not logged anywhere.
Json content_json(const KeptContent& content) {
  return {{"request_id", content.request_id},
          {"tenant", content.tenant},
          {"operator_id", content.operator_id},
          {"key_id", content.key_id},
          {"model", content.model},
          {"data_class", content.data_class},
          {"input", content.input.reveal()},
          {"input_cut", content.input_cut},
          {"output", content.output.reveal()},
          {"output_cut", content.output_cut},
          {"kept_at", content.kept_ms / 1000},
          {"kept_until", content.kept_until_ms / 1000},
          {"content", content.digest}};
}

// Who names no tenant means all that he reaches.
std::string tenant_of(const identity::Actor& actor, std::optional<std::string> named) {
  const bool home = actor.tenant.value() == identity::kHomeTenant;
  return std::move(named).value_or(home ? "" : actor.tenant.value());
}

wire::OrRefusal<Json> add_policy(oversight::ContentPolicies& policies, const identity::Actor& actor,
                                 const std::string& body) {
  TRY(const Json request,
      object_in(body, {"tenant", "model", "data_class", "sample_rate", "keep_days", "reason"}));
  TRY(auto tenant, text_in(request, "tenant"));
  TRY(auto model, text_in(request, "model"));
  TRY(auto data_class, text_in(request, "data_class"));
  TRY(const auto sample_rate, number_in(request, "sample_rate"));
  TRY(const auto keep_days, whole_number_in(request, "keep_days"));
  TRY(auto reason, text_in(request, "reason"));
  if (!keep_days) {
    return std::unexpected(missing_field("keep_days"));
  }
  if (!reason) {
    return std::unexpected(missing_field("reason"));
  }
  return answered(policies.add(actor, {.tenant = tenant_of(actor, std::move(tenant)),
                                       .model = std::move(model).value_or(""),
                                       .data_class = std::move(data_class).value_or(""),
                                       .sample_rate = sample_rate.value_or(1),
                                       .keep_days = *keep_days,
                                       .reason = *std::move(reason)}),
                  policy_json);
}

wire::OrRefusal<Json> place_hold(oversight::LegalHolds& holds, const identity::Actor& actor,
                                 const std::string& body) {
  TRY(const Json request,
      object_in(body, {"tenant", "key_id", "operator_id", "since", "until", "reason"}));
  TRY(auto tenant, text_in(request, "tenant"));
  TRY(auto key_id, text_in(request, "key_id"));
  TRY(auto operator_id, text_in(request, "operator_id"));
  TRY(const auto since, whole_number_in(request, "since"));
  TRY(const auto until, whole_number_in(request, "until"));
  TRY(auto reason, text_in(request, "reason"));
  if (!reason) {
    return std::unexpected(missing_field("reason"));
  }
  return answered(holds.place(actor, {.tenant = tenant_of(actor, std::move(tenant)),
                                      .key_id = std::move(key_id).value_or(""),
                                      .operator_id = std::move(operator_id).value_or(""),
                                      .since_s = since.value_or(0),
                                      .until_s = until.value_or(0),
                                      .reason = *std::move(reason)}),
                  hold_json);
}

wire::OrRefusal<Json> read_content(oversight::ContentStore& contents, const identity::Actor& actor,
                                   const std::string& request_id, const std::string& body) {
  TRY(const Json request, object_in(body, {"reason", "content"}));
  TRY(auto reason, text_in(request, "reason"));
  TRY(auto digest, text_in(request, "content"));
  if (!reason) {
    return std::unexpected(missing_field("reason"));
  }
  return answered(contents.read(actor, {.request_id = request_id,
                                        .digest = std::move(digest).value_or(""),
                                        .reason = *std::move(reason)}),
                  [](const FoundContents& found) {
                    Json json = list_json(found.contents, content_json);
                    json["has_more"] = found.more;
                    return json;
                  });
}

wire::OrRefusal<Json> act_on(const OversightDesk& desk, const identity::Actor& actor,
                             const ReceivedCall& call) {
  switch (call.route->handler) {
    case Handler::list_content_policies:
      return answered(desk.policies.list(actor),
                      [](const auto& list) { return list_json(list, policy_json); });
    case Handler::add_content_policy:
      return add_policy(desk.policies, actor, call.body);
    case Handler::remove_content_policy: {
      const auto removed = desk.policies.remove(actor, call.argument);
      if (!removed) {
        return std::unexpected(wire::to_field_refusal(removed.error()));
      }
      return Json{{"id", call.argument}, {"state", "removed"}};
    }
    case Handler::list_holds:
      return answered(desk.holds.list(actor),
                      [](const auto& list) { return list_json(list, hold_json); });
    case Handler::place_hold:
      return place_hold(desk.holds, actor, call.body);
    case Handler::release_hold:
      return answered(desk.holds.release(actor, call.argument), hold_json);
    case Handler::read_content:
      return read_content(desk.contents, actor, call.argument, call.body);
    default:
      return std::unexpected(wire::to_refusal({Code::internal, "no such action"}));
  }
}

}  // namespace

bool is_oversight(Handler handler) {
  switch (handler) {
    case Handler::list_content_policies:
    case Handler::add_content_policy:
    case Handler::remove_content_policy:
    case Handler::list_holds:
    case Handler::place_hold:
    case Handler::release_hold:
    case Handler::read_content:
      return true;
    default:
      return false;
  }
}

Response act_on_oversight(const Services& services, const identity::Actor& actor,
                          const ReceivedCall& call) {
  if (services.oversight == nullptr) {
    return to_response(wire::to_refusal({Code::unavailable, "this server keeps no content"}));
  }
  const auto answer = act_on(*services.oversight, actor, call);
  return answer ? Response{.body = answer->dump(-1, ' ', false, Json::error_handler_t::replace)}
                : to_response(answer.error());
}

void expire_contents(const Services& services) {
  if (services.oversight == nullptr) {
    return;
  }
  const UnixMillis now_ms =
      review::retention_now_ms(services.audit_log.directory(), services.clock.unix_ms());
  boost::asio::post(services.blocking, [&desk = *services.oversight, now_ms] {
    const auto expired = desk.contents.expire(now_ms);
    if (!expired) {
      log::error("kept content that is due could not be deleted",
                 {{"error", expired.error().message}});
    } else if (*expired > 0) {
      log::info("kept content was deleted when its time was over", {{"calls", *expired}});
    }
  });
}

}  // namespace deepmoat::gateway
