// The sealed key file: what it keeps, and everything that it refuses.
#include "crypto/key_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/hex.h"
#include "crypto/crc32.h"

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
  for (const std::size_t size : std::vector<std::size_t>{0, 7, 8, 9, 13, 48, good.size() - 1}) {
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

// Written by a version that knew scrypt alone, under the passphrase "correct horse".
constexpr std::string_view kScryptFile =
    "444d524f4f544b3101100802aa6798699ab27f082dd58449613a5eff04a60368"
    "c241a32e008c5a42cbdb91f628d4b15cf8e9d8b877d50a12547c2e7c81325cc1"
    "a1bbc2effdc4e4b930c6b0a93e83e823d3b584e1b652247c16e7916be91d6971"
    "05ba43ea7bed7272e7247f7e3503d9cc3c5e9101384a58e9d8344a9afe7da0c4"
    "718970929683aa3581e180380b55a0262c9e319e488261f53275216de2b74c98"
    "1792449aac13d7db305bf2a9";

TEST_F(KeyFileTest, OpensAFileUnderScryptAndRewrapsItUnderArgon2id) {
  const Secret passphrase = Secret::copy_of("correct horse");
  ASSERT_TRUE(std::filesystem::create_directories(path().parent_path()));
  write(*from_hex(kScryptFile));
  EXPECT_NE(key_file_protection(path())->find("scrypt"), std::string::npos);
  const auto old = open_key_file(path(), passphrase);
  ASSERT_TRUE(old) << old.error().message;
  EXPECT_EQ(open_key_file(path(), Secret::copy_of("wrong")).error().code, Code::unauthenticated);
  ASSERT_TRUE(rewrap_key_file(path(), passphrase, Secret::copy_of("battery staple")));
  EXPECT_TRUE(read().starts_with("DMROOTK2"));
  EXPECT_EQ(mode(path()), 0600U);
  EXPECT_EQ(*key_file_protection(path()), "sealed with a passphrase (Argon2id)");
  EXPECT_EQ(open_key_file(path(), passphrase).error().code, Code::unauthenticated);
  const auto rewrapped = open_key_file(path(), Secret::copy_of("battery staple"));
  ASSERT_TRUE(rewrapped) << rewrapped.error().message;
  EXPECT_EQ(rewrapped->signing.reveal(), old->signing.reveal());
  EXPECT_EQ(rewrapped->pepper.reveal(), old->pepper.reveal());
  EXPECT_EQ(rewrapped->audit_fingerprint.reveal(), old->audit_fingerprint.reveal());
  EXPECT_EQ(rewrapped->id, old->id);
  EXPECT_EQ(*key_file_id(path()), old->id);
}

TEST_F(KeyFileTest, RewrapsToAndFromNoPassphrase) {
  const auto made = create_key_file(path(), kNone);
  ASSERT_TRUE(rewrap_key_file(path(), kNone, Secret::copy_of("battery staple")));
  EXPECT_EQ(open_key_file(path(), kNone).error().code, Code::unauthenticated);
  EXPECT_EQ(rewrap_key_file(path(), kNone, kNone).error().code, Code::unauthenticated);
  ASSERT_TRUE(rewrap_key_file(path(), Secret::copy_of("battery staple"), kNone));
  EXPECT_EQ(open_key_file(path(), kNone)->signing.reveal(), made->signing.reveal());
}

// A file that is crafted to take all memory or all time is damaged, not tried.
TEST_F(KeyFileTest, RefusesACostThatNobodyCanPay) {
  ASSERT_TRUE(create_key_file(path(), Secret::copy_of("p")));
  const std::string good = read();
  const auto with = [&](std::size_t at, char value) {
    std::string bad = good;
    bad[at] = value;
    bad.replace(12, 4, 4, '\0');
    const std::uint32_t sum = crc32(bad);
    for (std::size_t i = 0; i < 4; ++i) {
      bad[12 + i] = static_cast<char>(sum >> (8 * (3 - i)));
    }
    write(bad);
    return open_key_file(path(), Secret::copy_of("p"));
  };
  for (const auto& [at, value] : {std::pair<std::size_t, char>{9, 21},
                                  {9, 64},
                                  {10, 0},
                                  {10, 17},
                                  {11, 0},
                                  {11, 17},
                                  {8, 3},
                                  {8, 1}}) {
    const auto opened = with(at, value);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::corrupt) << at << ' ' << static_cast<int>(value);
  }
  EXPECT_EQ(with(10, 4).error().code, Code::unauthenticated);  // another cost, another key
}

TEST_F(KeyFileTest, RefusesWhatIsNoRegularFile) {
  ASSERT_TRUE(std::filesystem::create_directories(path().parent_path()));
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  EXPECT_EQ(open_key_file(path(), kNone).error().code, Code::permission_denied);
}

}  // namespace
}  // namespace deepmoat::crypto
