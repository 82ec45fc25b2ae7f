#include "backend/model_fleet.h"

#include <gtest/gtest.h>

#include "backend/local/local_backend.h"
#include "backend/scratch_backend.h"
#include "base/scratch_folder.h"

namespace deepmoat::backend {
namespace {

constexpr std::uint64_t kMib = 1024 * 1024;

class ModelFleetTest : public testing::Test {
 protected:
  // A plan whose versions count up: each start gets the script of its number.
  ModelPlan plan(const std::string& name, std::uint64_t mib = 100) {
    return {.name = name, .find = [this, name, mib]() -> Result<ModelBuild> {
              if (!find_error_.empty()) {
                return fail(Code::not_found, find_error_);
              }
              const int version = ++versions_[name];
              return ModelBuild{.identity = {.version = std::to_string(version), .created_s = 1},
                                .memory_bytes = mib * kMib,
                                .start = [this, name, version] {
                                  return std::make_unique<ScriptedBackend>(
                                      script(name, version), "v" + std::to_string(version));
                                }};
            }};
  }
  ModelPlan on_demand(const std::string& name, std::uint64_t mib = 100) {
    ModelPlan made = plan(name, mib);
    made.on_demand = true;
    return made;
  }
  std::shared_ptr<Script> script(const std::string& name, int version) {
    const std::lock_guard lock(mutex_);
    auto& found = scripts_[{name, version}];
    if (!found) {
      found = std::make_shared<Script>();
    }
    return found;
  }

  static void wait_health(const ModelHost& host, Health health) {
    wait_until(health_name(health).data(), [&] { return host.health() == health; });
  }
  static void wait_settled(const ModelHost& host) {
    wait_until("settled", [&] { return !host.model_status().changing; });
  }

  std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::shared_ptr<Script>> scripts_;
  std::map<std::string, int> versions_;
  std::string find_error_;
  SteppedClock clock_;
  ModelFleet fleet_{0, clock_};
};

TEST_F(ModelFleetTest, LoadsAtTheStartUnlessOnDemand) {
  const auto now = fleet_.add(plan("now"));
  const auto later = fleet_.add(on_demand("later"));
  wait_health(*now, Health::ready);
  EXPECT_EQ(now->identity().version, "1");
  EXPECT_EQ(later->health(), Health::sleeping);
  EXPECT_EQ(fleet_.find("later"), later);
  EXPECT_EQ(fleet_.find("never"), nullptr);
  EXPECT_EQ(fleet_.all().size(), 2U);
}

TEST_F(ModelFleetTest, CallLoadsAndWaits) {
  const auto host = fleet_.add(on_demand("a"));
  script("a", 1)->set_health(Health::loading);
  Events events;
  host->submit(asking("hello"), events.sink());
  wait_health(*host, Health::loading);
  wait_until("started", [&] { return script("a", 1)->alive() == 1; });
  EXPECT_FALSE(events.ended());
  EXPECT_EQ(host->model_status().waiting, 1U);
  EXPECT_EQ(events.version(), "");
  script("a", 1)->set_health(Health::ready);
  events.wait_begun();
  EXPECT_EQ(events.version(), "1");
  script("a", 1)->finish_all();
  EXPECT_EQ(events.outcome(), "finished");
  EXPECT_EQ(events.text(), "v1");
}

TEST_F(ModelFleetTest, CallWaitsOnlySoLong) {
  const auto host = fleet_.add(plan("a"));
  script("a", 1)->set_health(Health::loading);
  Events events;
  host->submit(asking("hello"), events.sink());
  clock_.advance_ms(19'999);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(events.ended());
  clock_.advance_ms(2);
  EXPECT_EQ(events.outcome(), "refused model_loading");
}

TEST_F(ModelFleetTest, CancelOfACallThatWaits) {
  const auto host = fleet_.add(on_demand("a"));
  script("a", 1)->set_health(Health::loading);
  Events events;
  host->cancel(host->submit(asking("hello"), events.sink()));
  EXPECT_EQ(events.outcome(), "cancelled");
}

TEST_F(ModelFleetTest, SwapDropsNoStream) {
  const auto host = fleet_.add(plan("a"));
  wait_health(*host, Health::ready);
  Events old_call;
  const CallId old_id = host->submit(asking("hello"), old_call.sink());
  script("a", 2)->set_health(Health::loading);
  ASSERT_TRUE(host->swap());
  wait_until("the new one starts", [&] { return script("a", 2)->alive() == 1; });
  Events meanwhile;
  host->submit(asking("hello"), meanwhile.sink());
  EXPECT_EQ(meanwhile.text(), "v1") << "the old one answers until the new one is ready";
  EXPECT_EQ(host->health(), Health::ready);
  EXPECT_FALSE(host->swap()) << "one after the other";

  script("a", 2)->set_health(Health::ready);
  wait_settled(*host);
  EXPECT_EQ(host->identity().version, "2");
  Events new_call;
  host->submit(asking("hello"), new_call.sink());
  EXPECT_EQ(new_call.text(), "v2");
  EXPECT_EQ(new_call.version(), "2");
  EXPECT_EQ(meanwhile.version(), "1");
  EXPECT_FALSE(old_call.ended());
  EXPECT_EQ(script("a", 1)->alive(), 1) << "its calls still run";
  host->cancel(old_id);
  EXPECT_EQ(old_call.outcome(), "cancelled") << "a call of the old one can be cancelled";
  script("a", 1)->finish_all();
  EXPECT_EQ(meanwhile.outcome(), "finished");
  wait_until("the old one ends", [&] { return script("a", 1)->alive() == 0; });
  script("a", 2)->finish_all();
}

TEST_F(ModelFleetTest, SwapThatFailsKeepsTheOldOne) {
  const auto host = fleet_.add(plan("a"));
  wait_health(*host, Health::ready);
  script("a", 2)->set_health(Health::restarting);
  script("a", 2)->set_failed_starts(3);
  ASSERT_TRUE(host->swap());
  wait_settled(*host);
  EXPECT_EQ(host->health(), Health::ready);
  EXPECT_EQ(host->identity().version, "1");
  ASSERT_TRUE(host->model_status().failure);
  EXPECT_EQ(host->model_status().failure->code, "model_failed");
  EXPECT_NE(host->model_status().failure->message.find("it fell over"), std::string::npos);
  wait_until("the new one is gone", [&] { return script("a", 2)->alive() == 0; });
  Events events;
  host->submit(asking("hello"), events.sink());
  EXPECT_EQ(events.text(), "v1");
  script("a", 1)->finish_all();
}

TEST_F(ModelFleetTest, FailedLoadRefusesItsCallsAndIsTriedAgain) {
  find_error_ = "there is no such file";
  const auto host = fleet_.add(plan("a"));
  Events events;
  host->submit(asking("hello"), events.sink());
  EXPECT_EQ(events.outcome(), "refused model_failed");
  wait_settled(*host);
  EXPECT_EQ(host->health(), Health::failed);
  Events second;
  host->submit(asking("hello"), second.sink());
  const auto refusal = std::get<wire::Refusal>(second.last());
  EXPECT_EQ(refusal.status, 503);
  EXPECT_EQ(refusal.message, "there is no such file");
  EXPECT_GT(refusal.retry_after_s, 0U);
  find_error_.clear();
  clock_.advance_ms(60'000);
  wait_health(*host, Health::ready);
}

TEST_F(ModelFleetTest, UnloadLetsCallsFinishAndStaysUnloaded) {
  const auto host = fleet_.add(plan("a"));
  wait_health(*host, Health::ready);
  Events running;
  host->submit(asking("hello"), running.sink());
  ASSERT_TRUE(host->unload());
  wait_health(*host, Health::draining);
  Events refused;
  host->submit(asking("hello"), refused.sink());
  EXPECT_EQ(refused.outcome(), "refused model_unloaded");
  EXPECT_FALSE(running.ended());
  script("a", 1)->finish_all();
  EXPECT_EQ(running.outcome(), "finished");
  wait_health(*host, Health::unloaded);
  EXPECT_EQ(script("a", 1)->alive(), 0);
  ASSERT_TRUE(host->load());
  wait_health(*host, Health::ready);
  EXPECT_EQ(host->identity().version, "2");
  EXPECT_FALSE(host->load()) << "it is loaded";
}

TEST_F(ModelFleetTest, IdleModelGoesAndComesBack) {
  ModelPlan made = plan("a");
  made.idle_unload_s = 30;
  const auto host = fleet_.add(std::move(made));
  wait_health(*host, Health::ready);
  Events events;
  host->submit(asking("hello"), events.sink());
  clock_.advance_ms(100'000);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(host->health(), Health::ready) << "a call is running";
  script("a", 1)->finish_all();
  EXPECT_EQ(events.outcome(), "finished");
  clock_.advance_ms(30'000);
  wait_health(*host, Health::sleeping);
  wait_until("its memory is free", [&] { return script("a", 1)->alive() == 0; });
  Events again;
  host->submit(asking("hello"), again.sink());
  again.wait_begun();
  EXPECT_EQ(again.text(), "v2");
  script("a", 2)->finish_all();
}

TEST_F(ModelFleetTest, ModelThatDoesNotFitIsRefusedWithNumbers) {
  fleet_.set_budget(250 * kMib);
  const auto stays = fleet_.add(plan("stays", 200));
  wait_health(*stays, Health::ready);
  const auto big = fleet_.add(on_demand("big", 100));
  Events events;
  big->submit(asking("hello"), events.sink());
  EXPECT_EQ(events.outcome(), "refused model_no_memory");
  const auto refusal = std::get<wire::Refusal>(events.last());
  EXPECT_EQ(refusal.status, 503);
  EXPECT_NE(refusal.message.find("needs about 100 MiB"), std::string::npos) << refusal.message;
  EXPECT_NE(refusal.message.find("200 MiB of the 250 MiB"), std::string::npos) << refusal.message;
  EXPECT_EQ(stays->health(), Health::ready);
}

TEST_F(ModelFleetTest, LongestIdleModelMakesRoom) {
  fleet_.set_budget(250 * kMib);
  const auto first = fleet_.add(on_demand("first"));
  const auto second = fleet_.add(on_demand("second"));
  const auto third = fleet_.add(on_demand("third"));
  for (const auto& host : {first, second}) {
    clock_.advance_ms(1000);
    ASSERT_TRUE(host->load());
    wait_health(*host, Health::ready);
  }
  Events events;
  third->submit(asking("hello"), events.sink());
  events.wait_begun();
  EXPECT_EQ(first->health(), Health::sleeping);
  EXPECT_EQ(second->health(), Health::ready);
  EXPECT_EQ(script("first", 1)->alive(), 0);
  EXPECT_LE(fleet_.memory_bytes(), 250 * kMib);
  script("third", 1)->finish_all();
}

TEST_F(ModelFleetTest, WhatAModelReallyTakesCounts) {
  fleet_.set_budget(250 * kMib);
  std::uint64_t measured = 0;
  ModelPlan made = plan("a", 100);
  made.on_measured = [&](const ModelIdentity&, std::uint64_t bytes) { measured = bytes; };
  script("a", 1)->set_memory(300 * kMib);
  const auto host = fleet_.add(std::move(made));
  wait_health(*host, Health::failed);
  EXPECT_EQ(host->model_status().failure->code, "model_no_memory");
  wait_until("it is ended", [&] { return script("a", 1)->alive() == 0; });
  script("a", 2)->set_memory(240 * kMib);
  ASSERT_TRUE(host->load());
  wait_health(*host, Health::ready);
  EXPECT_EQ(measured, 240 * kMib);
  EXPECT_EQ(fleet_.memory_bytes(), 240 * kMib);
}

TEST_F(ModelFleetTest, RemovedModelFinishesItsCalls) {
  const auto host = fleet_.add(plan("a"));
  wait_health(*host, Health::ready);
  Events running;
  host->submit(asking("hello"), running.sink());
  fleet_.remove("a");
  EXPECT_EQ(fleet_.find("a"), nullptr);
  wait_health(*host, Health::draining);
  Events refused;
  host->submit(asking("hello"), refused.sink());
  EXPECT_EQ(refused.outcome(), "refused model_not_found");
  script("a", 1)->finish_all();
  EXPECT_EQ(running.outcome(), "finished");
  wait_until("its workers end", [&] { return script("a", 1)->alive() == 0; });
}

TEST_F(ModelFleetTest, ChangedPlanSwapsTheModel) {
  const auto host = fleet_.add(plan("a"));
  wait_health(*host, Health::ready);
  host->change_plan(plan("a", 77));
  wait_settled(*host);
  EXPECT_EQ(host->model_status().loads, 2U);
  // The new one answers before the old one has left: for a moment both take memory.
  wait_until("the old one has left",
             [&] { return host->model_status().memory_bytes == 77 * kMib; });
}

TEST_F(ModelFleetTest, ShutDownEndsEveryCall) {
  const auto ready = fleet_.add(plan("a"));
  wait_health(*ready, Health::ready);
  script("b", 1)->set_health(Health::loading);
  const auto loading = fleet_.add(plan("b"));
  Events running;
  Events waiting;
  ready->submit(asking("hello"), running.sink());
  loading->submit(asking("hello"), waiting.sink());
  ready->shut_down();
  loading->shut_down();
  EXPECT_EQ(running.outcome(), "broken draining");
  EXPECT_EQ(waiting.outcome(), "broken draining");
  Events late;
  ready->submit(asking("hello"), late.sink());
  EXPECT_EQ(late.outcome(), "broken draining");
  EXPECT_FALSE(ready->swap());
}

// With worker processes: the stream of the old one goes on while the new one answers.
TEST(ModelFleetWithWorkers, SwapLetsAStreamFinish) {
  const ScratchFolder folder;
  const SystemClock clock;
  ModelFleet fleet(0, clock);
  LocalBackendOptions options;
  options.name = "fake";
  options.command.program = DEEPMOAT_FAKE_WORKER;
  options.command.model_path = (folder / "ok").string();
  std::vector<pid_t> workers;
  const auto host = fleet.add(
      {.name = "fake", .find = [&]() -> Result<ModelBuild> {
         return ModelBuild{.start = [&] { return std::make_unique<LocalBackend>(options, clock); }};
       }});
  Events stream;
  const CallId id = host->submit(asking("wait after a word"), stream.sink());
  stream.wait_begun();
  ASSERT_TRUE(host->swap());
  wait_until("swapped", [&] { return host->model_status().loads == 2; });
  Events next;
  host->submit(asking("hello"), next.sink());
  EXPECT_EQ(next.outcome(), "finished");
  EXPECT_FALSE(stream.ended());
  host->cancel(id);
  EXPECT_EQ(stream.outcome(), "cancelled");
  wait_until("one worker is left", [&] { return !host->busy(); });
}

}  // namespace
}  // namespace deepmoat::backend
