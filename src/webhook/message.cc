#include "webhook/message.h"

#include <fmt/format.h>
#include <boost/asio/ip/address.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <charconv>

#include "base/hex.h"
#include "crypto/digest.h"

namespace deepmoat::webhook {

namespace {

constexpr std::int64_t kFirstRetryMs = 1000;
constexpr std::int64_t kLongestRetryMs = 60LL * 60 * 1000;

std::unexpected<Error> refused(std::string why) {
  return fail(Code::invalid_argument, "url: " + std::move(why));
}

// Boost.URL's own number wraps above 65535.
bool is_port(std::string_view text) {
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number != 0;
}

bool is_loopback(const std::string& host) {
  if (host == "localhost") {
    return true;
  }
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  return !error && address.is_loopback();
}

}  // namespace

Result<Address> parse_url(std::string_view url) {
  if (url.size() > kUrlBytesMax) {
    return refused(fmt::format("at most {} bytes", kUrlBytesMax));
  }
  const auto parsed = boost::urls::parse_uri({url.data(), url.size()});
  if (!parsed || !parsed->has_authority() || parsed->host_address().empty()) {
    return refused("must be a whole address such as https://hooks.example/deepmoat");
  }
  const bool tls = parsed->scheme_id() == boost::urls::scheme::https;
  if (!tls && parsed->scheme_id() != boost::urls::scheme::http) {
    return refused("must begin with https://");
  }
  if (parsed->has_userinfo() || parsed->has_fragment()) {
    return refused("must hold neither a user or password nor a fragment (#)");
  }
  // Boost.URL reads "10.0.0.1.example" as the host 10.0.0.1 and a path: that is another machine.
  const auto path = parsed->encoded_path();
  if (!path.empty() && path.front() != '/') {
    return refused("the host is neither a name nor an address");
  }
  if (parsed->has_port() && !is_port({parsed->port().data(), parsed->port().size()})) {
    return refused("the port must be 1 to 65535");
  }
  Address address;
  address.tls = tls;
  address.host = parsed->host_address();
  address.port = parsed->has_port() ? std::string(parsed->port()) : (tls ? "443" : "80");
  address.host_header = std::string(parsed->encoded_host_and_port());
  address.target = std::string(parsed->encoded_target());
  if (address.target.empty() || address.target.front() != '/') {
    address.target.insert(0, "/");
  }
  if (!tls && !is_loopback(address.host)) {
    return refused(
        "plain http:// is only for this machine (localhost, 127.0.0.1, [::1]); "
        "elsewhere others could read and change the messages: use https://");
  }
  return address;
}

std::string origin_of(const Address& address) {
  return (address.tls ? "https://" : "http://") + address.host_header;
}

std::string signature_header(const Secret& secret, std::int64_t unix_s, std::string_view body) {
  const std::string signed_text = fmt::format("{}.{}", unix_s, body);
  return fmt::format("t={},v1={}", unix_s,
                     to_hex(crypto::view(crypto::hmac_sha256(secret, signed_text))));
}

std::optional<UnixMillis> next_attempt_ms(UnixMillis created_ms, std::int64_t attempts,
                                          UnixMillis now_ms) {
  constexpr std::int64_t kDoublingsMax = 20;
  const std::int64_t doublings = std::clamp<std::int64_t>(attempts - 1, 0, kDoublingsMax);
  const std::int64_t wait_ms = std::min(kFirstRetryMs << doublings, kLongestRetryMs);
  if (now_ms + wait_ms > created_ms + kRetryForMs) {
    return std::nullopt;
  }
  return now_ms + wait_ms;
}

}  // namespace deepmoat::webhook
