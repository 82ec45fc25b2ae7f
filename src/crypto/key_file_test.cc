// The sealed key file: what it keeps, and everything that it refuses.
#include "crypto/key_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"

namespace deepmoat::crypto {
namespace {

class KeyFileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/deepmoat_key_XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::filesystem::path path() const { return folder_ / "keys" / "root.key"; }
  void write(const std::string& bytes) const {
    ASSERT_TRUE(write_file_atomic(path(), bytes, 0600));
  }
  [[nodiscard]] std::string read() const { return *read_file(path(), 4096); }
  [[nodiscard]] unsigned mode(const std::filesystem::path& of) const {
    struct stat status{};
    EXPECT_EQ(::stat(of.c_str(), &status), 0);
    return status.st_mode & 0777U;
  }

  std::filesystem::path folder_;
};

const Secret kNone;

TEST_F(KeyFileTest, KeepsTheSecretsThatItMade) {
  const auto made = create_key_file(path(), kNone);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->signing.size(), 32U);
  EXPECT_EQ(made->pepper.size(), 32U);
  EXPECT_EQ(made->audit_fingerprint.size(), 32U);
  EXPECT_NE(made->signing.reveal(), made->pepper.reveal());
  EXPECT_NE(made->pepper.reveal(), made->audit_fingerprint.reveal());
  const auto opened = open_key_file(path(), kNone);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->signing.reveal(), made->signing.reveal());
  EXPECT_EQ(opened->pepper.reveal(), made->pepper.reveal());
  EXPECT_EQ(opened->audit_fingerprint.reveal(), made->audit_fingerprint.reveal());
  EXPECT_EQ(opened->id, made->id);
  EXPECT_EQ(made->id.size(), 32U);
}

TEST_F(KeyFileTest, IsReadableByItsOwnerOnly) {
  ASSERT_TRUE(create_key_file(path(), kNone));
  EXPECT_EQ(mode(path()), 0600U);
  EXPECT_EQ(mode(path().parent_path()), 0700U);
  for (const mode_t bad : {0640U, 0604U, 0660U, 0610U, 0644U, 0777U}) {
    ASSERT_EQ(::chmod(path().c_str(), bad), 0);
    const auto opened = open_key_file(path(), kNone);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::permission_denied);
    EXPECT_NE(opened.error().message.find("chmod 600 " + path().string()), std::string::npos);
  }
  ASSERT_EQ(::chmod(path().c_str(), 0400), 0);
  EXPECT_TRUE(open_key_file(path(), kNone));
}

TEST_F(KeyFileTest, NeverReplacesAFile) {
  ASSERT_TRUE(create_key_file(path(), kNone));
  const std::string before = read();
  EXPECT_EQ(create_key_file(path(), kNone).error().code, Code::already_exists);
  EXPECT_EQ(read(), before);
}

TEST_F(KeyFileTest, IsMadeAtTheFirstStartOnly) {
  const auto lost = open_or_create_key_file(path(), kNone, false);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::not_found);
  EXPECT_NE(lost.error().message.find("backup"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path()));
  const auto made = open_or_create_key_file(path(), kNone, true);
  ASSERT_TRUE(made);
  EXPECT_EQ(open_or_create_key_file(path(), kNone, true)->id, made->id);
  EXPECT_EQ(open_or_create_key_file(path(), kNone, false)->id, made->id);
}

TEST_F(KeyFileTest, FindsDamageInEveryByte) {
  ASSERT_TRUE(create_key_file(path(), kNone));
  const std::string good = read();
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x20);
    write(bad);
    const auto opened = open_key_file(path(), kNone);
    ASSERT_FALSE(opened) << "byte " << at;
    EXPECT_EQ(opened.error().code, Code::corrupt) << "byte " << at;
  }
  for (const std::size_t size : std::vector<std::size_t>{0, 7, 48, good.size() - 1}) {
    write(good.substr(0, size));
    EXPECT_EQ(open_key_file(path(), kNone).error().code, Code::corrupt) << "cut at " << size;
  }
  write(good + "x");
  EXPECT_EQ(open_key_file(path(), kNone).error().code, Code::corrupt);
  write(good);
  EXPECT_TRUE(open_key_file(path(), kNone));
}

TEST_F(KeyFileTest, NeedsItsPassphrase) {
  const auto made = create_key_file(path(), Secret::copy_of("correct horse"));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(read().find(made->signing.reveal()), std::string::npos);
  const auto none = open_key_file(path(), kNone);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::unauthenticated);
  const auto wrong = open_key_file(path(), Secret::copy_of("correct hors"));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Code::unauthenticated);
  EXPECT_NE(wrong.error().message.find("wrong passphrase"), std::string::npos);
  const auto opened = open_key_file(path(), Secret::copy_of("correct horse"));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->signing.reveal(), made->signing.reveal());
}

TEST_F(KeyFileTest, SaysThatAPassphraseProtectsNothing) {
  ASSERT_TRUE(create_key_file(path(), kNone));
  const auto opened = open_key_file(path(), Secret::copy_of("correct horse"));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::invalid_argument);
}

TEST_F(KeyFileTest, RefusesWhatIsNoRegularFile) {
  ASSERT_TRUE(std::filesystem::create_directories(path().parent_path()));
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  EXPECT_EQ(open_key_file(path(), kNone).error().code, Code::permission_denied);
}

}  // namespace
}  // namespace deepmoat::crypto
