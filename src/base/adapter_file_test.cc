#include "base/adapter_file.h"

#include <gtest/gtest.h>

namespace deepmoat {
namespace {

TEST(AdapterFile, HasAScaleWhereANumberEndsIt) {
  const auto half = parse_adapter("law=/m/law.gguf:0.5");
  ASSERT_TRUE(half.has_value());
  EXPECT_EQ(half->name, "law");
  EXPECT_EQ(half->file, "/m/law.gguf");
  EXPECT_EQ(half->scale, 0.5F);
  const auto colon = parse_adapter("a=y:z.gguf");
  ASSERT_TRUE(colon.has_value());
  EXPECT_EQ(colon->file, "y:z.gguf");
  EXPECT_EQ(colon->scale, 1.0F);
}

TEST(AdapterFile, NeedsNameAndFile) {
  for (const char* bad : {"a", "=f", "a=", "a=:0.5", ""}) {
    EXPECT_FALSE(parse_adapter(bad)) << bad;
  }
}

}  // namespace
}  // namespace deepmoat
