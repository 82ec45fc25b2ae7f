// Strong types: a TenantId is not a KeyId, though both are text.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace deepmoat {

// A value of T that mixes with no other Strong. Explicit in both directions.
template <class Tag, class T>
class Strong {
 public:
  Strong() = default;
  explicit Strong(T value) : value_(std::move(value)) {}
  [[nodiscard]] const T& value() const { return value_; }
  auto operator<=>(const Strong&) const = default;

 private:
  T value_{};
};

using TenantId = Strong<struct TenantTag, std::string>;
using ClientId = Strong<struct ClientTag, std::string>;  // [a-z0-9][a-z0-9-]{0,62}
using KeyId = Strong<struct KeyTag, std::string>;        // "key_" + 24 hex digits
using RequestId =
    Strong<struct RequestTag, std::string>;  // "req_" + 32 hex digits, or the client's own
using ModelName = Strong<struct ModelTag, std::string>;
using CallId = Strong<struct CallTag, std::uint64_t>;  // one call between gateway and worker

}  // namespace deepmoat

template <class Tag, class T>
struct std::hash<deepmoat::Strong<Tag, T>> {
  std::size_t operator()(const deepmoat::Strong<Tag, T>& id) const noexcept {
    return std::hash<T>{}(id.value());
  }
};
