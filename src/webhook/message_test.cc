// Addresses, signatures and the schedule of webhooks.
#include "webhook/message.h"

#include <gtest/gtest.h>

namespace deepmoat::webhook {
namespace {

TEST(WebhookUrl, TakesHttpsAnywhereAndHttpHere) {
  const auto plain = parse_url("https://hooks.example/a/b?c=d%20e");
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->tls);
  EXPECT_EQ(plain->host, "hooks.example");
  EXPECT_EQ(plain->port, "443");
  EXPECT_EQ(plain->host_header, "hooks.example");
  EXPECT_EQ(plain->target, "/a/b?c=d%20e");
  EXPECT_EQ(parse_url("https://10.1.2.3:8443")->target, "/");
  EXPECT_EQ(parse_url("https://10.1.2.3:8443")->port, "8443");
  EXPECT_EQ(parse_url("https://10.1.2.3:8443")->host_header, "10.1.2.3:8443");
  EXPECT_EQ(parse_url("https://[2001:db8::1]/x")->host, "2001:db8::1");
  EXPECT_EQ(parse_url("https://hooks.example?x=1")->target, "/?x=1");
  for (const char* here : {"http://localhost:9000/x", "http://127.0.0.1/", "http://127.9.9.9:1/",
                           "http://[::1]:80/"}) {
    ASSERT_TRUE(parse_url(here)) << here;
    EXPECT_FALSE(parse_url(here)->tls);
  }
}

TEST(WebhookUrl, RefusesWhatWouldLeakOrMislead) {
  for (const char* bad : {"",
                          "hooks.example",
                          "https://",
                          "https:///path",
                          "ftp://hooks.example/",
                          "file:///etc/passwd",
                          "http://hooks.example/",
                          "http://10.0.0.1/",
                          "http://0.0.0.0/",
                          "http://localhost.example/",
                          "http://127.0.0.1.example/",
                          "https://10.0.0.1.example/",
                          "http://2130706433/",
                          "http://0x7f.1/",
                          "https://user:pass@hooks.example/",
                          "https://hooks.example/#part",
                          "https://hooks.example:0/",
                          "https://hooks.example:/",
                          "https://hooks.example:99999/",
                          "https://hooks.example/a b",
                          "https://hooks.example/\r\nx: y",
                          "javascript:alert(1)"}) {
    const auto address = parse_url(bad);
    ASSERT_FALSE(address) << bad;
    EXPECT_EQ(address.error().code, Code::invalid_argument) << bad;
    EXPECT_TRUE(address.error().message.starts_with("url: ")) << bad;
  }
  EXPECT_FALSE(parse_url("https://hooks.example/" + std::string(kUrlBytesMax, 'x')));
}

// The value is Python's: hmac.new(b"secret", b"1795000000." + body, "sha256").
TEST(WebhookSignature, IsWhatAReceiverRecomputes) {
  EXPECT_EQ(signature_header(Secret::copy_of("secret"), 1'795'000'000, R"({"a":1})"),
            "t=1795000000,v1=f9e0bd0d1a561fbfdabec6356500586e2c72d7d797314b41b8380761868d6c25");
}

TEST(WebhookSchedule, DoublesUpToAnHourForADay) {
  constexpr UnixMillis kCreated = 1'000'000;
  EXPECT_EQ(*next_attempt_ms(kCreated, 1, kCreated + 5), kCreated + 5 + 1000);
  EXPECT_EQ(*next_attempt_ms(kCreated, 2, kCreated + 5), kCreated + 5 + 2000);
  EXPECT_EQ(*next_attempt_ms(kCreated, 5, kCreated + 5), kCreated + 5 + 16'000);
  UnixMillis now = kCreated;
  std::int64_t attempts = 0;
  while (const auto next = next_attempt_ms(kCreated, ++attempts, now)) {
    EXPECT_GT(*next, now);
    EXPECT_LE(*next - now, 3'600'000);
    now = *next;
    ASSERT_LT(attempts, 100);
  }
  EXPECT_GT(now, kCreated + kRetryForMs - 3'600'001);
  EXPECT_EQ(attempts, 35);
  EXPECT_FALSE(next_attempt_ms(kCreated, 1'000'000'000, kCreated + kRetryForMs));
}

}  // namespace
}  // namespace deepmoat::webhook
