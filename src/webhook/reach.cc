#include "webhook/reach.h"

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include <algorithm>
#include <array>
#include <optional>

namespace deepmoat::webhook {

namespace {

namespace ip = boost::asio::ip;

template <class Bytes>
struct Network {
  Bytes bytes;
  int prefix;
};
using V4 = Network<ip::address_v4::bytes_type>;
using V6 = Network<ip::address_v6::bytes_type>;

// The IANA registries of special-purpose addresses (RFC 6890 and its updates).
constexpr std::array kPrivateV4{
    V4{{10, 0, 0, 0}, 8},    V4{{172, 16, 0, 0}, 12},   V4{{192, 168, 0, 0}, 16},
    V4{{100, 64, 0, 0}, 10}, V4{{192, 0, 0, 0}, 24},    V4{{192, 0, 2, 0}, 24},
    V4{{198, 18, 0, 0}, 15}, V4{{198, 51, 100, 0}, 24}, V4{{203, 0, 113, 0}, 24},
};
// This machine, the link, many at once, nobody yet; and the metadata service of Alibaba Cloud,
// which stands in a private network. That of the others is on the link.
constexpr std::array kNeverV4{
    V4{{0, 0, 0, 0}, 8},   V4{{127, 0, 0, 0}, 8}, V4{{169, 254, 0, 0}, 16},
    V4{{224, 0, 0, 0}, 4}, V4{{240, 0, 0, 0}, 4}, V4{{100, 100, 100, 200}, 32},
};
constexpr std::array kPrivateV6{
    V6{{0xfc}, 7},                     // unique local
    V6{{0xfe, 0xc0}, 10},              // site local, of old
    V6{{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    V6{{0x01}, 64},                    // discard
};
constexpr std::array kNeverV6{
    V6{{0xfe, 0x80}, 10},                                                         // link
    V6{{0xff}, 8},                                                                // many
    V6{{0x20, 0x01}, 32},                                                         // Teredo
    V6{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48},                                 // local NAT64
    V6{{0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128},  // EC2
};

template <class Bytes>
bool within(const Bytes& bytes, const Network<Bytes>& network) {
  for (int bit = 0; bit < network.prefix; ++bit) {
    const auto at = static_cast<std::size_t>(bit / 8);
    const auto mask = static_cast<unsigned char>(0x80U >> static_cast<unsigned>(bit % 8));
    if (((bytes[at] ^ network.bytes[at]) & mask) != 0) {
      return false;
    }
  }
  return true;
}

bool within_any(const auto& bytes, const auto& networks) {
  return std::ranges::any_of(networks, [&](const auto& network) { return within(bytes, network); });
}

bool may_reach_bytes(const auto& bytes, const auto& never, const auto& private_networks,
                     Reach reach) {
  return !within_any(bytes, never) &&
         (reach == Reach::private_networks || !within_any(bytes, private_networks));
}

// The IPv4 address that a packet to `address` ends up at, if it does.
std::optional<ip::address_v4> carried(const ip::address_v6& address) {
  const auto bytes = address.to_bytes();
  const auto from = [&](std::size_t at) {
    return ip::address_v4({bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]});
  };
  constexpr V6 kMapped{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96};
  constexpr V6 kCompatible{{}, 96};  // :: and ::1 too: 0.0.0.0/8
  constexpr V6 kNat64{{0x00, 0x64, 0xff, 0x9b}, 96};
  constexpr V6 kSixToFour{{0x20, 0x02}, 16};
  if (within(bytes, kMapped) || within(bytes, kCompatible) || within(bytes, kNat64)) {
    return from(12);
  }
  return within(bytes, kSixToFour) ? std::optional(from(2)) : std::nullopt;
}

bool is_this_machine(const std::string& name) {
  std::string lower = name;
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c + ('a' - 'A')) : c; });
  if (lower.ends_with('.')) {
    lower.pop_back();
  }
  return lower == "localhost" || lower.ends_with(".localhost");
}

std::unexpected<Error> refused(const char* why) {
  return fail(Code::invalid_argument, std::string("url: ") + why);
}

}  // namespace

bool may_reach(const ip::address& address, Reach reach) {
  if (reach == Reach::everything) {
    return true;
  }
  if (address.is_v6()) {
    const auto inner = carried(address.to_v6());
    return inner ? may_reach(*inner, reach)
                 : may_reach_bytes(address.to_v6().to_bytes(), kNeverV6, kPrivateV6, reach);
  }
  return may_reach_bytes(address.to_v4().to_bytes(), kNeverV4, kPrivateV4, reach);
}

Result<> check_reach(const Address& address, Reach reach) {
  if (reach == Reach::everything) {
    return {};
  }
  if (!address.tls) {
    return refused(
        "plain http:// is for webhooks that an administrator of tenant \"default\" adds: use "
        "https://");
  }
  boost::system::error_code no_address;
  const auto literal = ip::make_address(address.host, no_address);
  if (no_address ? is_this_machine(address.host) : !may_reach(literal, reach)) {
    return refused(
        "it leads to this machine or into a network of its own: only an administrator of tenant "
        "\"default\" adds such a webhook (see webhooks.tenants_reach_private_networks)");
  }
  return {};
}

}  // namespace deepmoat::webhook
