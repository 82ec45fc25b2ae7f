#include "identity/key_attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "base/printable.h"
#include "identity/api_key.h"

namespace deepmoat::identity {

namespace {

using Texts = std::vector<std::string>;
using Pairs = std::vector<std::pair<std::string, std::string>>;

Result<> check_list(std::string_view field, const Texts& list) {
  if (list.size() > kListedMax) {
    return fail(Code::invalid_argument, fmt::format("{}: at most {} entries", field, kListedMax));
  }
  std::set<std::string_view> seen;
  for (const std::string& entry : list) {
    if (entry.empty()) {
      return fail(Code::invalid_argument,
                  fmt::format("{}: an entry is empty; an empty list stands for all", field));
    }
    CHECK_OK(check_text(field, entry, kListedBytesMax));
    if (!seen.insert(entry).second) {
      return fail(Code::invalid_argument, fmt::format("{}: {:?} is there twice", field, entry));
    }
  }
  return {};
}

// The name of a label: like a client's, with _ and . inside.
Result<> check_label_name(const std::string& name) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  constexpr std::size_t kBytesMax = 63;
  const bool good = !name.empty() && name.size() <= kBytesMax && letter_or_digit(name.front()) &&
                    std::ranges::all_of(name, [&](char c) {
                      return letter_or_digit(c) || c == '-' || c == '_' || c == '.';
                    });
  if (!good) {
    return fail(Code::invalid_argument,
                "labels: a name must be 1 to 63 of a-z, 0-9, -, _ and ., beginning with a letter "
                "or digit");
  }
  return {};
}

Result<> check_labels(const Pairs& labels) {
  if (labels.size() > kLabelsMax) {
    return fail(Code::invalid_argument, fmt::format("labels: at most {} pairs", kLabelsMax));
  }
  std::set<std::string_view> seen;
  for (const auto& [name, value] : labels) {
    CHECK_OK(check_label_name(name));
    CHECK_OK(check_text("labels." + name, value, kListedBytesMax));
    if (!seen.insert(name).second) {
      return fail(Code::invalid_argument, fmt::format("labels: {:?} is there twice", name));
    }
  }
  return {};
}

Result<> check_limit(std::string_view field, std::int64_t limit) {
  if (limit < 0 || limit > kKeyLimitMax) {
    return fail(Code::invalid_argument,
                fmt::format("limits.{}: must be 0 (none of its own) to {}", field, kKeyLimitMax));
  }
  return {};
}

// "name" or "name:scale".
Result<> read_adapter(const KeyAttributes& attributes, KeyRules& rules) {
  const std::string& text = attributes.adapter;
  CHECK_OK(check_text("adapter", text, kListedBytesMax));
  if (text.empty()) {
    if (attributes.adapter_only) {
      return fail(Code::invalid_argument,
                  "adapter_only: needs an adapter; name it in adapter, or leave this out");
    }
    return {};
  }
  const std::size_t colon = text.rfind(':');
  rules.adapter = text.substr(0, colon);
  rules.adapter_only = attributes.adapter_only;
  if (colon != std::string::npos) {
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, rules.adapter_scale,
                                               std::chars_format::fixed);
    const bool good = error == std::errc{} && stop == end && std::isfinite(rules.adapter_scale) &&
                      rules.adapter_scale > 0 &&
                      static_cast<double>(rules.adapter_scale) <= kAdapterScaleMax;
    if (!good) {
      return fail(
          Code::invalid_argument,
          fmt::format("adapter: {:?} must be a name, or a name, a colon and a scale above 0 "
                      "and up to {}, such as poet:0.7",
                      text, kAdapterScaleMax));
    }
  }
  if (rules.adapter.empty()) {
    return fail(Code::invalid_argument, "adapter: its name is missing before the colon");
  }
  return {};
}

Result<PermissionSet> read_scopes(const Texts& scopes, Role role) {
  CHECK_OK(check_list("scopes", scopes));
  if (scopes.empty()) {
    return permissions_of(role);
  }
  PermissionSet permissions;
  permissions.add(Permission::rotate_own_key);  // whoever may hold the key may renew it
  for (const std::string& scope : scopes) {
    const auto permission = parse_permission(scope);
    if (!permission) {
      return fail(Code::invalid_argument, "scopes: " + permission.error().message);
    }
    if (!allowed(role, *permission)) {
      return fail(Code::invalid_argument,
                  fmt::format("scopes: the role {:?} does not have {:?}, and scopes only narrow a "
                              "role; give the key another role",
                              role_name(role), scope));
    }
    permissions.add(*permission);
  }
  return permissions;
}

std::string joined(const Texts& list, char between) {
  std::string text;
  for (const std::string& entry : list) {
    text += (text.empty() ? "" : std::string(1, between)) + entry;
  }
  return text;
}

Texts pair_texts(const Pairs& labels) {
  Texts texts;
  for (const auto& [name, value] : labels) {
    texts.push_back(name + "=" + value);
  }
  return texts;
}

Texts split(std::string_view text) {
  Texts list;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    list.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return list;
}

Texts all_plain_or_quoted(const Texts& list) {
  Texts texts;
  for (const std::string& entry : list) {
    texts.push_back(plain_or_quoted(entry));
  }
  return texts;
}

}  // namespace

void add_to(std::string& summary, std::string_view name, std::string_view value) {
  summary += fmt::format("{}{}={}", summary.empty() ? "" : "; ", name, value);
}

// In quotes where it could be taken for more than one value: the record is evidence.
std::string plain_or_quoted(std::string_view text) {
  const bool plain = !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._:/@-").find(c) != std::string_view::npos;
  });
  return plain ? std::string(text) : fmt::format("{:?}", text);
}

Result<> check_text(std::string_view field, std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max || !is_printable(text)) {
    return fail(Code::invalid_argument, std::string(field) + ": at most " +
                                            std::to_string(bytes_max) +
                                            " bytes of UTF-8, without control characters");
  }
  return {};
}

void apply(const KeyChange& change, KeyAttributes& attributes) {
  const auto set = [](const auto& from, auto& to) {
    if (from) {
      to = *from;
    }
  };
  set(change.models, attributes.models);
  set(change.adapter, attributes.adapter);
  set(change.adapter_only, attributes.adapter_only);
  set(change.ip_ranges, attributes.ip_ranges);
  set(change.data_class, attributes.data_class);
  set(change.scopes, attributes.scopes);
  set(change.requests_per_minute, attributes.limits.requests_per_minute);
  set(change.tokens_per_minute, attributes.limits.tokens_per_minute);
  set(change.concurrent_calls, attributes.limits.concurrent_calls);
  set(change.labels, attributes.labels);
}

std::string summary_of(const KeyChange& change) {
  std::string text;
  const auto add_list = [&](std::string_view name, const std::optional<Texts>& list) {
    if (list) {
      add_to(text, name, joined(all_plain_or_quoted(*list), ','));
    }
  };
  const auto add_number = [&](std::string_view name, std::optional<std::int64_t> number) {
    if (number) {
      add_to(text, name, std::to_string(*number));
    }
  };
  // What decides over access comes first: the audit log keeps the beginning of a long text.
  add_list("scopes", change.scopes);
  add_list("ip_ranges", change.ip_ranges);
  add_list("models", change.models);
  if (change.adapter) {
    add_to(text, "adapter", plain_or_quoted(*change.adapter));
  }
  if (change.adapter_only) {
    add_to(text, "adapter_only", *change.adapter_only ? "true" : "false");
  }
  if (change.data_class) {
    add_to(text, "data_class", plain_or_quoted(*change.data_class));
  }
  add_number("requests_per_minute", change.requests_per_minute);
  add_number("tokens_per_minute", change.tokens_per_minute);
  add_number("concurrent_calls", change.concurrent_calls);
  if (change.labels) {
    add_to(text, "labels", joined(all_plain_or_quoted(pair_texts(*change.labels)), ','));
  }
  if (change.label) {
    add_to(text, "label", plain_or_quoted(*change.label));
  }
  return text;
}

std::string summary_of(const KeyAttributes& attributes) {
  KeyChange change;
  const auto set = [](const auto& from, auto& to) {
    if (from != std::remove_cvref_t<decltype(from)>()) {
      to = from;
    }
  };
  set(attributes.models, change.models);
  set(attributes.adapter, change.adapter);
  set(attributes.adapter_only, change.adapter_only);
  set(attributes.ip_ranges, change.ip_ranges);
  set(attributes.data_class, change.data_class);
  set(attributes.scopes, change.scopes);
  set(attributes.limits.requests_per_minute, change.requests_per_minute);
  set(attributes.limits.tokens_per_minute, change.tokens_per_minute);
  set(attributes.limits.concurrent_calls, change.concurrent_calls);
  set(attributes.labels, change.labels);
  return summary_of(change);
}

bool KeyRules::may_use_model(std::string_view name) const {
  return models.empty() || std::ranges::find(models, name) != models.end();
}

Result<KeyRules> rules_of(const KeyAttributes& attributes, Role role) {
  KeyRules rules;
  CHECK_OK(check_list("models", attributes.models));
  rules.models = attributes.models;
  CHECK_OK(read_adapter(attributes, rules));
  CHECK_OK(check_list("ip_ranges", attributes.ip_ranges));
  TRY(rules.ip_ranges, IpRanges::parse(attributes.ip_ranges));
  if (!attributes.data_class.empty()) {
    const auto data_class = parse_data_class(attributes.data_class);
    if (!data_class) {
      return fail(Code::invalid_argument,
                  "data_class: must be one of public, internal, sensitive, restricted");
    }
    rules.data_class = *data_class;
  }
  TRY(rules.permissions, read_scopes(attributes.scopes, role));
  CHECK_OK(check_limit("requests_per_minute", attributes.limits.requests_per_minute));
  CHECK_OK(check_limit("tokens_per_minute", attributes.limits.tokens_per_minute));
  CHECK_OK(check_limit("concurrent_calls", attributes.limits.concurrent_calls));
  rules.limits = attributes.limits;
  CHECK_OK(check_labels(attributes.labels));
  return rules;
}

std::shared_ptr<const KeyRules> rules_of(Role role) {
  KeyRules rules;
  rules.permissions = permissions_of(role);
  return std::make_shared<const KeyRules>(std::move(rules));
}

void put_attributes(const KeyAttributes& attributes, store::KeyRow& row) {
  row.models = joined(attributes.models, '\n');
  row.adapter = attributes.adapter;
  row.adapter_only = attributes.adapter_only;
  row.ip_ranges = joined(attributes.ip_ranges, '\n');
  row.data_class = attributes.data_class;
  row.scopes = joined(attributes.scopes, '\n');
  row.requests_per_minute = attributes.limits.requests_per_minute;
  row.tokens_per_minute = attributes.limits.tokens_per_minute;
  row.concurrent_calls = attributes.limits.concurrent_calls;
  row.labels = joined(pair_texts(attributes.labels), '\n');
}

KeyAttributes attributes_of(const store::KeyRow& row) {
  KeyAttributes attributes{.models = split(row.models),
                           .adapter = row.adapter,
                           .adapter_only = row.adapter_only,
                           .ip_ranges = split(row.ip_ranges),
                           .data_class = row.data_class,
                           .scopes = split(row.scopes),
                           .limits = {.requests_per_minute = row.requests_per_minute,
                                      .tokens_per_minute = row.tokens_per_minute,
                                      .concurrent_calls = row.concurrent_calls},
                           .labels = {}};
  for (const std::string& pair : split(row.labels)) {
    const std::size_t equals = std::min(pair.find('='), pair.size());
    attributes.labels.emplace_back(pair.substr(0, equals),
                                   pair.substr(std::min(equals + 1, pair.size())));
  }
  return attributes;
}

}  // namespace deepmoat::identity
