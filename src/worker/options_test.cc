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
