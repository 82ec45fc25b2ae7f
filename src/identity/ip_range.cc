#include "identity/ip_range.h"

#include <boost/asio/ip/address.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace deepmoat::identity {

namespace ip = boost::asio::ip;

namespace {

constexpr unsigned short kBitsOfFour = 32;
constexpr unsigned short kBitsOfSix = 128;
constexpr unsigned short kMappedBits = kBitsOfSix - kBitsOfFour;

// Allocates nothing, unlike make_address() of a string_view.
std::optional<ip::address> address_of(std::string_view text) {
  std::array<char, 64> terminated{};  // an address with a zone ("fe80::1%eth0") has up to 62
  if (text.empty() || text.size() >= terminated.size()) {
    return std::nullopt;
  }
  std::ranges::copy(text, terminated.begin());
  boost::system::error_code error;
  const ip::address address = ip::make_address(terminated.data(), error);
  if (error || text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return ip::make_address_v4(ip::v4_mapped, address.to_v6());
  }
  return address;
}

std::optional<unsigned short> prefix_of(std::string_view text, unsigned short most) {
  unsigned short bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
  const bool plain = text == "0" || !text.starts_with('0');
  return error == std::errc{} && end == text.data() + text.size() && bits <= most && plain
             ? std::optional(bits)
             : std::nullopt;
}

std::unexpected<Error> refuse(std::string_view text, std::string_view why) {
  return fail(Code::invalid_argument, fmt::format("ip_ranges: {:?} {}", text, why));
}

template <class Network>
Result<Network> without_host_bits(std::string_view text, const Network& network) {
  if (network.canonical() != network) {
    return refuse(text,
                  fmt::format("has bits beyond its prefix; write {} for the network, or {} "
                              "for the one address",
                              network.canonical().to_string(), network.address().to_string()));
  }
  return network;
}

}  // namespace

Result<IpRanges> IpRanges::parse(std::span<const std::string> texts) {
  IpRanges ranges;
  for (const std::string& whole : texts) {
    const std::string_view text = whole;
    const std::size_t slash = text.find('/');
    const std::string_view before = text.substr(0, slash);
    const auto address = address_of(before);
    if (!address || before.find('%') != std::string_view::npos) {
      return refuse(text, "is no network; write one such as 10.1.0.0/16 or 2001:db8::/32");
    }
    // As it is written: a mapped address counts its bits as an IPv6 one.
    const bool mapped = address->is_v4() && before.find(':') != std::string_view::npos;
    const unsigned short most = address->is_v4() && !mapped ? kBitsOfFour : kBitsOfSix;
    auto bits = slash == std::string_view::npos ? std::optional(most)
                                                : prefix_of(text.substr(slash + 1), most);
    if (mapped && bits && *bits < kMappedBits) {
      bits.reset();
    }
    if (!bits) {
      return refuse(text, fmt::format("has no good prefix length; it must be {} to {}",
                                      mapped ? kMappedBits : 0, most));
    }
    if (address->is_v4()) {
      const auto own_bits = static_cast<unsigned short>(mapped ? *bits - kMappedBits : *bits);
      TRY(ip::network_v4 network,
          without_host_bits(text, ip::network_v4(address->to_v4(), own_bits)));
      ranges.four_.push_back(network);
    } else {
      TRY(ip::network_v6 network, without_host_bits(text, ip::network_v6(address->to_v6(), *bits)));
      ranges.six_.push_back(network);
    }
  }
  return ranges;
}

bool IpRanges::contain(std::string_view address) const {
  if (four_.empty() && six_.empty()) {
    return true;
  }
  const auto known = address_of(address);
  if (!known) {
    return false;
  }
  if (known->is_v4()) {
    const ip::address_v4 four = known->to_v4();
    return std::ranges::any_of(four_, [&](const ip::network_v4& range) {
      return ip::network_v4(four, range.prefix_length()).canonical() == range;
    });
  }
  // The zone of a link-local address says which card it came in by, not where from.
  ip::address_v6 six = known->to_v6();
  six.scope_id(0);
  return std::ranges::any_of(six_, [&](const ip::network_v6& range) {
    return ip::network_v6(six, range.prefix_length()).canonical() == range;
  });
}

}  // namespace deepmoat::identity
