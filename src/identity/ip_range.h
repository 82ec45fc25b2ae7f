// Networks from which a key may be used. Immutable; thread-safe.
#pragma once

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace deepmoat::identity {

class IpRanges {
 public:
  IpRanges() = default;  // no range: every address is good

  // CIDR ("10.1.0.0/16", "2001:db8::/32") or one address. An IPv4-mapped IPv6 range
  // ("::ffff:10.1.0.0/112") is the IPv4 range that it stands for. Code::invalid_argument names the
  // entry and the fix.
  static Result<IpRanges> parse(std::span<const std::string> texts);

  // Without a range, true. Otherwise false for what is no address. An IPv4-mapped IPv6 address is
  // the IPv4 address that it stands for. Allocates nothing.
  [[nodiscard]] bool contain(std::string_view address) const;

 private:
  std::vector<boost::asio::ip::network_v4> four_;
  std::vector<boost::asio::ip::network_v6> six_;
};

}  // namespace deepmoat::identity
