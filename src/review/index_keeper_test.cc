#include "review/index_keeper.h"

#include <gtest/gtest.h>

#include "review/scratch_index.h"

namespace deepmoat::review {
namespace {

using namespace std::chrono_literals;

constexpr UnixMillis kStart = 1'700'000'000'000;

class IndexKeeperTest : public testing::Test {
 protected:
  ScratchIndex scratch_{kStart};
  std::filesystem::path path_ = scratch_.folder.path() / "kept.db";

  std::unique_ptr<IndexKeeper> keeper() {
    return std::make_unique<IndexKeeper>(scratch_.folder.log(), path_,
                                         [this] { return scratch_.log->tree().size(); });
  }
};

TEST_F(IndexKeeperTest, HoldsARecordOnceItWasWaitedFor) {
  const auto keeper = this->keeper();
  for (std::uint64_t i = 0; i < 20; ++i) {
    const std::uint64_t sequence = scratch_.append(sample_call());
    ASSERT_TRUE(keeper->wait_for(sequence, 60s).has_value());
    const auto reader = keeper->open_reader();
    ASSERT_TRUE(reader.has_value());
    EXPECT_EQ((*reader)->find_request("req_1")->size(), i + 1);
  }
  EXPECT_EQ(keeper->state().index.last_sequence, 20U);
  EXPECT_EQ(keeper->state().error, "");
}

TEST_F(IndexKeeperTest, SaysThatARecordIsNotThereYet) {
  const auto keeper = this->keeper();
  scratch_.append(sample_call());
  const auto waited = keeper->wait_for(2, 1ms);
  ASSERT_FALSE(waited.has_value());
  EXPECT_EQ(waited.error().code, Code::unavailable);
}

TEST_F(IndexKeeperTest, SaysWhyItDoesNotFollow) {
  std::filesystem::create_directory(path_);  // no file can be there
  scratch_.append(sample_call());
  const auto keeper = this->keeper();
  while (keeper->state().error.empty()) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_FALSE(keeper->wait_for_log(1ms).has_value());
}

TEST_F(IndexKeeperTest, GoesOnWhereAnEarlierOneEnded) {
  scratch_.append(sample_call());
  ASSERT_TRUE(keeper()->wait_for_log(60s).has_value());
  scratch_.append(sample_call());
  const auto again = keeper();
  ASSERT_TRUE(again->wait_for_log(60s).has_value());
  EXPECT_EQ(again->state().index.last_sequence, 2U);
}

}  // namespace
}  // namespace deepmoat::review
