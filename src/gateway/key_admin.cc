#include "gateway/key_admin.h"

#include <nlohmann/json.hpp>

#include "gateway/key_json.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

Response json_response(const Json& body) {
  return {.body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

Response refused(const Error& error) {
  return to_response(wire::to_field_refusal(error));
}

Response answer_key(const Result<identity::KeyInfo>& key) {
  return key ? json_response(key_json(*key)) : refused(key.error());
}

Response answer_tenant(const Result<identity::Tenant>& tenant) {
  return tenant ? json_response(tenant_json(*tenant)) : refused(tenant.error());
}

template <class T, class ToJson>
Response answer_list(const Result<std::vector<T>>& list, const ToJson& to_json) {
  if (!list) {
    return refused(list.error());
  }
  Json data = Json::array();
  for (const T& entry : *list) {
    data.push_back(to_json(entry));
  }
  return json_response({{"object", "list"}, {"data", data}});
}

Response create_key(identity::KeyService& keys, const identity::Actor& actor,
                    const std::string& body, std::int64_t lifetime_days) {
  const auto request = create_key_of(body, lifetime_days);
  if (!request) {
    return to_response(request.error());
  }
  auto created = keys.create(actor, *request);
  if (!created) {
    return refused(created.error());
  }
  Json json = key_json(created->info);
  // The only time that the key exists outside the client; the response is not logged anywhere.
  json["key"] = created->shown.reveal();
  return json_response(json);
}

Response change_key(identity::KeyService& keys, const identity::Actor& actor,
                    const ReceivedCall& call) {
  const auto change = change_key_of(call.body);
  return change ? answer_key(keys.change(actor, call.argument, *change))
                : to_response(change.error());
}

Response revoke_key(identity::KeyService& keys, const identity::Actor& actor,
                    const ReceivedCall& call) {
  wire::RequestReader reader;
  const auto reason = reader.reason(call.body);
  return reason ? answer_key(keys.revoke(actor, call.argument, *reason))
                : to_response(reason.error());
}

Response expire_key(identity::KeyService& keys, const identity::Actor& actor,
                    const ReceivedCall& call) {
  wire::RequestReader reader;
  const auto at_s = reader.expires_at(call.body);
  return at_s ? answer_key(keys.expire(actor, call.argument, *at_s * 1000))
              : to_response(at_s.error());
}

Response create_tenant(identity::TenantService& tenants, const identity::Actor& actor,
                       const ReceivedCall& call) {
  const auto request = create_tenant_of(call.body);
  return request ? answer_tenant(tenants.create(actor, request->name, request->fields))
                 : to_response(request.error());
}

Response change_tenant(identity::TenantService& tenants, const identity::Actor& actor,
                       const ReceivedCall& call) {
  const auto request = change_tenant_of(call.body);
  return request ? answer_tenant(tenants.change(actor, call.argument, request->fields))
                 : to_response(request.error());
}

}  // namespace

bool is_key_admin(Handler handler) {
  switch (handler) {
    case Handler::create_key:
    case Handler::list_keys:
    case Handler::show_key:
    case Handler::change_key:
    case Handler::revoke_key:
    case Handler::expire_key:
    case Handler::create_tenant:
    case Handler::list_tenants:
    case Handler::show_tenant:
    case Handler::change_tenant:
      return true;
    default:
      return false;
  }
}

Response act_on_keys(const Services& services, const identity::Actor& actor,
                     const ReceivedCall& call, std::int64_t lifetime_days) {
  identity::KeyService& keys = services.keys;
  identity::TenantService& tenants = services.tenants;
  switch (call.route->handler) {
    case Handler::create_key:
      return create_key(keys, actor, call.body, lifetime_days);
    case Handler::list_keys:
      return answer_list(keys.list(actor), key_json);
    case Handler::show_key:
      return answer_key(keys.show(actor, call.argument));
    case Handler::change_key:
      return change_key(keys, actor, call);
    case Handler::revoke_key:
      return revoke_key(keys, actor, call);
    case Handler::expire_key:
      return expire_key(keys, actor, call);
    case Handler::create_tenant:
      return create_tenant(tenants, actor, call);
    case Handler::list_tenants:
      return answer_list(tenants.list(actor), tenant_json);
    case Handler::show_tenant:
      return answer_tenant(tenants.show(actor, call.argument));
    case Handler::change_tenant:
      return change_tenant(tenants, actor, call);
    default:
      return to_response(wire::to_refusal({Code::internal, "no such action"}));
  }
}

}  // namespace deepmoat::gateway
