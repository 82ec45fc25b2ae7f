#include "wire/key_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <span>

#include "wire/api_readers.h"

namespace deepmoat::wire {

namespace {

using Names = std::span<const std::string_view>;

constexpr std::array<std::string_view, 9> kKeyFields{"label",        "models",    "adapter",
                                                     "adapter_only", "ip_ranges", "data_class",
                                                     "scopes",       "limits",    "labels"};
constexpr std::array<std::string_view, 4> kIdentityFields{"client_id", "role", "tenant",
                                                          "lifetime_s"};
constexpr std::array<std::string_view, 3> kLimitFields{"requests_per_minute", "tokens_per_minute",
                                                       "concurrent_calls"};
constexpr std::array<std::string_view, 2> kTenantFields{"organisation", "label"};
constexpr std::array<std::string_view, 1> kTenantName{"name"};
constexpr std::int64_t kLimitMax = 1'000'000'000;

bool holds(Names names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

std::string listed(Names names) {
  std::string text;
  for (const std::string_view name : names) {
    text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text;
}

// `fixed`: fields that there are, and that cannot be set here. A field that is null or there twice
// is refused too: nobody has to guess what it sets.
OrRefusal<> know_all(const Object& object, Names known, Names also_known, Names fixed,
                     std::string_view instead) {
  std::set<std::string_view> seen;
  for (const auto [key, value] : object) {
    const std::string name(key.substr(0, 64));
    if (holds(fixed, key)) {
      return refuse(name, fmt::format("'{}' cannot be changed; {}.", name, instead),
                    "unsupported_parameter");
    }
    if (!holds(known, key) && !holds(also_known, key)) {
      std::string names = listed(also_known);
      names += (names.empty() ? "" : ", ") + listed(known);
      return refuse(name, fmt::format("'{}' is no field here; the fields are {}.", name, names),
                    "unsupported_parameter");
    }
    if (!seen.insert(key).second) {
      return refuse(name, fmt::format("'{}' is there twice; leave one of them out.", name));
    }
    if (value.is_null()) {
      return refuse(name,
                    fmt::format("'{}' is null; leave it out, or send what is empty (an empty "
                                "text or list, 0, false) to take it away.",
                                name),
                    "invalid_type");
    }
  }
  return {};
}

OrRefusal<> something_in(const Object& object, Names known) {
  if (object.size() == 0) {
    return refuse("",
                  fmt::format("Nothing is to be changed; name at least one of {}.", listed(known)));
  }
  return {};
}

OrRefusal<> read_labels(const Object& object, KeyFields& fields) {
  TRY(const auto labels, read_object(object, "labels"));
  if (!labels) {
    return {};
  }
  fields.labels.emplace();
  for (const auto [name, value] : *labels) {
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS) {
      return refuse_type("labels." + std::string(name.substr(0, 64)), "a string");
    }
    fields.labels->emplace_back(std::string(name), std::string(text));
  }
  return {};
}

OrRefusal<> read_limits(const Object& object, KeyFields& fields) {
  TRY(const auto limits, read_object(object, "limits"));
  if (!limits) {
    return {};
  }
  CHECK_OK(in("limits", know_all(*limits, kLimitFields, {}, {}, "")));
  const auto number = [&](std::string_view name) {
    return in("limits", read_integer(*limits, name, 0, kLimitMax));
  };
  TRY(fields.requests_per_minute, number("requests_per_minute"));
  TRY(fields.tokens_per_minute, number("tokens_per_minute"));
  TRY(fields.concurrent_calls, number("concurrent_calls"));
  return {};
}

OrRefusal<KeyFields> read_fields(const Object& object) {
  KeyFields fields;
  TRY(fields.label, read_text(object, "label"));
  TRY(fields.models, read_texts(object, "models"));
  TRY(fields.adapter, read_text(object, "adapter"));
  TRY(fields.adapter_only, read_bool(object, "adapter_only"));
  TRY(fields.ip_ranges, read_texts(object, "ip_ranges"));
  TRY(fields.data_class, read_text(object, "data_class"));
  TRY(fields.scopes, read_texts(object, "scopes"));
  CHECK_OK(read_limits(object, fields));
  CHECK_OK(read_labels(object, fields));
  return fields;
}

}  // namespace

OrRefusal<CreateKeyRequest> read_create_key(const Object& object) {
  CHECK_OK(know_all(object, kKeyFields, kIdentityFields, {}, ""));
  CreateKeyRequest request;
  TRY(auto client_id, read_text(object, "client_id"));
  if (!client_id) {
    return refuse_missing("client_id");
  }
  request.client_id = *std::move(client_id);
  TRY(auto role, read_text(object, "role"));
  request.role = std::move(role).value_or("user");
  TRY(auto tenant, read_text(object, "tenant"));
  request.tenant = std::move(tenant).value_or("default");
  TRY(const auto lifetime, read_integer(object, "lifetime_s", 1, 90LL * 86'400));
  request.lifetime_s = lifetime.value_or(0);
  TRY(request.fields, read_fields(object));
  return request;
}

OrRefusal<KeyFields> read_change_key(const Object& object) {
  static constexpr std::array<std::string_view, 9> kFixed{
      "client_id", "role", "tenant", "lifetime_s", "kind", "id", "expires_at", "state", "key"};
  CHECK_OK(know_all(object, kKeyFields, {}, kFixed, "make a new key, or end this one sooner"));
  CHECK_OK(something_in(object, kKeyFields));
  return read_fields(object);
}

OrRefusal<TenantRequest> read_create_tenant(const Object& object) {
  CHECK_OK(know_all(object, kTenantFields, kTenantName, {}, ""));
  TenantRequest request;
  TRY(auto name, read_text(object, "name"));
  if (!name) {
    return refuse_missing("name");
  }
  request.name = *std::move(name);
  TRY(request.organisation, read_text(object, "organisation"));
  TRY(request.label, read_text(object, "label"));
  return request;
}

OrRefusal<TenantRequest> read_change_tenant(const Object& object) {
  CHECK_OK(know_all(object, kTenantFields, {}, kTenantName, "make a new tenant"));
  CHECK_OK(something_in(object, kTenantFields));
  TenantRequest request;
  TRY(request.organisation, read_text(object, "organisation"));
  TRY(request.label, read_text(object, "label"));
  return request;
}

}  // namespace deepmoat::wire
