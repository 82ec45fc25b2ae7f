// Checkpoints: that they come, that the log must continue them, and that tiles can be made again.
#include "audit/checkpointer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <thread>

#include "audit/scratch_log.h"
#include "base/file.h"

namespace deepmoat::audit {
namespace {

namespace fs = std::filesystem;
using transparency::NoteSigner;

constexpr UnixMillis kStart = 1'700'000'000'000;
constexpr const char* kOrigin = "deepmoat/test";

NoteSigner make_signer(char seed = 'c') {
  auto key = crypto::SigningKey::from_seed(Secret::copy_of(std::string(32, seed)));
  return NoteSigner::make(kOrigin, std::move(*key), std::nullopt).value();
}

class Checkpoints : public ::testing::Test {
 protected:
  // Places are asked by threads of their own.
  template <class Condition>
  static void wait_until(Condition condition) {
    for (int round = 0; !condition(); ++round) {
      ASSERT_LT(round, 30'000) << "it takes too long";
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  std::vector<std::unique_ptr<CheckpointPlace>> places() const {
    fs::create_directories(second_.path());
    std::vector<std::unique_ptr<CheckpointPlace>> made;
    made.push_back(directory_place(second_.path().string(), kOrigin));
    return made;
  }
  Result<std::unique_ptr<Log>> open(bool sm3 = false) {
    LogOptions options{.directory = folder_.log(), .segment_bytes = kSegmentBytesMin};
    options.sm3_tree = sm3;
    TRY(options.known_checkpoints, known_checkpoints(folder_.log(), places(), signer_));
    return Log::open(options, clock_);
  }
  // Appends records up to `last` and closes the log with a checkpoint.
  void write_up_to(std::uint64_t last, bool sm3 = false) {
    auto log = open(sm3);
    ASSERT_TRUE(log) << log.error().message;
    Checkpointer checkpointer(**log, signer_, places(), clock_);
    append_records(**log, (*log)->tree().size() + 1, last - (*log)->tree().size());
  }
  Checkpoint on_disk(const fs::path& path) {
    return transparency::parse_checkpoint(signer_.open(read_bytes(path)).value().text).value();
  }
  fs::path own() const { return folder_.log() / "checkpoint"; }
  fs::path kept() const { return second_.path() / "deepmoat_test.checkpoint"; }

  ScratchFolder folder_;
  ScratchFolder second_;
  ManualClock clock_{kStart};
  NoteSigner signer_ = make_signer();
};

TEST_F(Checkpoints, OneComesForWhatIsAskedAndOneAtTheEnd) {
  {
    auto log = open();
    ASSERT_TRUE(log);
    Checkpointer checkpointer(**log, signer_, places(), clock_);
    append_records(**log, 1, 3);
    const std::string note = checkpointer.covering(3).value();
    const Checkpoint checkpoint = transparency::parse_checkpoint(signer_.open(note)->text).value();
    EXPECT_EQ(checkpoint.origin, kOrigin);
    EXPECT_GE(checkpoint.size, 3U);
    EXPECT_EQ(checkpoint.root, (*log)->tree().view().root(checkpoint.size).value());
    EXPECT_EQ(read_bytes(own()), note);
    EXPECT_EQ(checkpointer.covering(4).error().code, Code::invalid_argument);
    wait_until([&] { return checkpointer.places()[0].size == 3; });  // it comes after the note
    EXPECT_EQ(checkpointer.places()[0].error, "");
    append_records(**log, 4, 2);
  }
  EXPECT_EQ(on_disk(own()).size, 5U);
  EXPECT_EQ(read_bytes(kept()), read_bytes(own()));
  EXPECT_TRUE(fs::exists(folder_.log() / "checkpoints" / "00000000000000000003"));
}

TEST_F(Checkpoints, EveryRecordHasAProof) {
  auto log = open();
  ASSERT_TRUE(log);
  append_records(**log, 1, 600);
  const auto view = (*log)->tree().view();
  const auto root = view.root(600).value();
  const std::vector<Entry> entries = all_entries(folder_);
  ASSERT_EQ(entries.size(), 600U);
  std::uint64_t index = 0;
  for (std::uint64_t number = 1; number <= count_segments(folder_.log()).value(); ++number) {
    const std::string bytes = read_bytes(folder_.segment(number));
    SegmentHeader header;
    if (parse_segment_header(bytes, header) != nullptr) {
      break;
    }
    ChainState chain{header.first_sequence, header.hash};
    (void)scan_frames(bytes, kSegmentHeaderBytes, chain, [&](const Frame& frame) {
      const auto leaf = transparency::leaf_hash(transparency::TreeHash::sha256, frame.leaf_data);
      EXPECT_TRUE(transparency::inclusion_holds(transparency::TreeHash::sha256, leaf, index, 600,
                                                view.inclusion(index, 600).value(), root))
          << index;
      ++index;
    });
  }
  EXPECT_EQ(index, 600U);
}

TEST_F(Checkpoints, ALogThatGrewSinceIsTaken) {
  write_up_to(300);
  {
    auto log = open();
    ASSERT_TRUE(log);
    append_records(**log, 301, 300);  // no checkpoint for these
  }
  EXPECT_EQ(on_disk(own()).size, 300U);
  write_up_to(700);
  EXPECT_EQ(on_disk(own()).size, 700U);
}

TEST_F(Checkpoints, AnOlderCopyIsRefused) {
  write_up_to(20);
  const ScratchFolder backup;
  fs::copy(folder_.log(), backup.path(), fs::copy_options::recursive);
  write_up_to(40);
  fs::remove_all(folder_.log());
  fs::copy(backup.path(), folder_.log(), fs::copy_options::recursive);
  const auto log = open();
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, Code::corrupt);
  EXPECT_NE(log.error().message.find("40 records"), std::string::npos) << log.error().message;
  EXPECT_NE(log.error().message.find("the log has 20"), std::string::npos) << log.error().message;
}

// Who has the machine can write a log whose chain is whole; its root is another all the same.
TEST_F(Checkpoints, AWholeNewLogIsRefused) {
  write_up_to(20);
  fs::remove_all(folder_.log());
  {
    ManualClock later(kStart + 1);
    auto log = Log::open({.directory = folder_.log(), .segment_bytes = kSegmentBytesMin}, later);
    append_records(**log, 1, 30);
  }
  const auto log = open();
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, Code::corrupt);
  EXPECT_NE(log.error().message.find("its root is"), std::string::npos) << log.error().message;
}

TEST_F(Checkpoints, AnEmptiedLogIsRefused) {
  write_up_to(20);
  fs::remove_all(folder_.log());
  EXPECT_EQ(open().error().code, Code::corrupt);
}

TEST_F(Checkpoints, ACheckpointOfAnotherKeyIsSaid) {
  write_up_to(5);
  signer_ = make_signer('d');
  const auto log = open();
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, Code::corrupt);
  EXPECT_NE(log.error().message.find("not signed by the key of"), std::string::npos);
}

TEST_F(Checkpoints, APlaceThatIsNotMountedIsNotTakenForEmpty) {
  std::vector<std::unique_ptr<CheckpointPlace>> gone;
  gone.push_back(directory_place((second_.path() / "mount").string(), kOrigin));
  const auto known = known_checkpoints(folder_.log(), gone, signer_);
  ASSERT_FALSE(known);
  EXPECT_EQ(known.error().code, Code::unavailable);
}

// As a share that is not mounted, with an older copy of the log beside it.
TEST_F(Checkpoints, APlaceThatHasLostItsCheckpointIsRefused) {
  write_up_to(5);  // the first start has not found one there yet, and left one
  fs::remove(kept());
  const auto log = open();
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, Code::corrupt);
  EXPECT_NE(log.error().message.find("is it mounted?"), std::string::npos) << log.error().message;
  EXPECT_NE(log.error().message.find((folder_.log() / "places").string()), std::string::npos);
  write_bytes(folder_.log() / "places", "");  // it is meant
  EXPECT_TRUE(open());
}

TEST_F(Checkpoints, APlaceThatFailsIsSaidAndNotWaitedFor) {
  auto log = open();
  ASSERT_TRUE(log);
  std::vector<std::unique_ptr<CheckpointPlace>> gone;
  gone.push_back(directory_place((second_.path() / "mount").string(), kOrigin));
  Checkpointer checkpointer(**log, signer_, std::move(gone), clock_);
  append_records(**log, 1, 1);
  EXPECT_TRUE(checkpointer.covering(1));
  wait_until([&] { return !checkpointer.places()[0].error.empty(); });
  EXPECT_EQ(checkpointer.places()[0].size, 0U);
}

// As a network share does whose server is gone.
class HangingPlace final : public CheckpointPlace {
 public:
  explicit HangingPlace(std::shared_future<void> end) : end_(std::move(end)) {}
  std::string name() const override { return "hanging"; }
  Result<std::optional<std::string>> newest() override { return std::nullopt; }
  Result<bool> keep(const std::string& /*note*/, bool /*last*/) override {
    end_.wait();
    return true;
  }

 private:
  std::shared_future<void> end_;
};

TEST_F(Checkpoints, APlaceThatHangsHoldsNothingUpAndIsSaid) {
  auto log = open();
  ASSERT_TRUE(log);
  std::promise<void> end;
  std::vector<std::unique_ptr<CheckpointPlace>> both = places();
  both.insert(both.begin(), std::make_unique<HangingPlace>(end.get_future().share()));
  Checkpointer checkpointer(**log, signer_, std::move(both), clock_);
  for (std::uint64_t i = 1; i <= 10; ++i) {
    append_records(**log, i, 1);
    ASSERT_TRUE(checkpointer.covering(i));
  }
  wait_until([&] { return checkpointer.places()[1].size == 10; });
  EXPECT_EQ(checkpointer.places()[0].size, 0U);
  EXPECT_EQ(checkpointer.places()[0].error, "") << "it may only be slow";
  clock_.advance_ms(11'000);
  EXPECT_EQ(checkpointer.places()[0].error, "it does not answer");
  append_records(**log, 11, 1);
  EXPECT_FALSE(checkpointer.stop(std::chrono::milliseconds(50)));
  wait_until([&] { return on_disk(kept()).size == 11; });  // the last one, too
  end.set_value();
  EXPECT_TRUE(checkpointer.stop(std::chrono::seconds(30)));
  EXPECT_EQ(checkpointer.places()[0].size, 11U);
  EXPECT_EQ(checkpointer.places()[0].error, "");
}

// A token that counts.
class CountingCustody final : public crypto::KeyCustody {
 public:
  std::atomic<int> writes = 0;
  std::string note;
  Result<crypto::RootSecrets> root_secrets() override { return fail(Code::internal, ""); }
  Result<> generate(std::uint64_t) override { return {}; }
  Result<std::vector<std::uint64_t>> generations() override { return {}; }
  Result<> destroy(std::uint64_t) override { return {}; }
  Result<std::string> wrap(std::uint64_t, const Secret&, std::string_view) override { return ""; }
  Result<Secret> unwrap(std::uint64_t, std::string_view, std::string_view) override {
    return fail(Code::internal, "");
  }
  Result<> check() override { return {}; }
  Result<> recover() override { return {}; }
  crypto::CustodyFacts describe() override { return {}; }
  Result<> keep_note(const std::string& name, std::string_view bytes) override {
    EXPECT_EQ(name, "audit-checkpoint");
    note = bytes;
    ++writes;
    return {};
  }
  Result<std::optional<std::string>> read_note(const std::string&) override {
    return note.empty() ? std::nullopt : std::optional(note);
  }
};

TEST_F(Checkpoints, ATokenIsWrittenOnceAMinuteAndAtTheEnd) {
  CountingCustody token;
  {
    auto log = open();
    ASSERT_TRUE(log);
    std::vector<std::unique_ptr<CheckpointPlace>> made;
    made.push_back(make_checkpoint_place("token", kOrigin, token, clock_).value());
    Checkpointer checkpointer(**log, signer_, std::move(made), clock_);
    for (std::uint64_t i = 1; i <= 20; ++i) {
      append_records(**log, i, 1);
      ASSERT_TRUE(checkpointer.covering(i));
    }
    EXPECT_LE(token.writes.load(), 1);
  }
  EXPECT_LE(token.writes.load(), 2);
  EXPECT_EQ(token.note, read_bytes(own()));
}

TEST_F(Checkpoints, PlacesAreNamed) {
  CountingCustody token;
  EXPECT_EQ(make_checkpoint_place("directory:/mnt/x", "a", token, clock_).value()->name(),
            "directory:/mnt/x");
  EXPECT_EQ(make_checkpoint_place("syslog", "a", token, clock_).value()->name(), "syslog");
  for (const std::string bad : {"", "directory:", "directory:relative", "ftp://x", "Token"}) {
    EXPECT_EQ(make_checkpoint_place(bad, "a", token, clock_).error().code, Code::invalid_argument)
        << bad;
  }
}

TEST_F(Checkpoints, TilesAreMadeAgain) {
  write_up_to(600);
  const std::string tile = read_bytes(folder_.log() / "tile/0/001");
  ASSERT_EQ(tile.size(), 8192U);
  fs::remove_all(folder_.log() / "tile");
  write_up_to(601);
  EXPECT_EQ(read_bytes(folder_.log() / "tile/0/001"), tile);
  // One in the middle that a power cut took, or left empty.
  for (const bool empty : {false, true}) {
    fs::remove(folder_.log() / "tile/0/000");
    if (empty) {
      write_bytes(folder_.log() / "tile/0/000", "");
    }
    write_up_to(601);
    EXPECT_EQ(fs::file_size(folder_.log() / "tile/0/000"), 8192U);
  }
  // One that was altered, too: its root is not the checkpoint's.
  std::string altered = read_bytes(folder_.log() / "tile/0/002.p/89");
  ASSERT_EQ(altered.size(), 89U * 32);
  altered[5] = static_cast<char>(altered[5] ^ 1);
  write_bytes(folder_.log() / "tile/0/002.p/89", altered);
  write_up_to(602);
  EXPECT_EQ(on_disk(own()).size, 602U);
  const auto log = open();
  ASSERT_TRUE(log);
  EXPECT_EQ((*log)->tree().view().root(602).value(), on_disk(own()).root);
}

TEST_F(Checkpoints, TheSm3TreeCanBeginLater) {
  write_up_to(300);
  write_up_to(310, true);
  const Checkpoint checkpoint = on_disk(own());
  ASSERT_TRUE(checkpoint.sm3_root);
  EXPECT_TRUE(fs::exists(folder_.log() / "tile-sm3/0/000"));
  {
    auto log = open(true);
    ASSERT_TRUE(log);
    EXPECT_EQ((*log)->tree().snapshot().checkpoint(kOrigin).sm3_root, checkpoint.sm3_root);
  }
  fs::remove_all(folder_.log() / "tile-sm3");
  // One that a stranger to the SM3 tree has signed in its place.
  Checkpoint other = checkpoint;
  (*other.sm3_root)[0] = static_cast<char>((*other.sm3_root)[0] ^ 1);
  const std::string whole = read_bytes(kept());
  write_bytes(kept(), signer_.sign(transparency::checkpoint_text(other)).value());
  EXPECT_EQ(open(true).error().code, Code::corrupt);
  write_bytes(kept(), whole);
  auto log = open(true);
  ASSERT_TRUE(log);
  EXPECT_EQ((*log)->tree().snapshot().checkpoint(kOrigin).sm3_root, checkpoint.sm3_root);
}

}  // namespace
}  // namespace deepmoat::audit
