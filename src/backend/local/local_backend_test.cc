#include "backend/local/local_backend.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "backend/scratch_backend.h"
#include "base/scratch_folder.h"

namespace deepmoat::backend {
namespace {

using std::chrono::milliseconds;

class LocalBackendTest : public testing::Test {
 protected:
  // How the worker starts is in `mode`: see fake_worker.cc.
  LocalBackend& start(const std::string& mode, const Clock* clock = nullptr) {
    LocalBackendOptions options;
    options.name = "fake";
    options.command.program = program_;
    options.command.model_path = (folder_ / mode).string();
    options.hang_ms = 30'000;
    options.on_variant_avoided = [this](const std::string& variant) {
      const std::lock_guard lock(mutex_);
      avoided_.push_back(variant);
    };
    mode_ = mode;
    backend_ = std::make_unique<LocalBackend>(options, clock != nullptr ? *clock : system_clock_);
    return *backend_;
  }

  // No worker of a test outlives it, nor does a zombie.
  void TearDown() override {
    backend_.reset();
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }

  std::vector<std::string> starts() const {
    std::ifstream file(folder_ / (mode_ + ".starts"));
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) {
      lines.push_back(line);
    }
    return lines;
  }

  std::string ask(const std::string& wish) {
    Events events;
    backend_->submit(asking(wish), events.sink());
    return events.outcome();
  }

  void wait_health(Health health) {
    wait_until(health_name(health).data(), [&] { return backend_->status().health == health; });
  }

  // Lets time pass on the stepped clock until the worker has been started this often.
  void pass_until_starts(std::size_t count, std::int64_t step_ms) {
    wait_until("another start", [&] {
      stepped_clock_.advance_ms(step_ms);
      return starts().size() >= count;
    });
  }

  std::string program_ = DEEPMOAT_FAKE_WORKER;
  ScratchFolder folder_;
  SystemClock system_clock_;
  SteppedClock stepped_clock_;
  std::string mode_;
  std::mutex mutex_;
  std::vector<std::string> avoided_;
  std::unique_ptr<LocalBackend> backend_;
};

TEST_F(LocalBackendTest, AnswersAndTellsItsState) {
  LocalBackend& backend = start("ok");
  Events events;
  backend.submit(asking("hello"), events.sink());
  EXPECT_EQ(events.outcome(), "finished");
  EXPECT_EQ(events.text(), "echo: hello");
  EXPECT_EQ(std::get<wire::Finished>(events.last()).usage().completion_tokens(), 1U);
  const BackendStatus status = backend.status();
  EXPECT_EQ(status.health, Health::ready);
  EXPECT_EQ(status.load_fraction, 1.0F);
  EXPECT_EQ(status.facts.description(), "fake");
  EXPECT_EQ(status.restarts, 0U);
  EXPECT_GT(backend.worker_pid(), 0);
}

TEST_F(LocalBackendTest, ManyCallsAtOnceEachGetTheirOwnAnswer) {
  LocalBackend& backend = start("ok");
  std::vector<std::unique_ptr<Events>> calls;
  for (int i = 0; i < 200; ++i) {
    calls.push_back(std::make_unique<Events>());
    backend.submit(asking("call " + std::to_string(i)), calls.back()->sink());
  }
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(calls[i]->outcome(), "finished");
    EXPECT_EQ(calls[i]->text(), "echo: call " + std::to_string(i));
  }
}

TEST_F(LocalBackendTest, WorkersRefusalsBecomeHttps) {
  start("ok");
  EXPECT_EQ(ask("refuse INVALID"), "refused invalid_value");
  EXPECT_EQ(ask("refuse QUEUE_FULL"), "refused queue_full");
  EXPECT_EQ(ask("refuse CONTEXT_EXCEEDED"), "refused context_length_exceeded");
  EXPECT_EQ(ask("refuse UNSUPPORTED"), "refused unsupported_parameter");
  EXPECT_EQ(ask("refuse DEADLINE"), "refused queue_timeout");
  EXPECT_EQ(ask("refuse DRAINING"), "refused draining");
  EXPECT_EQ(ask("refuse INTERNAL"), "refused internal_error");
  Events events;
  backend_->submit(asking("refuse QUEUE_FULL"), events.sink());
  const auto refusal = std::get<wire::Refusal>(events.last());
  EXPECT_EQ(refusal.status, 429);
  EXPECT_EQ(refusal.retry_after_s, 17U) << "what the worker said";
}

TEST_F(LocalBackendTest, WorkerGetsWhatItsModelIsServedWith) {
  LocalBackendOptions options;
  options.command = {.program = program_,
                     .model_path = (folder_ / "flags").string(),
                     .step_ms = 50,
                     .spill_mib = 64,
                     .queue_max = 9,
                     .tenant_queue_max = 4,
                     .task = "embed",
                     .pooling = "mean",
                     .layout = "streams",
                     .adapters = {"a=x.gguf:0.5", "b=y.gguf"},
                     .public_prefixes = {"p.txt"}};
  backend_ = std::make_unique<LocalBackend>(options, system_clock_);
  mode_ = "flags";
  wait_health(Health::ready);
  const std::string line = starts().at(0);
  for (const char* flags :
       {" --step-ms 50 ", " --spill-mib 64 ", " --queue-max 9 ", " --tenant-queue-max 4 ",
        " --task embed ", " --pooling mean ", " --layout streams ", " --adapter a=x.gguf:0.5 ",
        " --adapter b=y.gguf ", " --public-prefix p.txt "}) {
    EXPECT_NE(line.find(flags), std::string::npos) << flags << "in" << line;
  }
}

TEST_F(LocalBackendTest, KeepsTheCallersCallId) {
  LocalBackend& backend = start("ok");
  wire::InferRequest request = asking("wait after a word");
  request.set_call_id(77);
  Events events;
  EXPECT_EQ(backend.submit(request, events.sink()), CallId(77));
  events.wait_begun();
  backend.cancel(CallId(77));
  EXPECT_EQ(events.outcome(), "cancelled");
}

TEST_F(LocalBackendTest, CountsStartsThatFail) {
  LocalBackend& backend = start("exits");
  wait_until("three failed starts", [&] { return backend.status().failed_starts >= 3; });
  backend_.reset();
  start("amx-faults");
  wait_health(Health::ready);
  EXPECT_EQ(backend_->status().failed_starts, 0U) << "a variant that faults is no failed start";
}

TEST_F(LocalBackendTest, FramesOfCallsThatNobodyMadeAreDropped) {
  start("ok");
  EXPECT_EQ(ask("strangers"), "finished");
}

TEST_F(LocalBackendTest, CallWithoutAFirstByteRunsAgainOnce) {
  LocalBackend& backend = start("ok");
  Events waiting;
  backend.submit(asking("wait"), waiting.sink());
  EXPECT_EQ(ask("kill"), "broken worker_crashed") << "it kills its second worker too";
  EXPECT_GE(starts().size(), 2U);
  EXPECT_EQ(waiting.outcome(), "broken worker_crashed") << "both its runs were taken along";
  EXPECT_EQ(ask("hello"), "finished");
  EXPECT_EQ(backend.status().restarts, 2U);
}

TEST_F(LocalBackendTest, BystanderWithoutAFirstByteDoesNotNotice) {
  LocalBackend& backend = start("ok");
  Events bystander;
  Events guilty;
  backend.submit(asking("wait"), bystander.sink());
  backend.submit(asking("kill after a word"), guilty.sink());
  EXPECT_EQ(guilty.outcome(), "broken worker_crashed") << "it had begun, so it is not run again";
  EXPECT_EQ(guilty.text(), "word");
  wait_health(Health::ready);
  EXPECT_FALSE(bystander.ended());
  backend.cancel(CallId(1));
  EXPECT_EQ(bystander.outcome(), "cancelled");
  EXPECT_EQ(backend.status().restarts, 1U);
  EXPECT_NE(backend.status().failure.find("signal 9"), std::string::npos);
}

TEST_F(LocalBackendTest, CallThatHasBegunIsBrokenWithoutASecondRun) {
  start("ok");
  Events events;
  backend_->submit(asking("wait after a word"), events.sink());
  events.wait_begun();
  ASSERT_EQ(::kill(backend_->worker_pid(), SIGKILL), 0);
  EXPECT_EQ(events.outcome(), "broken worker_crashed");
  EXPECT_EQ(events.text(), "word");
}

TEST_F(LocalBackendTest, RequestThatCrashesTwoWorkersIsRefusedFromThenOn) {
  start("ok");
  EXPECT_EQ(ask("abort"), "broken worker_crashed");
  EXPECT_EQ(ask("abort"), "refused request_quarantined");
  EXPECT_EQ(backend_->status().restarts, 2U);
  EXPECT_EQ(ask("hello"), "finished");
}

TEST_F(LocalBackendTest, CrashesAfterTheFirstByteCountToo) {
  start("ok");
  EXPECT_EQ(ask("abort after a word"), "broken worker_crashed");
  EXPECT_EQ(ask("abort after a word"), "broken worker_crashed");
  EXPECT_EQ(ask("abort after a word"), "refused request_quarantined");
}

TEST_F(LocalBackendTest, KillFromOutsideIsNoFaultOfTheRequest) {
  start("ok");
  EXPECT_EQ(ask("kill"), "broken worker_crashed");
  EXPECT_EQ(ask("kill"), "broken worker_crashed");
  EXPECT_EQ(ask("kill"), "broken worker_crashed");
}

TEST_F(LocalBackendTest, VariantThatFaultsIsAvoidedAndReported) {
  start("amx-faults");
  EXPECT_EQ(ask("hello"), "finished");
  EXPECT_EQ(backend_->status().facts.cpu_variant(), "haswell");
  ASSERT_EQ(starts().size(), 2U);
  EXPECT_EQ(starts()[0].find("--cpu-variant-avoid"), std::string::npos);
  EXPECT_NE(starts()[1].find("--cpu-variant-avoid amx "), std::string::npos);
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(avoided_, std::vector<std::string>{"amx"});
}

TEST_F(LocalBackendTest, CallsThatWaitTooLongForAModelAreRefused) {
  LocalBackend& backend = start("never-ready", &stepped_clock_);
  Events events;
  backend.submit(asking("hello"), events.sink());
  wait_until("progress", [&] { return backend.status().load_fraction > 0; });
  stepped_clock_.advance_ms(19'999);
  EXPECT_EQ(backend.status().health, Health::loading);
  EXPECT_FALSE(events.ended());
  stepped_clock_.advance_ms(2);
  EXPECT_EQ(events.outcome(), "refused model_loading");
  const auto refusal = std::get<wire::Refusal>(events.last());
  EXPECT_EQ(refusal.status, 503);
  EXPECT_GT(refusal.retry_after_s, 0U);
}

TEST_F(LocalBackendTest, WorkerThatDiesAgainAndAgainIsStartedLessAndLessOften) {
  LocalBackend& backend = start("exits", &stepped_clock_);
  std::uint64_t deaths = 0;
  for (const std::int64_t wait_ms : {45, 135, 400, 1'200, 3'600, 10'000, 10'000}) {
    ++deaths;
    wait_until("the worker has died", [&] { return backend.status().restarts == deaths; });
    EXPECT_EQ(backend.status().health, Health::restarting);
    const MonoNanos died_at = stepped_clock_.mono_ns();
    pass_until_starts(deaths + 1, wait_ms / 20);
    const std::int64_t waited_ms = (stepped_clock_.mono_ns() - died_at) / 1'000'000;
    EXPECT_GE(waited_ms, wait_ms) << "after death " << deaths;
  }
  EXPECT_NE(backend.status().failure.find("status 7"), std::string::npos);
}

TEST_F(LocalBackendTest, ProgramThatIsMissingIsTriedLessAndLessOften) {
  program_ = (folder_ / "no-such-program").string();
  LocalBackend& backend = start("ok", &stepped_clock_);
  wait_until("tried", [&] { return backend.status().restarts == 1; });
  EXPECT_NE(backend.status().failure.find("no-such-program"), std::string::npos);
  for (std::uint64_t round = 2; round <= 6; ++round) {
    stepped_clock_.advance_ms(10'000);
    wait_until("tried again", [&] { return backend.status().restarts == round; });
  }
  // By now the wait is ten seconds; it is still when the clock is.
  stepped_clock_.advance_ms(5'000);
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(backend.status().restarts, 6U);
}

TEST_F(LocalBackendTest, LastWordsOfAWorkerReachTheOperator) {
  LocalBackend& backend = start("fatal");
  wait_until("it gave up", [&] { return backend.status().restarts > 0; });
  EXPECT_EQ(backend.status().failure, "the model file is not a model");
}

TEST_F(LocalBackendTest, CancelBeforeTheWorkerHasTheCall) {
  LocalBackend& backend = start("never-ready");
  Events events;
  backend.cancel(backend.submit(asking("hello"), events.sink()));
  EXPECT_EQ(events.outcome(), "cancelled");
}

TEST_F(LocalBackendTest, CancelWhileItRuns) {
  LocalBackend& backend = start("ok");
  Events events;
  const CallId call = backend.submit(asking("wait after a word"), events.sink());
  events.wait_begun();
  backend.cancel(call);
  EXPECT_EQ(events.outcome(), "cancelled");
  backend.cancel(call);
  backend.cancel(CallId(999'999));
  EXPECT_EQ(ask("hello"), "finished") << "cancelling what has ended changes nothing";
}

TEST_F(LocalBackendTest, CancelledCallIsNotRunAgain) {
  LocalBackend& backend = start("ok");
  Events events;
  const CallId call = backend.submit(asking("ignore everything"), events.sink());
  EXPECT_EQ(ask("hello"), "finished") << "so the worker has the first call too";
  backend.cancel(call);
  EXPECT_EQ(ask("hello again"), "finished");
  ASSERT_EQ(::kill(backend.worker_pid(), SIGKILL), 0);
  EXPECT_EQ(events.outcome(), "cancelled");
}

TEST_F(LocalBackendTest, WorkerThatBreaksTheProtocolIsEnded) {
  start("ok");
  EXPECT_EQ(ask("garbage"), "broken worker_crashed");
  EXPECT_EQ(ask("unparsable"), "broken worker_crashed");
  EXPECT_EQ(ask("hello"), "finished");
  EXPECT_EQ(backend_->status().restarts, 4U);
}

TEST_F(LocalBackendTest, BusyWorkerThatIsSilentIsKilled) {
  LocalBackend& backend = start("ok", &stepped_clock_);
  wait_health(Health::ready);
  const pid_t first = backend.worker_pid();
  Events events;
  backend.submit(asking("wait after a word"), events.sink());
  events.wait_begun();
  stepped_clock_.advance_ms(29'000);
  std::this_thread::sleep_for(milliseconds(60));
  EXPECT_EQ(backend.worker_pid(), first);
  stepped_clock_.advance_ms(2'000);
  EXPECT_EQ(events.outcome(), "broken worker_crashed");
  EXPECT_EQ(backend.status().failure, "the worker hung");
}

TEST_F(LocalBackendTest, IdleWorkerMayBeSilent) {
  LocalBackend& backend = start("ok", &stepped_clock_);
  wait_health(Health::ready);
  EXPECT_EQ(ask("hello"), "finished");
  for (int i = 0; i < 5; ++i) {
    stepped_clock_.advance_ms(100'000);
    EXPECT_EQ(ask("hello"), "finished");
  }
  EXPECT_EQ(backend.status().restarts, 0U);
}

TEST_F(LocalBackendTest, ShutDownGivesEveryCallItsEnd) {
  LocalBackend& backend = start("ok");
  std::vector<std::unique_ptr<Events>> calls;
  for (const char* wish : {"wait", "wait after a word", "ignore everything"}) {
    calls.push_back(std::make_unique<Events>());
    backend.submit(asking(wish), calls.back()->sink());
  }
  calls[1]->wait_begun();
  backend.shut_down();
  for (const auto& call : calls) {
    EXPECT_TRUE(call->ended());
    EXPECT_EQ(call->outcome(), "broken draining");
  }
  EXPECT_EQ(ask("hello"), "broken draining") << "later calls too";
  EXPECT_EQ(backend.status().health, Health::draining);
  EXPECT_EQ(backend.worker_pid(), 0);
  backend.shut_down();
}

TEST_F(LocalBackendTest, WorkerThatDoesNotEndIsKilled) {
  LocalBackend& backend = start("does-not-end");
  wait_health(Health::ready);
  const pid_t worker = backend.worker_pid();
  backend.shut_down();
  EXPECT_EQ(::kill(worker, 0), -1);
}

TEST_F(LocalBackendTest, CallsDuringShutDownGetTheirEndToo) {
  LocalBackend& backend = start("ok");
  std::vector<std::unique_ptr<Events>> calls;
  for (int i = 0; i < 400; ++i) {
    calls.push_back(std::make_unique<Events>());
  }
  std::jthread caller([&] {
    for (const auto& call : calls) {
      backend.submit(asking("wait"), call->sink());
    }
  });
  backend.shut_down();
  caller.join();
  for (const auto& call : calls) {
    EXPECT_EQ(call->outcome(), "broken draining");
  }
}

TEST_F(LocalBackendTest, WorkerGetsNeitherOurEnvironmentNorOurFiles) {
  ::setenv("DEEPMOAT_SECRET_OF_A_TEST", "1", 1);
  LocalBackend& backend = start("ok");
  wait_health(Health::ready);
  const std::string process = "/proc/" + std::to_string(backend.worker_pid());
  std::ifstream environment(process + "/environ");
  const std::string text((std::istreambuf_iterator<char>(environment)), {});
  EXPECT_EQ(text.find("DEEPMOAT_SECRET"), std::string::npos);
  std::size_t beyond = 0;
  for (const auto& entry : std::filesystem::directory_iterator(process + "/fd")) {
    beyond += std::stoi(entry.path().filename()) > 3 ? 1 : 0;
  }
  EXPECT_EQ(beyond, 0U);
  ::unsetenv("DEEPMOAT_SECRET_OF_A_TEST");
}

}  // namespace
}  // namespace deepmoat::backend
