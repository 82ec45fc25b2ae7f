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
static_assert(!std::is_constructible_v<RoutedCall, ClassifiedCall, policy::Route,
                                       std::shared_ptr<backend::Backend>, wire::AnswerHead>);
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
  [[nodiscard]] backend::ModelIdentity identity() const override {
    return {.version = "v", .created_s = 5};
  }
  void shut_down() override { ++*ended_; }

 private:
  backend::Health health_;
  int* ended_;
};

class ModelsTest : public testing::Test {
 protected:
  Model model(const std::string& name, backend::Health health = backend::Health::ready) {
    return {.name = ModelName(name), .backend = std::make_shared<FakeBackend>(health, &ended_)};
  }
  template <class... Each>
  Result<std::unique_ptr<Models>> make(Each... each) {
    std::vector<Model> list;
    (list.push_back(std::move(each)), ...);
    auto models = std::make_unique<Models>();
    CHECK_OK(models->publish(std::move(list)));
    return models;
  }
  int ended_ = 0;
};

TEST_F(ModelsTest, NoneIsAllowed) {
  const auto models = make();
  ASSERT_TRUE(models);
  EXPECT_TRUE((*models)->all().empty());
  EXPECT_FALSE((*models)->ready());
  EXPECT_EQ((*models)->find(ModelName("")), nullptr);
  EXPECT_TRUE((*models)->listing().empty());
}

TEST_F(ModelsTest, KeepTheirOrder) {
  const auto models = make(model("b"), model("a"));
  ASSERT_TRUE(models);
  EXPECT_EQ((*models)->all().front()->name, ModelName("b"));
  EXPECT_EQ((*models)->find(ModelName("a"))->name, ModelName("a"));
  EXPECT_EQ((*models)->find(ModelName("A")), nullptr);
  ASSERT_EQ((*models)->listing().size(), 2U);
  EXPECT_EQ((*models)->listing()[0].id, "b");
  EXPECT_EQ((*models)->listing()[0].created_s, 5);
}

TEST_F(ModelsTest, TwoOfOneNameAreRefused) {
  const auto models = make(model("a"), model("a"));
  ASSERT_FALSE(models);
  EXPECT_EQ(models.error().code, Code::already_exists);
}

TEST_F(ModelsTest, ReadyWhenOneAnswers) {
  EXPECT_FALSE(make(model("a", backend::Health::loading), model("b", backend::Health::failed))
                   .value()
                   ->ready());
  EXPECT_TRUE(make(model("a", backend::Health::loading), model("b")).value()->ready());
}

TEST_F(ModelsTest, ReadyWhenTheNextCallLoadsOne) {
  EXPECT_TRUE(make(model("a", backend::Health::sleeping)).value()->ready());
  EXPECT_FALSE(make(model("a", backend::Health::unloaded)).value()->ready());
}

TEST_F(ModelsTest, ListIsReplacedWhole) {
  Models models;
  std::vector<Model> first;
  first.push_back(model("a"));
  ASSERT_TRUE(models.publish(std::move(first)));
  const auto kept = models.find(ModelName("a"));
  std::vector<Model> second;
  second.push_back(model("b"));
  ASSERT_TRUE(models.publish(std::move(second)));
  EXPECT_EQ(models.find(ModelName("a")), nullptr);
  EXPECT_NE(models.find(ModelName("b")), nullptr);
  EXPECT_TRUE(models.route(ModelName("b"), {}));
  EXPECT_EQ(kept->version(), "v") << "a call keeps the model that it found";
  std::vector<Model> twice;
  twice.push_back(model("c"));
  twice.push_back(model("c"));
  EXPECT_FALSE(models.publish(std::move(twice)));
  EXPECT_NE(models.find(ModelName("b")), nullptr) << "nothing changed";
}

TEST_F(ModelsTest, ShutDownReachesEach) {
  const auto models = make(model("a"), model("b"));
  (*models)->shut_down();
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
