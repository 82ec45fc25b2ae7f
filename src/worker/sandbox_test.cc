#include "worker/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <thread>

namespace deepmoat::worker {
namespace {

// Runs `inside` in a child that is in the sandbox; what it returns is the exit status.
int in_sandbox(const std::filesystem::path& readable, const std::function<int()>& inside) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto entered = enter_sandbox({.readable = {readable}});
    ::_exit(entered ? inside() : 99);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override {
    model_ =
        std::filesystem::path(::testing::TempDir()) / ("sandbox-" + std::to_string(::getpid()));
    std::ofstream(model_) << "GGUF";
  }
  void TearDown() override { std::filesystem::remove(model_); }
  std::filesystem::path model_;
};

TEST_F(Sandbox, TheModelCanBeReadAndNothingElse) {
  EXPECT_EQ(in_sandbox(model_, [this] { return ::open(model_.c_str(), O_RDONLY) >= 0 ? 0 : 1; }),
            0);
  EXPECT_EQ(in_sandbox(model_, [] { return ::open("/etc/passwd", O_RDONLY) >= 0 ? 1 : 0; }), 0);
  EXPECT_EQ(in_sandbox(model_, [this] { return ::open(model_.c_str(), O_RDWR) >= 0 ? 1 : 0; }), 0);
  EXPECT_EQ(in_sandbox(model_,
                       [] {
                         return ::open("/tmp/deepmoat-sandbox-test", O_WRONLY | O_CREAT, 0600) >= 0
                                    ? 1
                                    : 0;
                       }),
            0);
}

TEST_F(Sandbox, NoNetworkNoProgramsNoProcesses) {
  EXPECT_EQ(in_sandbox(model_, [] { return ::socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 1 : 0; }), 0);
  EXPECT_EQ(in_sandbox(model_, [] { return ::socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 1 : 0; }), 0);
  EXPECT_EQ(in_sandbox(model_,
                       [] {
                         ::execl("/bin/true", "true", static_cast<char*>(nullptr));
                         return 0;
                       }),
            0);
  EXPECT_EQ(in_sandbox(model_,
                       [] {
                         const pid_t pid = ::fork();
                         if (pid == 0) {
                           ::_exit(0);
                         }
                         return pid > 0 ? 1 : 0;
                       }),
            0);
  EXPECT_EQ(
      in_sandbox(model_, [] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 1 : 0; }),
      0);
  EXPECT_EQ(in_sandbox(model_, [] { return ::kill(::getppid(), 0) == 0 ? 1 : 0; }), 0);
}

TEST_F(Sandbox, MemoryDoesNotBecomeExecutable) {
  EXPECT_EQ(in_sandbox(model_,
                       [] {
                         void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                         if (page == MAP_FAILED) {
                           return 2;
                         }
                         return ::mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0 ? 1 : 0;
                       }),
            0);
}

TEST_F(Sandbox, ThreadsStillWork) {
  EXPECT_EQ(in_sandbox(model_,
                       [] {
                         int value = 1;
                         std::thread([&value] { value = 0; }).join();
                         return value;
                       }),
            0);
}

TEST(ModelParts, FindsTheOtherFilesOfAModelInParts) {
  const auto folder =
      std::filesystem::path(::testing::TempDir()) / ("parts-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  for (const char* name :
       {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "m-00001-of-00003.gguf"}) {
    std::ofstream(folder / name) << "x";
  }
  EXPECT_EQ(model_parts(folder / "m-00001-of-00002.gguf").size(), 2U);
  EXPECT_EQ(model_parts(folder / "plain.gguf").size(), 1U);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace deepmoat::worker
