#include "worker/options.h"

#include <gtest/gtest.h>

#include <array>

namespace deepmoat::worker {
namespace {

TEST(Options, KeepsThePromisedNames) {
  const std::array argv = {"deepmoat-worker",
                           "--fd",
                           "3",
                           "--model",
                           "m.gguf",
                           "--threads",
                           "2",
                           "--cells",
                           "4096",
                           "--max-batch-size",
                           "32",
                           "--cpu-variant-avoid",
                           "a",
                           "--cpu-variant-avoid",
                           "b"};
  const Parsed parsed = parse_options(argv.size(), argv.data());
  ASSERT_FALSE(parsed.early.has_value()) << parsed.early->text;
  EXPECT_EQ(parsed.options.fd, 3);
  EXPECT_EQ(parsed.options.max_batch_size, 32U);
  EXPECT_EQ(parsed.options.cpu_variant_avoid, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(parsed.options.sandbox);
}

TEST(Options, TakesWhatAModelIsServedWith) {
  const std::array argv = {"deepmoat-worker",
                           "--fd",
                           "3",
                           "--model",
                           "m.gguf",
                           "--task",
                           "embed",
                           "--pooling",
                           "mean",
                           "--adapter",
                           "a=x.gguf:0.5",
                           "--adapter",
                           "b=y:z.gguf",
                           "--layout",
                           "streams",
                           "--spill-mib",
                           "64",
                           "--queue-max",
                           "9",
                           "--tenant-queue-max",
                           "4",
                           "--public-prefix",
                           "p.txt"};
  const Parsed parsed = parse_options(argv.size(), argv.data());
  ASSERT_FALSE(parsed.early.has_value()) << parsed.early->text;
  const Options& options = parsed.options;
  EXPECT_EQ(options.task, "embed");
  EXPECT_EQ(options.pooling, "mean");
  ASSERT_EQ(options.adapters.size(), 2U);
  EXPECT_EQ(options.adapters[0].name, "a");
  EXPECT_EQ(options.adapters[0].file, "x.gguf");
  EXPECT_EQ(options.adapters[0].scale, 0.5F);
  EXPECT_EQ(options.adapters[1].file, "y:z.gguf");
  EXPECT_EQ(options.adapters[1].scale, 1.0F);
  EXPECT_TRUE(options.split_memory);
  EXPECT_EQ(options.spill_mib, 64U);
  EXPECT_EQ(options.queue_max, 9U);
  EXPECT_EQ(options.tenant_queue_max, 4U);
  EXPECT_EQ(options.public_prefixes, (std::vector<std::filesystem::path>{"p.txt"}));
}

TEST(Options, SaysWhatIsMissing) {
  const std::array argv = {"deepmoat-worker", "--model", "m.gguf"};
  const Parsed parsed = parse_options(argv.size(), argv.data());
  ASSERT_TRUE(parsed.early.has_value());
  EXPECT_EQ(parsed.early->status, kExitUsage);
  EXPECT_NE(parsed.early->text.find("--fd"), std::string::npos);
}

TEST(Options, HelpIsNoError) {
  const std::array argv = {"deepmoat-worker", "--help"};
  const Parsed parsed = parse_options(argv.size(), argv.data());
  ASSERT_TRUE(parsed.early.has_value());
  EXPECT_EQ(parsed.early->status, kExitDone);
}

}  // namespace
}  // namespace deepmoat::worker
