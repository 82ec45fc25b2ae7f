// Which addresses are inside, in every spelling.
#include "identity/ip_range.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace deepmoat::identity {
namespace {

IpRanges ranges(const std::vector<std::string>& texts) {
  auto parsed = IpRanges::parse(texts);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? *parsed : IpRanges();
}

TEST(IpRanges, WithoutOneEveryAddressIsGood) {
  EXPECT_TRUE(IpRanges().contain("192.0.2.1"));
  EXPECT_TRUE(IpRanges().contain("no address at all"));
}

TEST(IpRanges, HoldTheirEdgesAndNothingBeyond) {
  const IpRanges office = ranges({"10.1.0.0/16", "192.0.2.7", "2001:db8:1::/48"});
  for (const char* in : {"10.1.0.0", "10.1.255.255", "192.0.2.7", "2001:db8:1::",
                         "2001:db8:1:ffff:ffff:ffff:ffff:ffff", "2001:DB8:1::7%1"}) {
    EXPECT_TRUE(office.contain(in)) << in;
  }
  for (const char* out : {"10.0.255.255", "10.2.0.0", "192.0.2.6", "192.0.2.8", "2001:db8:0:ffff::",
                          "2001:db8:2::", "::1", "", "local", "10.1.0", "10.1.0.1/16", " 10.1.0.1",
                          "10.1.0.1 ", "10.1.0.01x", "::10.1.0.1", "64:ff9b::10.1.0.1"}) {
    EXPECT_FALSE(office.contain(out)) << out;
  }
  EXPECT_FALSE(office.contain(std::string_view("10.1.0.1\0evil", 13)));
  EXPECT_FALSE(office.contain(std::string(200, '1')));
}

TEST(IpRanges, MappedAddressesAreIpv4) {
  const IpRanges four = ranges({"10.1.0.0/16"});
  EXPECT_TRUE(four.contain("::ffff:10.1.2.3"));
  EXPECT_TRUE(four.contain("::ffff:a01:203"));
  EXPECT_FALSE(four.contain("::ffff:10.2.2.3"));
  const IpRanges mapped = ranges({"::ffff:10.1.0.0/112"});
  EXPECT_TRUE(mapped.contain("10.1.2.3"));
  EXPECT_TRUE(mapped.contain("::ffff:10.1.2.3"));
  EXPECT_FALSE(mapped.contain("10.2.2.3"));
  EXPECT_TRUE(ranges({"::ffff:10.1.2.3"}).contain("10.1.2.3"));
  EXPECT_FALSE(ranges({"::/0"}).contain("::ffff:10.1.2.3")) << "all of IPv6 is not IPv4";
  EXPECT_FALSE(ranges({"0.0.0.0/0"}).contain("::1"));
}

TEST(IpRanges, RefuseWhatIsUnclearAndSayWhatToWrite) {
  for (const char* bad :
       {"", "/", "office", "10.1.0.0/33", "10.1.0.0/-1", "10.1.0.0/+8", "10.1.0.0/", "10.1.0.0/08",
        "10.1.0.0/8/8", "10.1.0.0 /16", " 10.1.0.0/16", "10.1/16", "010.1.0.0/16", "1.2.3.4.5",
        "2001:db8::/129", "2001:db8::%1/64", "::ffff:10.0.0.0/95", "10.0.0.0/255.0.0.0"}) {
    const auto refused = IpRanges::parse(std::vector<std::string>{"192.0.2.0/24", bad});
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
    EXPECT_TRUE(refused.error().message.starts_with("ip_ranges: ")) << refused.error().message;
  }
  const auto host = IpRanges::parse(std::vector<std::string>{"10.1.2.3/8"});
  ASSERT_FALSE(host);
  EXPECT_NE(host.error().message.find("10.0.0.0/8"), std::string::npos) << host.error().message;
}

std::string dotted(std::uint32_t address) {
  return boost::asio::ip::address_v4(address).to_string();
}

RC_GTEST_PROP(IpRanges, AgreeWithTheMask, (std::uint32_t network, std::uint32_t address)) {
  const unsigned bits = *rc::gen::inRange(0U, 33U);
  const std::uint32_t mask = bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits);
  // Half of the addresses share the prefix.
  const std::uint32_t asked =
      *rc::gen::arbitrary<bool>() ? (network & mask) | (address & ~mask) : address;
  const std::string text = dotted(network & mask) + "/" + std::to_string(bits);
  const auto range = IpRanges::parse(std::vector{text});
  RC_ASSERT(range.has_value());
  const bool inside = (asked & mask) == (network & mask);
  RC_ASSERT(range->contain(dotted(asked)) == inside);
  RC_ASSERT(range->contain("::ffff:" + dotted(asked)) == inside);
}

}  // namespace
}  // namespace deepmoat::identity
