// What a webhook's receiver gets and may rely on: the address, the signature, and when a delivery
// that failed is tried again. Pure; thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::webhook {

inline constexpr std::size_t kUrlBytesMax = 2048;
inline constexpr std::int64_t kRetryForMs = 24LL * 60 * 60 * 1000;

// What can be subscribed to. "webhook.test" is sent by hand alone.
inline constexpr std::string_view kKeyLeaked = "key.leaked";
inline constexpr std::string_view kKeyExpiring = "key.expiring";
inline constexpr std::string_view kApprovalWaiting = "approval.waiting";
inline constexpr std::string_view kTest = "webhook.test";
inline constexpr std::array kEvents{kKeyLeaked, kKeyExpiring, kApprovalWaiting};

// Where a message goes.
struct Address {
  bool tls = true;
  std::string host;  // without the brackets of an IPv6 address
  std::string port;
  std::string host_header;
  std::string target;  // path and query
};

// https://..., or http:// to this machine's loopback alone. Code::invalid_argument names the field
// "url" and what is wrong with it: no user or password in it, no fragment, 2048 bytes at most.
[[nodiscard]] Result<Address> parse_url(std::string_view url);

// "t=<unix s>,v1=<hex>": HMAC-SHA-256 under the webhook's secret over "<unix s>.<body>". A receiver
// recomputes it, and refuses a time that is long past.
[[nodiscard]] std::string signature_header(const Secret& secret, std::int64_t unix_s,
                                           std::string_view body);

// When a delivery that has failed `attempts` times is tried again: after 1 s, 2 s, 4 s, ... up to
// an hour between two. Empty: a day has passed since `created_ms`; it is given up.
[[nodiscard]] std::optional<UnixMillis> next_attempt_ms(UnixMillis created_ms,
                                                        std::int64_t attempts, UnixMillis now_ms);

}  // namespace deepmoat::webhook
