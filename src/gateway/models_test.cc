#include "gateway/models.h"

#include <gtest/gtest.h>

#include <type_traits>

#include "gateway/call.h"
#include "gateway/responder.h"

namespace deepmoat::gateway {
namespace {

// Only the stage before makes the type that a stage takes: these calls cannot be forged.
static_assert(!std::is_constructible_v<AuthenticatedCall, ReceivedCall, identity::Principal>);
static_assert(!std::is_default_constructible_v<AuthenticatedCall>);
static_assert(!std::is_aggregate_v<AuthenticatedCall>);
static_assert(!std::is_constructible_v<AdmittedCall, AuthenticatedCall, wire::InferenceCall,
                                       quota::Reservation>);
static_assert(!std::is_default_constructible_v<AdmittedCall>);
static_assert(!std::is_constructible_v<ClassifiedCall, AdmittedCall, policy::DataClass>);
static_assert(!std::is_default_constructible_v<ClassifiedCall>);
static_assert(!std::is_constructible_v<RoutedCall, ClassifiedCall, policy::Route, backend::Backend*,
                                       wire::AnswerHead>);
static_assert(!std::is_default_constructible_v<RoutedCall>);
static_assert(!std::is_invocable_v<decltype(admit), ReceivedCall, const Services&,
                                   wire::RequestReader&, AuditTrail&>);
static_assert(!std::is_invocable_v<decltype(classify), AuthenticatedCall, AuditTrail&>);
static_assert(!std::is_invocable_v<decltype(route), AdmittedCall, const Services&, AuditTrail&>);
// And what is allowed is.
static_assert(std::is_default_constructible_v<ReceivedCall>);
static_assert(
    std::is_invocable_v<decltype(authenticate), ReceivedCall, const Services&, AuditTrail&>);

class FakeBackend final : public backend::Backend {
 public:
  FakeBackend(backend::Health health, int* ended) : health_(health), ended_(ended) {}
  CallId submit(wire::InferRequest, backend::EventSink) override { return CallId(1); }
  void cancel(CallId) override {}
  [[nodiscard]] backend::BackendStatus status() const override { return {.health = health_}; }
  void shut_down() override { ++*ended_; }

 private:
  backend::Health health_;
  int* ended_;
};

class ModelsTest : public testing::Test {
 protected:
  Model model(const std::string& name, backend::Health health = backend::Health::ready) {
    return {.name = ModelName(name),
            .version = "v",
            .created_s = 5,
            .backend = std::make_unique<FakeBackend>(health, &ended_)};
  }
  template <class... Each>
  Result<Models> make(Each... each) {
    std::vector<Model> list;
    (list.push_back(std::move(each)), ...);
    return Models::make(std::move(list));
  }
  int ended_ = 0;
};

TEST_F(ModelsTest, NoneIsAllowed) {
  const auto models = make();
  ASSERT_TRUE(models);
  EXPECT_EQ(models->fallback(), nullptr);
  EXPECT_FALSE(models->ready());
  EXPECT_EQ(models->find(ModelName("")), nullptr);
  EXPECT_TRUE(models->listing().empty());
}

TEST_F(ModelsTest, FirstIsTheFallback) {
  const auto models = make(model("b"), model("a"));
  ASSERT_TRUE(models);
  EXPECT_EQ(models->fallback()->name, ModelName("b"));
  EXPECT_EQ(models->find(ModelName("a"))->name, ModelName("a"));
  EXPECT_EQ(models->find(ModelName("A")), nullptr);
  ASSERT_EQ(models->listing().size(), 2U);
  EXPECT_EQ(models->listing()[0].id, "b");
  EXPECT_EQ(models->listing()[0].created_s, 5);
}

TEST_F(ModelsTest, TwoOfOneNameAreRefused) {
  const auto models = make(model("a"), model("a"));
  ASSERT_FALSE(models);
  EXPECT_EQ(models.error().code, Code::already_exists);
}

TEST_F(ModelsTest, ReadyWhenOneAnswers) {
  EXPECT_FALSE(
      make(model("a", backend::Health::loading), model("b", backend::Health::failed))->ready());
  EXPECT_TRUE(make(model("a", backend::Health::loading), model("b"))->ready());
}

TEST_F(ModelsTest, ShutDownReachesEach) {
  const auto models = make(model("a"), model("b"));
  models->shut_down();
  EXPECT_EQ(ended_, 2);
}

TEST(Responder, RefusalBecomesStatusBodyAndHeaders) {
  const Response busy = to_response({.status = 429, .code = "queue_full", .retry_after_s = 7});
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy.headers, (Headers{{"retry-after", "7"}}));
  EXPECT_NE(busy.body.find("\"code\":\"queue_full\""), std::string::npos);
  EXPECT_EQ(to_response({.status = 401}).headers, (Headers{{"www-authenticate", "Bearer"}}));
  EXPECT_EQ(to_response({.status = 405, .headers = {{"allow", "GET"}}}).headers,
            (Headers{{"allow", "GET"}}));
  EXPECT_TRUE(to_response({.status = 500}).headers.empty());
}

}  // namespace
}  // namespace deepmoat::gateway
