#include "worker/adapters.h"

#include <gtest/gtest.h>

namespace deepmoat::worker {
namespace {

AdapterTable two() {
  return AdapterTable({{.name = "law", .file = "a", .scale = 0.5F}, {.name = "code", .file = "b"}});
}

TEST(AdapterTable, GivesOneIdToOneAdapterAtOneScale) {
  AdapterTable table = two();
  EXPECT_EQ(*table.id_of("", 0), 0U);
  const auto law = *table.id_of("law", 0);
  EXPECT_NE(law, 0U);
  EXPECT_EQ(*table.id_of("law", 0.5F), law) << "its own scale";
  EXPECT_NE(*table.id_of("law", 1), law);
  EXPECT_NE(*table.id_of("code", 0.5F), law);
  EXPECT_EQ(table.use_of(law).index, 0U);
  EXPECT_FLOAT_EQ(table.use_of(law).scale, 0.5F);
  EXPECT_FALSE(table.use_of(0).index.has_value());
}

TEST(AdapterTable, NamesWhatThereIs) {
  AdapterTable table = two();
  const auto unknown = table.id_of("poetry", 0);
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("law, code"), std::string::npos);
  EXPECT_FALSE(table.id_of("law", 100).has_value());
  EXPECT_FALSE(AdapterTable({}).id_of("law", 0).has_value());
}

}  // namespace
}  // namespace deepmoat::worker
