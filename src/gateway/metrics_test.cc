#include "gateway/metrics.h"

#include <gtest/gtest.h>

#include "gateway/prometheus_text.h"
#include "gateway/scratch_server.h"

namespace deepmoat::gateway {
namespace {

const Route& route_of(Handler handler) {
  return *std::ranges::find(routes(), handler, &Route::handler);
}

TEST(PrometheusText, WritesFamiliesAndEscapesLabels) {
  PrometheusText text;
  text.family("a_total", "counter", "What it counts.");
  text.sample({}, std::uint64_t{3});
  text.sample({{"model", "a\"b\\c\nd"}, {"replica", "0"}}, 0.5);
  EXPECT_EQ(text.take(),
            "# HELP a_total What it counts.\n# TYPE a_total counter\na_total 3\n"
            "a_total{model=\"a\\\"b\\\\c\\nd\",replica=\"0\"} 0.5\n");
}

TEST(PrometheusText, HistogramsAreCumulative) {
  PrometheusText text;
  text.family("h", "histogram", "Time.");
  const std::array bounds = {0.1, 1.0};
  const std::array<std::uint64_t, 3> counts = {1, 2, 3};
  text.histogram({{"m", "x"}}, bounds, counts, 7.5);
  EXPECT_EQ(text.take(),
            "# HELP h Time.\n# TYPE h histogram\n"
            "h_bucket{m=\"x\",le=\"0.1\"} 1\nh_bucket{m=\"x\",le=\"1\"} 3\n"
            "h_bucket{m=\"x\",le=\"+Inf\"} 6\nh_sum{m=\"x\"} 7.5\nh_count{m=\"x\"} 6\n");
  PrometheusText none;
  none.histogram({}, {}, {}, 0);
  EXPECT_EQ(none.take(), "") << "a worker that has measured nothing";
}

TEST(Metrics, CountsByRouteClassAndCode) {
  Metrics metrics;
  const Route& chat = route_of(Handler::chat_completions);
  metrics.count(&chat, 200, "", 3'000'000);
  metrics.count(&chat, 429, "queue_full", 0);
  metrics.count(&chat, 499, "", 400'000'000'000);
  metrics.count(nullptr, 404, "unknown_url", 0);
  const auto& counts = metrics.routes()[static_cast<std::size_t>(Handler::chat_completions)];
  EXPECT_EQ(counts.by_class[1], 1U);
  EXPECT_EQ(counts.by_class[3], 2U);
  EXPECT_EQ(counts.durations[1], 1U);
  EXPECT_EQ(counts.durations.back(), 1U);
  EXPECT_EQ(metrics.routes().back().by_class[3], 1U);
  EXPECT_EQ(metrics.refused(),
            (std::map<std::string, std::uint64_t>{{"queue_full", 1}, {"unknown_url", 1}}));
}

TEST(Metrics, RoutesFitTheirTable) {
  for (const Route& route : routes()) {
    EXPECT_LT(static_cast<std::size_t>(route.handler), Metrics::kRoutes - 1) << route.pattern;
  }
}

TEST(Metrics, DifferentCodesAreBounded) {
  Metrics metrics;
  for (std::size_t i = 0; i < 2 * Metrics::kCodesMax; ++i) {
    metrics.count(nullptr, 400, "code" + std::to_string(i), 0);
  }
  EXPECT_EQ(metrics.refused().size(), Metrics::kCodesMax + 1);
  EXPECT_EQ(metrics.refused().at("other"), Metrics::kCodesMax);
}

class MetricsServer : public testing::Test {
 protected:
  std::string key(identity::Role role) {
    const auto made = server_.keys().create(ScratchServer::boss(),
                                            {.client_id = "someone", .role = role, .label = ""});
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::string(made->shown.reveal()) : "";
  }
  std::string get(const std::string& key) {
    RawClient client = server_.client();
    const std::string line = key.empty() ? "" : "x-api-key: " + key + "\r\n";
    client.send("GET /metrics HTTP/1.1\r\nhost: x\r\n" + line + "connection: close\r\n\r\n");
    return client.rest();
  }
  ScratchServer server_;
};

TEST_F(MetricsServer, NeedsAKeyThatSeesTheStatus) {
  EXPECT_TRUE(get("").starts_with("HTTP/1.1 401"));
  EXPECT_TRUE(get(key(identity::Role::user)).starts_with("HTTP/1.1 403"));
  const std::string page = get(key(identity::Role::operator_));
  EXPECT_TRUE(page.starts_with("HTTP/1.1 200")) << page;
  for (const char* line :
       {"Content-Type: text/plain; version=0.0.4", "deepmoat_calls_total{route=\"metrics\"",
        "deepmoat_refused_total{code=\"permission_denied\"} 1",
        "deepmoat_model_ready{model=\"demo\"} 1",
        "deepmoat_running_calls{model=\"demo\",replica=\"0\"} 0",
        "vllm:num_requests_running{model_name=\"demo\"} 0", "deepmoat_connections 1"}) {
    EXPECT_TRUE(page.contains(line)) << line << " is not in " << page;
  }
  EXPECT_FALSE(page.contains("someone"));
}

TEST_F(MetricsServer, OpenOnLoopbackAndWithoutAliasesByConfiguration) {
  Config config = *server_.config().get();
  config.metrics.open_on_loopback = true;
  config.metrics.vllm_names = false;
  server_.config().replace(config);
  const std::string page = get("");
  EXPECT_TRUE(page.starts_with("HTTP/1.1 200")) << page;
  EXPECT_FALSE(page.contains("vllm:"));
}

// What the configuration says of a model and of a tenant reaches the worker with the call.
class ConfiguredCall : public MetricsServer {
 protected:
  wire::InferRequest send(const std::string& more) {
    RawClient client = server_.client();
    const std::string body =
        R"({"model":"demo","messages":[{"role":"user","content":"hello"}])" + more + "}";
    client.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: " +
                key(identity::Role::user) + "\r\ncontent-length: " + std::to_string(body.size()) +
                "\r\nconnection: close\r\n\r\n" + body);
    EXPECT_TRUE(client.rest().starts_with("HTTP/1.1 200"));
    return server_.backend().last_request();
  }
};

TEST_F(ConfiguredCall, DefaultsOfItsModelAndItsTenantsQueue) {
  const wire::InferRequest plain = send("");
  EXPECT_EQ(plain.sampling().temperature(), 1);
  EXPECT_EQ(plain.max_tokens(), 0U);
  Config config = *server_.config().get();
  config.models.push_back(
      {.name = "demo", .default_temperature = 0.25, .default_top_p = 0.5, .default_max_tokens = 7});
  config.tenants.push_back({.name = "default", .weight = 3, .queue_max = 5, .wait_s_max = 2});
  server_.config().replace(config);
  const wire::InferRequest unnamed = send("");
  EXPECT_EQ(unnamed.sampling().temperature(), 0.25F);
  EXPECT_EQ(unnamed.sampling().top_p(), 0.5F);
  EXPECT_EQ(unnamed.max_tokens(), 7U);
  EXPECT_EQ(unnamed.weight(), 3);
  EXPECT_EQ(unnamed.tenant_queue_max(), 5U);
  EXPECT_EQ(unnamed.wait_ms_max(), 2000U);
  const wire::InferRequest named = send(R"(,"temperature":1,"top_p":1,"max_tokens":9)");
  EXPECT_EQ(named.sampling().temperature(), 1);
  EXPECT_EQ(named.sampling().top_p(), 1);
  EXPECT_EQ(named.max_tokens(), 9U);
}

}  // namespace
}  // namespace deepmoat::gateway
