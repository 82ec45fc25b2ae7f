#include "worker/draw_pool.h"

#include <gtest/gtest.h>

namespace deepmoat::worker {
namespace {

TEST(DrawPool, RunsEveryTaskOnceInEveryRound) {
  for (const std::uint32_t threads : {0U, 1U, 3U}) {
    DrawPool pool(threads);
    for (std::size_t round = 0; round < 500; ++round) {
      const std::size_t count = round % 7;
      std::vector<int> runs(count);
      pool.run(count, [&](std::size_t i) { ++runs[i]; });
      EXPECT_EQ(runs, std::vector<int>(count, 1));
    }
  }
}

}  // namespace
}  // namespace deepmoat::worker
