// The envelope: fields open where they were sealed and nowhere else, keys survive restarts, a roll
// leaves nothing of the old generation, and no bytes at all make it crash.
#include "crypto/envelope.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <atomic>
#include <set>
#include <thread>

#include "base/file.h"
#include "crypto/envelope_keystore.h"
#include "crypto/scratch_custody.h"

namespace deepmoat::crypto {
namespace {

constexpr FieldPlace kPlace = {
    .tenant = "radiology", .table = "users", .column = "otp", .row = "u1", .version = 7};

class EnvelopeTest : public testing::TestWithParam<AeadAlgorithm> {
 protected:
  EnvelopeTest() : clock_(1'795'000'000'000) { options_.folder = scratch_.keys(); }

  // As a start of the server does.
  void restart() {
    envelope_.reset();
    options_.algorithm = GetParam();
    auto opened = Envelope::open(options_, scratch_.custody(), clock_);
    ASSERT_TRUE(opened) << opened.error().message;
    envelope_ = *std::move(opened);
  }
  [[nodiscard]] std::string sealed(const FieldPlace& place, std::string_view plain) {
    auto field = envelope_->seal(place, plain);
    EXPECT_TRUE(field) << field.error().message;
    return field.value_or("");
  }
  [[nodiscard]] std::string opened(const FieldPlace& place, std::string_view field) {
    const auto plain = envelope_->open(place, field);
    return plain ? std::string(plain->reveal())
                 : "error: " + std::string(code_name(plain.error().code));
  }
  [[nodiscard]] std::uint64_t generation() const { return envelope_->status().generation; }

  ScratchCustody scratch_;
  ManualClock clock_;
  EnvelopeOptions options_;
  std::unique_ptr<Envelope> envelope_;
};
INSTANTIATE_TEST_SUITE_P(Algorithms, EnvelopeTest,
                         testing::Values(AeadAlgorithm::sm4_gcm, AeadAlgorithm::aes_256_gcm));

std::uint64_t key_id(std::string_view field) {
  std::uint64_t id = 0;
  for (const char byte : field.substr(2, 8)) {
    id = id << 8 | static_cast<unsigned char>(byte);
  }
  return id;
}

TEST_P(EnvelopeTest, OpensWhatItSealedAlsoAfterAStart) {
  restart();
  const std::string field = sealed(kPlace, "JBSWY3DPEHPK3PXP");
  EXPECT_EQ(field.size(), 1U + 1 + 8 + 12 + 16 + 16);
  EXPECT_EQ(field[0], 1);
  EXPECT_EQ(field[1], static_cast<char>(GetParam()));
  EXPECT_EQ(opened(kPlace, field), "JBSWY3DPEHPK3PXP");
  EXPECT_NE(sealed(kPlace, "JBSWY3DPEHPK3PXP"), field);
  restart();
  EXPECT_EQ(opened(kPlace, field), "JBSWY3DPEHPK3PXP");
  EXPECT_EQ(opened(kPlace, sealed(kPlace, "")), "");
}

// What was moved does not open: every part of the place counts, and their borders too.
TEST_P(EnvelopeTest, OpensNowhereElse) {
  restart();
  EXPECT_TRUE(rc::check([this](const std::string& row, const std::string& column,
                               const std::string& table, std::uint64_t version,
                               const std::string& plain) {
    const FieldPlace place = {
        .tenant = "radiology", .table = table, .column = column, .row = row, .version = version};
    const std::string field = sealed(place, plain);
    RC_ASSERT(opened(place, field) == plain);
    const auto refused = [&](FieldPlace other) { return opened(other, field) == "error: corrupt"; };
    (void)sealed({.tenant = "surgery"}, "so that the tenant has a key");
    FieldPlace other = place;
    other.tenant = "surgery";
    RC_ASSERT(refused(other));
    const std::string longer = row + "x";
    other = place;
    other.row = longer;
    RC_ASSERT(refused(other));
    other = place;
    other.version = version + 1;
    RC_ASSERT(refused(other));
    const std::string moved_border = column + "y";
    other = place;
    other.column = moved_border;
    RC_ASSERT(refused(other));
    other = place;
    other.table = longer;
    RC_ASSERT(longer == table || refused(other));
    other = place;
    std::swap(other.table, other.column);
    RC_ASSERT(table == column || refused(other));
  }));
}

TEST_P(EnvelopeTest, RefusesEveryFlippedBitAndEveryCut) {
  restart();
  const std::string field = sealed(kPlace, "the one-time password's seed");
  for (std::size_t bit = 0; bit < field.size() * 8; ++bit) {
    std::string altered = field;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(opened(kPlace, altered), "error: corrupt") << "bit " << bit;
  }
  for (std::size_t size = 0; size < field.size(); ++size) {
    EXPECT_EQ(opened(kPlace, std::string_view(field).substr(0, size)), "error: corrupt");
  }
  EXPECT_EQ(opened(kPlace, field + "x"), "error: corrupt");
  EXPECT_EQ(opened(kPlace, field), "the one-time password's seed");
}

TEST_P(EnvelopeTest, NoBytesMakeItCrash) {
  restart();
  const std::string field = sealed(kPlace, "x");
  EXPECT_TRUE(rc::check([&](const std::string& bytes) {
    RC_ASSERT(opened(kPlace, bytes) == "error: corrupt");
    RC_ASSERT(opened(kPlace, field.substr(0, 10) + bytes) == "error: corrupt");
    RC_ASSERT(!parse_keystore(bytes).has_value());
    RC_ASSERT(!parse_keystore("DMENVEL1" + bytes + std::string(32, 'm')).has_value());
  }));
}

TEST_P(EnvelopeTest, GivesEachTenantItsOwnKeyAndKeepsItsPlainTextOffTheDisk) {
  restart();
  const std::string first = sealed({.tenant = "a"}, "visible");
  const std::string second = sealed({.tenant = "b"}, "visible");
  EXPECT_NE(key_id(first), key_id(second));
  EXPECT_EQ(key_id(sealed({.tenant = "a"}, "visible")), key_id(first));
  EXPECT_EQ(envelope_->status().tenant_keys, 2U);
  EXPECT_EQ(envelope_->seal({.tenant = ""}, "x").error().code, Code::invalid_argument);
  const std::string long_name(kTenantBytesMax + 1, 't');
  EXPECT_EQ(envelope_->seal({.tenant = long_name}, "x").error().code, Code::invalid_argument);
}

// The count of messages is on the disk before they are sealed, so a start cannot lose it.
TEST_P(EnvelopeTest, TakesANewKeyWhenTheOldOneHasSealedEnough) {
  options_.messages_max = 10;
  options_.messages_reserved = 4;
  restart();
  std::multiset<std::uint64_t> ids;
  std::vector<std::string> fields;
  for (int i = 0; i < 25; ++i) {
    fields.push_back(sealed(kPlace, std::to_string(i)));
    ids.insert(key_id(fields.back()));
  }
  EXPECT_EQ(ids.count(1), 10U);
  EXPECT_EQ(ids.count(2), 10U);
  EXPECT_EQ(ids.count(3), 5U);  // 8 are reserved
  restart();
  for (int i = 0; i < 25; ++i) {
    EXPECT_EQ(opened(kPlace, fields[static_cast<std::size_t>(i)]), std::to_string(i));
  }
  EXPECT_EQ(key_id(sealed(kPlace, "x")), 3U);
  EXPECT_EQ(key_id(sealed(kPlace, "x")), 3U);
  EXPECT_EQ(key_id(sealed(kPlace, "x")), 4U);  // the 3 that were reserved and not used are gone
}

TEST_P(EnvelopeTest, KeepsFewKeysReadyAndOpensTheOthersAgain) {
  options_.cached_keys_max = 2;
  restart();
  std::map<std::string, std::string> fields;
  for (const std::string tenant : {"a", "b", "c", "d"}) {
    fields[tenant] = sealed({.tenant = tenant}, tenant);
  }
  EXPECT_EQ(envelope_->status().cached_keys, 2U);
  for (int round = 0; round < 3; ++round) {
    for (const auto& [tenant, field] : fields) {
      EXPECT_EQ(opened({.tenant = tenant}, field), tenant);
    }
  }
  EXPECT_EQ(envelope_->status().cached_keys, 2U);
  EXPECT_EQ(envelope_->status().tenant_keys, 4U);
}

TEST_P(EnvelopeTest, BlindIndexIsStableAndOfOneColumnOnly) {
  options_.messages_max = 2;
  restart();
  const auto index = [this](const char* tenant, const char* table, const char* column,
                            const char* value) {
    return *envelope_->blind_index(tenant, table, column, value);
  };
  const std::string found = index("a", "users", "phone", "13800138000");
  EXPECT_EQ(found.size(), 16U);
  EXPECT_EQ(index("a", "users", "phone", "13800138000"), found);
  EXPECT_NE(index("a", "users", "phone", "13800138001"), found);
  EXPECT_NE(index("b", "users", "phone", "13800138000"), found);
  EXPECT_NE(index("a", "users", "mail", "13800138000"), found);
  EXPECT_NE(index("a", "other", "phone", "13800138000"), found);
  EXPECT_NE(index("a", "usersp", "hone", "13800138000"), found);
  for (int i = 0; i < 5; ++i) {
    (void)sealed({.tenant = "a"}, "x");  // further keys
  }
  ASSERT_TRUE(envelope_->roll());
  restart();
  EXPECT_EQ(index("a", "users", "phone", "13800138000"), found);
}

TEST_P(EnvelopeTest, RollKeepsFieldsAndLeavesNothingOfTheOldGeneration) {
  restart();
  const std::string field = sealed(kPlace, "kept");
  const std::string before = *read_file(keystore_path(scratch_.keys(), 1), 1 << 20);
  const auto rolled = envelope_->roll();
  ASSERT_TRUE(rolled) << rolled.error().message;
  EXPECT_EQ(rolled->old_generation, 1U);
  EXPECT_EQ(rolled->new_generation, 2U);
  EXPECT_EQ(rolled->keys_kept, 1U);
  EXPECT_EQ(rolled->keys_dropped, 0U);
  EXPECT_TRUE(rolled->old_destroyed);
  EXPECT_EQ(opened(kPlace, field), "kept");
  EXPECT_FALSE(std::filesystem::exists(keystore_path(scratch_.keys(), 1)));
  EXPECT_EQ(*scratch_.custody().generations(), std::vector<std::uint64_t>{2});
  restart();
  EXPECT_EQ(generation(), 2U);
  EXPECT_EQ(opened(kPlace, field), "kept");
  // The old keystore of a backup is of no use: its root is gone.
  envelope_.reset();
  std::filesystem::remove(keystore_path(scratch_.keys(), 2));
  ASSERT_TRUE(write_file_atomic(keystore_path(scratch_.keys(), 1), before, 0600));
  const auto restored = Envelope::open(options_, scratch_.custody(), clock_);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code, Code::not_found) << restored.error().message;
}

TEST_P(EnvelopeTest, RollWithoutATenantErasesIt) {
  restart();
  const std::string kept = sealed({.tenant = "kept", .row = "1"}, "stays");
  const std::string gone = sealed({.tenant = "gone", .row = "1"}, "goes");
  const std::string index = *envelope_->blind_index("gone", "t", "c", "v");
  const std::vector<std::string> dropped{"gone"};
  const auto rolled = envelope_->roll(dropped);
  ASSERT_TRUE(rolled) << rolled.error().message;
  EXPECT_EQ(rolled->keys_dropped, 1U);
  EXPECT_EQ(opened({.tenant = "kept", .row = "1"}, kept), "stays");
  EXPECT_EQ(opened({.tenant = "gone", .row = "1"}, gone), "error: corrupt");
  restart();
  EXPECT_EQ(opened({.tenant = "gone", .row = "1"}, gone), "error: corrupt");
  // It may come back, with another key.
  const std::string again = sealed({.tenant = "gone", .row = "1"}, "new");
  EXPECT_NE(key_id(again), key_id(gone));
  EXPECT_EQ(opened({.tenant = "gone", .row = "1"}, again), "new");
  EXPECT_EQ(opened({.tenant = "gone", .row = "1"}, gone), "error: corrupt");
  EXPECT_NE(*envelope_->blind_index("gone", "t", "c", "v"), index);
}

TEST_P(EnvelopeTest, AFailedRollChangesNothing) {
  restart();
  const std::string field = sealed(kPlace, "kept");
  for (const char* operation : {"generations", "generate", "wrap", "unwrap"}) {
    scratch_.custody().fails = operation;
    const auto rolled = envelope_->roll();
    ASSERT_FALSE(rolled) << operation;
    EXPECT_EQ(rolled.error().code, Code::unavailable) << operation;
    scratch_.custody().fails = "";
    EXPECT_EQ(generation(), 1U) << operation;
    EXPECT_EQ(opened(kPlace, field), "kept") << operation;
    restart();
    EXPECT_EQ(generation(), 1U) << operation;
    EXPECT_EQ(opened(kPlace, field), "kept") << operation;
  }
}

TEST_P(EnvelopeTest, FinishesADestructionThatCustodyCouldNotDo) {
  restart();
  const std::string field = sealed(kPlace, "kept");
  scratch_.custody().fails = "destroy";
  const auto rolled = envelope_->roll();
  ASSERT_TRUE(rolled) << rolled.error().message;
  EXPECT_FALSE(rolled->old_destroyed);
  EXPECT_EQ(envelope_->status().undestroyed_generation, 1U);
  EXPECT_FALSE(envelope_->finish());
  EXPECT_FALSE(envelope_->roll());  // two would be left over, and only one is remembered
  scratch_.custody().fails = "";
  EXPECT_TRUE(envelope_->finish());
  EXPECT_EQ(envelope_->status().undestroyed_generation, 0U);
  EXPECT_EQ(*scratch_.custody().generations(), std::vector<std::uint64_t>{2});
  EXPECT_EQ(opened(kPlace, field), "kept");
}

TEST_P(EnvelopeTest, IssuesNothingWhileCustodyIsLost) {
  bool lost = false;
  options_.may_issue = [&lost]() -> Result<> {
    return lost ? Result<>(fail(Code::custody_unavailable, "no token")) : Result<>();
  };
  restart();
  const std::string field = sealed(kPlace, "kept");
  lost = true;
  EXPECT_EQ(opened(kPlace, field), "kept");
  EXPECT_EQ(opened(kPlace, sealed(kPlace, "still")), "still");
  EXPECT_EQ(envelope_->seal({.tenant = "new"}, "x").error().code, Code::custody_unavailable);
  EXPECT_EQ(envelope_->roll().error().code, Code::custody_unavailable);
  lost = false;
  EXPECT_TRUE(envelope_->seal({.tenant = "new"}, "x"));
}

TEST_P(EnvelopeTest, ForgetsItsKeysWhenLocked) {
  restart();
  const std::string field = sealed(kPlace, "kept");
  envelope_->lock();
  EXPECT_TRUE(envelope_->status().locked);
  EXPECT_EQ(envelope_->status().cached_keys, 0U);
  EXPECT_EQ(opened(kPlace, field), "error: custody_unavailable");
  EXPECT_EQ(envelope_->seal(kPlace, "x").error().code, Code::custody_unavailable);
  EXPECT_EQ(envelope_->roll().error().code, Code::custody_unavailable);
  ASSERT_TRUE(envelope_->unlock());
  EXPECT_EQ(opened(kPlace, field), "kept");
}

TEST_P(EnvelopeTest, FindsDamageInEveryByteOfTheKeystore) {
  restart();
  (void)sealed(kPlace, "x");
  envelope_.reset();
  const std::filesystem::path path = keystore_path(scratch_.keys(), 1);
  const std::string good = *read_file(path, 1 << 20);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x20);
    ASSERT_TRUE(write_file_atomic(path, bad, 0600));
    const auto opened = Envelope::open(options_, scratch_.custody(), clock_);
    ASSERT_FALSE(opened) << "byte " << at;
    EXPECT_TRUE(opened.error().code == Code::corrupt || opened.error().code == Code::not_found);
    EXPECT_NE(opened.error().message.find("envelope-1.keys"), std::string::npos);
  }
  for (std::size_t size = 0; size < good.size(); size += 7) {
    ASSERT_TRUE(write_file_atomic(path, good.substr(0, size), 0600));
    EXPECT_FALSE(Envelope::open(options_, scratch_.custody(), clock_)) << "cut at " << size;
  }
  ASSERT_TRUE(write_file_atomic(path, good, 0600));
  EXPECT_TRUE(Envelope::open(options_, scratch_.custody(), clock_));
}

TEST_P(EnvelopeTest, ALostKeystoreIsNotMadeAnew) {
  restart();
  (void)sealed(kPlace, "x");
  envelope_.reset();
  std::filesystem::remove(keystore_path(scratch_.keys(), 1));
  options_.may_begin = false;
  const auto opened = Envelope::open(options_, scratch_.custody(), clock_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::not_found);
  EXPECT_NE(opened.error().message.find("backup"), std::string::npos);
}

// Four readers and writers while the generation rolls again and again.
TEST_P(EnvelopeTest, ReadersAndWritersGoOnDuringRolls) {
  options_.cached_keys_max = 2;
  options_.messages_reserved = 16;
  restart();
  std::atomic<bool> stop = false;
  std::atomic<int> failures = 0;
  std::atomic<int> done = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const std::string tenant = "tenant" + std::to_string(i);
      const FieldPlace place = {.tenant = tenant, .row = "r"};
      while (!stop) {
        const auto field = envelope_->seal(place, tenant);
        const auto plain = field ? envelope_->open(place, *field) : Result<Secret>(Secret());
        failures += !field || !plain || plain->reveal() != tenant ? 1 : 0;
        ++done;
      }
    });
  }
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(envelope_->roll());
  }
  while (done < 64) {
    std::this_thread::yield();
  }
  stop = true;
  threads.clear();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(generation(), 9U);
}

}  // namespace
}  // namespace deepmoat::crypto
