#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/local_socket_path.h"
#include "base/scratch_folder.h"

namespace deepmoat {
namespace {

// Runs in a child, so that its limits and its folder are its own. The child's exit status.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(body());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) != -1;
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat found{};
  EXPECT_EQ(::stat(path.c_str(), &found), 0);
  return found.st_mode & 07777U;
}

TEST(UniqueFd, ClosesOnceAndMoves) {
  int raw = -1;
  {
    UniqueFd first(::open("/dev/null", O_RDONLY));
    raw = first.get();
    UniqueFd second(std::move(first));
    EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(second.get(), raw);
    EXPECT_TRUE(is_open(raw));
  }
  EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFd, ReleaseGivesItAway) {
  UniqueFd owner(::open("/dev/null", O_RDONLY));
  const int raw = owner.release();
  owner.reset();
  EXPECT_TRUE(is_open(raw));
  ::close(raw);
}

TEST(File, OpenSaysWhyNot) {
  const ScratchFolder folder;
  EXPECT_EQ(open_file(folder / "none", O_RDONLY).error().code, Code::not_found);
  ASSERT_TRUE(open_file(folder / "made", O_RDWR | O_CREAT | O_EXCL));
  EXPECT_EQ(open_file(folder / "made", O_RDWR | O_CREAT | O_EXCL).error().code,
            Code::already_exists);
  const auto under_file = open_file(folder / "made/below", O_RDONLY);
  EXPECT_EQ(under_file.error().code, Code::io);
  EXPECT_NE(under_file.error().message.find("made/below"), std::string::npos);
}

TEST(File, OpenedFilesAreNotInherited) {
  const auto file = open_file("/dev/null", O_RDONLY);
  ASSERT_TRUE(file);
  EXPECT_EQ(::fcntl(file->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(File, ReadTakesUpToItsLimit) {
  const ScratchFolder folder;
  const std::string bytes(100'000, 'x');
  ASSERT_TRUE(write_file_atomic(folder / "big", bytes, 0600));
  EXPECT_EQ(read_file(folder / "big", 100'000).value(), bytes);
  const auto over = read_file(folder / "big", 99'999);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, Code::invalid_argument);
  EXPECT_NE(over.error().message.find("99999"), std::string::npos);
  EXPECT_EQ(read_file("/dev/zero", 1000).error().code, Code::invalid_argument) << "endless";
  EXPECT_EQ(read_file(folder.path(), 1000).error().code, Code::io) << "a folder";
}

TEST(File, AtomicWriteReplacesAndSetsTheRights) {
  const ScratchFolder folder;
  const auto path = folder / "file";
  const mode_t before = ::umask(0077);
  ASSERT_TRUE(write_file_atomic(path, "old", 0644));
  ::umask(before);
  EXPECT_EQ(mode_of(path), 0644U);
  ASSERT_TRUE(write_file_atomic(path, "new and longer", 0600));
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_EQ(read_file(path, 100).value(), "new and longer");
  EXPECT_FALSE(std::filesystem::exists(folder / "file.new"));
}

TEST(File, AtomicWriteOverATornOne) {
  const ScratchFolder folder;
  ASSERT_TRUE(write_file_atomic(folder / "file.new", "what a crash left, longer", 0644));
  ASSERT_TRUE(write_file_atomic(folder / "file", "whole", 0600));
  EXPECT_EQ(read_file(folder / "file", 100).value(), "whole");
  EXPECT_EQ(mode_of(folder / "file"), 0600U);
}

TEST(File, AtomicWriteIntoNoFolder) {
  const ScratchFolder folder;
  EXPECT_EQ(write_file_atomic(folder / "none/file", "x", 0600).error().code, Code::not_found);
}

// RLIMIT_FSIZE stands for a full disk: write(2) takes some bytes, then none.
TEST(File, FullDiskLeavesTheOldFile) {
  const ScratchFolder folder;
  const auto path = folder / "file";
  ASSERT_TRUE(write_file_atomic(path, "old", 0600));
  const int status = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto written = write_file_atomic(path, std::string(5000, 'n'), 0600);
    return written ? 1 : (written.error().code == Code::io ? 0 : 2);
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read_file(path, 100).value(), "old");
  EXPECT_FALSE(std::filesystem::exists(folder / "file.new")) << "half of the new one stays behind";
}

TEST(File, WriteAtAnOffset) {
  const ScratchFolder folder;
  {
    const auto file = open_file(folder / "f", O_RDWR | O_CREAT);
    ASSERT_TRUE(file);
    ASSERT_TRUE(write_all_at(file->get(), "world", 6));
    ASSERT_TRUE(write_all_at(file->get(), "hello ", 0));
  }
  EXPECT_EQ(read_file(folder / "f", 100).value(), "hello world");
  EXPECT_EQ(write_all_at(-1, "x", 0).error().code, Code::io);
}

TEST(File, MakeDirectorySetsTheRightsOnce) {
  const ScratchFolder folder;
  ASSERT_TRUE(make_directory(folder / "a/b", 0700));
  EXPECT_EQ(mode_of(folder / "a/b"), 0700U);
  ASSERT_TRUE(make_directory(folder / "a/b", 0755)) << "it is there already";
  EXPECT_EQ(mode_of(folder / "a/b"), 0700U);
  ASSERT_TRUE(write_file_atomic(folder / "file", "x", 0600));
  EXPECT_FALSE(make_directory(folder / "file", 0700));
}

TEST(File, LockIsExclusiveAndEndsWithItsHolder) {
  const ScratchFolder folder;
  {
    const auto held = lock_file(folder / "lock");
    ASSERT_TRUE(held);
    EXPECT_EQ(lock_file(folder / "lock").error().code, Code::already_exists);
    EXPECT_EQ(holder_of_lock(folder / "lock"), ::getpid());
    EXPECT_EQ(in_child([&] {
                const auto second = lock_file(folder / "lock");
                return !second && second.error().code == Code::already_exists ? 0 : 1;
              }),
              0);
  }
  EXPECT_EQ(in_child([&] {
              const auto held = lock_file(folder / "lock");
              return held && holder_of_lock(folder / "lock") == ::getpid() ? 0 : 1;
            }),
            0);
  EXPECT_TRUE(lock_file(folder / "lock"));
  EXPECT_EQ(holder_of_lock(folder / "none"), 0);
}

bool binds(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return false;
  }
  path.copy(address.sun_path, path.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

TEST(LocalSocketPath, ShortPathIsTakenAsItIs) {
  const ScratchFolder folder;
  const auto path = LocalSocketPath::enter(folder / "s");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->text(), (folder / "s").string());
}

TEST(LocalSocketPath, PathOfAnyLengthCanBeBound) {
  for (const std::size_t length : {100U, 107U, 108U, 109U, 200U, 250U}) {
    const ScratchFolder folder;
    const std::size_t fixed = folder.path().string().size() + 2 + 6;
    ASSERT_LT(fixed, length);
    const auto deep = folder / std::string(length - fixed, 'd');
    std::filesystem::create_directory(deep);
    const auto before = std::filesystem::current_path();
    {
      const auto path = LocalSocketPath::enter(deep / "socket");
      ASSERT_TRUE(path) << length;
      EXPECT_TRUE(binds(path->text())) << length;
    }
    EXPECT_TRUE(std::filesystem::is_socket(deep / "socket")) << length;
    EXPECT_EQ(std::filesystem::current_path(), before);
  }
}

TEST(LocalSocketPath, NoSuchFolder) {
  const auto path = LocalSocketPath::enter("/" + std::string(150, 'n') + "/socket");
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, Code::io);
}

}  // namespace
}  // namespace deepmoat
