// What an administrator binds a key to, beside its role and its end. Pure.
//
// Three forms: KeyAttributes is what people write and read; columns of the key's row hold them as
// text under the row's MAC (docs/formats/keys.md); KeyRules is what the stages of a call ask,
// parsed once when the row is loaded.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/data_class.h"
#include "base/result.h"
#include "identity/ip_range.h"
#include "identity/roles.h"
#include "store/database.h"

namespace deepmoat::identity {

inline constexpr std::size_t kListedMax = 64;  // models, ranges of one key
inline constexpr std::size_t kLabelsMax = 16;
inline constexpr std::size_t kListedBytesMax = 200;  // of one name or value
inline constexpr double kAdapterScaleMax = 10;
inline constexpr std::int64_t kKeyLimitMax = 1'000'000'000;

// 0: no limit of the key's own. The lower of these and the server's configuration counts.
struct KeyLimits {
  std::int64_t requests_per_minute = 0;
  std::int64_t tokens_per_minute = 0;
  std::int64_t concurrent_calls = 0;

  bool operator==(const KeyLimits&) const = default;
};

struct KeyAttributes {
  std::vector<std::string> models;     // that it may call and see; empty: all
  std::string adapter;                 // "name" or "name:0.7" for calls that name none; empty: none
  bool adapter_only = false;           // calls may use no other adapter and no other scale
  std::vector<std::string> ip_ranges;  // CIDR; empty: every address
  std::string data_class;              // the least that its calls have; empty: none
  std::vector<std::string> scopes;     // of its role's permissions, these only; empty: all
  KeyLimits limits;
  std::vector<std::pair<std::string, std::string>> labels;  // for people and billing

  bool operator==(const KeyAttributes&) const = default;
};

// A change: what is set replaces what was there, whole.
struct KeyChange {
  std::optional<std::string> label = {};
  std::optional<std::vector<std::string>> models = {};
  std::optional<std::string> adapter = {};
  std::optional<bool> adapter_only = {};
  std::optional<std::vector<std::string>> ip_ranges = {};
  std::optional<std::string> data_class = {};
  std::optional<std::vector<std::string>> scopes = {};
  std::optional<std::int64_t> requests_per_minute = {};
  std::optional<std::int64_t> tokens_per_minute = {};
  std::optional<std::int64_t> concurrent_calls = {};
  std::optional<std::vector<std::pair<std::string, std::string>>> labels = {};
};
void apply(const KeyChange& change, KeyAttributes& attributes);

// "models=demo,chat; requests_per_minute=60": what is set, for the audit record.
[[nodiscard]] std::string summary_of(const KeyChange& change);
// The same of all that is not empty.
[[nodiscard]] std::string summary_of(const KeyAttributes& attributes);

// What the stages of a call ask. Immutable once made, and shared.
struct KeyRules {
  std::vector<std::string> models;  // empty: all
  std::string adapter;
  float adapter_scale = 0;  // 0: the adapter's own
  bool adapter_only = false;
  IpRanges ip_ranges;
  DataClass data_class = DataClass::public_;
  PermissionSet permissions;  // of the role, narrowed by the scopes
  KeyLimits limits;

  [[nodiscard]] bool may_use_model(std::string_view name) const;
};

// Checks all bounds. Code::invalid_argument names the field and the fix.
[[nodiscard]] Result<KeyRules> rules_of(const KeyAttributes& attributes, Role role);
// Those of a key that is bound to nothing.
[[nodiscard]] std::shared_ptr<const KeyRules> rules_of(Role role);

// The columns of the row. A list is its entries with a line feed between them, which no entry may
// hold; a pair is name=value.
void put_attributes(const KeyAttributes& attributes, store::KeyRow& row);
[[nodiscard]] KeyAttributes attributes_of(const store::KeyRow& row);

// "name=value; name=value", for an audit record that says what a change set.
void add_to(std::string& summary, std::string_view name, std::string_view value);
// In quotes where it could be taken for more than one value: the record is evidence.
[[nodiscard]] std::string plain_or_quoted(std::string_view text);

// Free text of people that ends up in terminals and logs: is_printable() (base/printable.h).
[[nodiscard]] Result<> check_text(std::string_view field, std::string_view text,
                                  std::size_t bytes_max);

}  // namespace deepmoat::identity
