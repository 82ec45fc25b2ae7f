// Where webhooks of tenants may lead, and where they must not.
#include "webhook/reach.h"

#include <gtest/gtest.h>

namespace deepmoat::webhook {
namespace {

bool reaches(const char* address, Reach reach) {
  return may_reach(boost::asio::ip::make_address(address), reach);
}

TEST(WebhookReach, TheInternetIsForEverybody) {
  for (const char* open : {"8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "100.128.0.1",
                           "192.169.0.1", "223.255.255.255", "2606:4700::1111", "2001:4860::8888",
                           "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1"}) {
    EXPECT_TRUE(reaches(open, Reach::internet)) << open;
    EXPECT_TRUE(reaches(open, Reach::private_networks)) << open;
  }
}

TEST(WebhookReach, PrivateNetworksAreForThoseWhoAreLet) {
  for (const char* inner :
       {"10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
        "198.18.0.1", "192.0.2.1", "fc00::1", "fd12:3456::1", "fec0::1", "::ffff:10.1.2.3",
        "::ffff:c0a8:101", "64:ff9b::a00:1", "2002:a00:1::", "2001:db8::1"}) {
    EXPECT_FALSE(reaches(inner, Reach::internet)) << inner;
    EXPECT_TRUE(reaches(inner, Reach::private_networks)) << inner;
  }
}

TEST(WebhookReach, ThisMachineAndItsLinkAreForTheHomeTenantAlone) {
  for (const char* here : {"127.0.0.1",
                           "127.255.255.254",
                           "0.0.0.0",
                           "0.1.2.3",
                           "::1",
                           "::",
                           "::ffff:127.0.0.1",
                           "::127.0.0.1",
                           "::ffff:0:0",
                           "64:ff9b::7f00:1",
                           "2002:7f00:1::",
                           "169.254.169.254",
                           "::ffff:169.254.169.254",
                           "fe80::1",
                           "224.0.0.1",
                           "255.255.255.255",
                           "ff02::1",
                           "100.100.100.200",
                           "fd00:ec2::254",
                           "2001:0:1::1",
                           "64:ff9b:1::1"}) {
    EXPECT_FALSE(reaches(here, Reach::internet)) << here;
    EXPECT_FALSE(reaches(here, Reach::private_networks)) << here;
    EXPECT_TRUE(reaches(here, Reach::everything)) << here;
  }
}

TEST(WebhookReach, AnAddressIsJudgedBeforeItIsKept) {
  const auto checked = [](const char* url, Reach reach) {
    const auto address = parse_url(url);
    EXPECT_TRUE(address) << url;
    return check_reach(*address, reach).has_value();
  };
  for (const char* url :
       {"http://127.0.0.1:9/", "http://localhost/", "https://localhost/", "https://LocalHost./",
        "https://app.localhost/", "https://127.0.0.1/", "https://[::1]/",
        "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest"}) {
    EXPECT_FALSE(checked(url, Reach::internet)) << url;
    EXPECT_FALSE(checked(url, Reach::private_networks)) << url;
    EXPECT_TRUE(checked(url, Reach::everything)) << url;
  }
  EXPECT_FALSE(checked("https://10.1.2.3/", Reach::internet));
  EXPECT_TRUE(checked("https://10.1.2.3/", Reach::private_networks));
  EXPECT_TRUE(checked("https://hooks.example/", Reach::internet));
  EXPECT_TRUE(checked("https://8.8.8.8/", Reach::internet));
}

}  // namespace
}  // namespace deepmoat::webhook
