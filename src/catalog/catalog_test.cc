// The catalog: numbers, what a name means, pinning, removal, files.
#include "catalog/catalog.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/scratch_folder.h"
#include "catalog/entry_json.h"

namespace deepmoat::catalog {
namespace {

const InUse kNobody = [](const Entry&) { return false; };

class CatalogTest : public testing::Test {
 protected:
  CatalogTest() : folder_(scratch_.path() / "models") {
    std::filesystem::create_directories(folder_);
    open();
  }

  void open() {
    catalog_.reset();
    database_.reset();
    auto database = store::Database::open(scratch_.path() / "test.db");
    ASSERT_TRUE(database) << database.error().message;
    database_ = *std::move(database);
    catalog_ = std::make_unique<Catalog>(*database_, folder_);
  }

  std::filesystem::path incoming(const std::string& content = "x") const {
    const auto path = folder_ / ".incoming";
    std::ofstream(path) << content;
    return path;
  }

  Result<Entry> add(const std::string& name, char digit) {
    Entry entry;
    entry.name = name;
    entry.sha256 = std::string(64, digit);
    entry.bytes = 1;
    entry.quantisation = "Q4_0";
    entry.architecture = "llama";
    entry.parameters = 135'000'000;
    entry.task = "generate";
    entry.provenance = {.source = "a file.gguf",
                        .source_sha256 = std::string(64, 'e'),
                        .imported_by = "local:0",
                        .tool = "copy"};
    entry.measurements = R"({"perplexity":12.5})";
    entry.created_ms = 1'795'000'000'123;
    return catalog_->add(entry, incoming());
  }

  ScratchFolder scratch_;
  std::filesystem::path folder_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, KeepsAnEntryOverAReopening) {
  const auto added = add("smol", 'a');
  ASSERT_TRUE(added) << added.error().message;
  EXPECT_EQ(added->number, 1);
  EXPECT_EQ(added->label(), "1-aaaaaaaaaaaaaaaa");
  EXPECT_EQ(added->file, folder_ / "smol" / "1-aaaaaaaaaaaaaaaa.gguf");
  EXPECT_TRUE(std::filesystem::exists(added->file));
  EXPECT_FALSE(std::filesystem::exists(folder_ / ".incoming"));
  open();
  const auto found = catalog_->find("smol");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->file, added->file);
  EXPECT_EQ(found->parameters, 135'000'000U);
  EXPECT_EQ(found->provenance.source, "a file.gguf");
  EXPECT_EQ(found->measurements, R"({"perplexity":12.5})");
  EXPECT_EQ(found->created_ms, 1'795'000'000'123);
}

TEST_F(CatalogTest, ANameMeansThePinnedVersionOrTheNewest) {
  ASSERT_TRUE(add("smol", 'a'));
  ASSERT_TRUE(add("smol", 'b'));
  ASSERT_TRUE(add("other", 'c'));
  EXPECT_EQ(catalog_->find("smol")->number, 2);
  ASSERT_TRUE(catalog_->pin("smol", "1"));
  EXPECT_EQ(catalog_->find("smol")->number, 1);
  ASSERT_TRUE(catalog_->pin("smol", "2"));
  EXPECT_FALSE(catalog_->find("smol", "1")->pinned);
  ASSERT_TRUE(add("smol", 'd'));
  EXPECT_EQ(catalog_->find("smol")->number, 2);
  ASSERT_TRUE(catalog_->unpin("smol"));
  EXPECT_EQ(catalog_->find("smol")->number, 3);
  EXPECT_EQ(catalog_->unpin("nothing").error().code, Code::not_found);
}

TEST_F(CatalogTest, AVersionIsANumberALabelOrTheStartOfADigest) {
  ASSERT_TRUE(add("smol", 'a'));
  ASSERT_TRUE(add("smol", 'b'));
  EXPECT_EQ(catalog_->find("smol", "1")->number, 1);
  EXPECT_EQ(catalog_->find("smol", "bbbbbbbb")->number, 2);
  EXPECT_EQ(catalog_->find("smol", "2-bbbbbbbbbbbbbbbb")->number, 2);
  EXPECT_EQ(catalog_->find("smol", std::string(64, 'a'))->number, 1);
  for (const char* wrong : {"3", "0", "-1", "1-bbbbbbbbbbbbbbbb", "cccccccc", "bbb", "1 "}) {
    const auto found = catalog_->find("smol", wrong);
    ASSERT_FALSE(found) << wrong;
    EXPECT_EQ(found.error().code, Code::not_found);
    EXPECT_NE(found.error().message.find("2-bbbbbbbbbbbbbbbb"), std::string::npos);
  }
}

TEST_F(CatalogTest, TheSameContentIsRecognised) {
  ASSERT_TRUE(add("smol", 'a'));
  const auto again = add("smol", 'a');
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::already_exists);
  EXPECT_TRUE(std::filesystem::exists(folder_ / ".incoming"));
  EXPECT_TRUE(add("another-name", 'a'));
  EXPECT_EQ(catalog_->by_digest("smol", std::string(64, 'a'))->number, 1);
  EXPECT_EQ(catalog_->by_digest("smol", std::string(64, 'b')).error().code, Code::not_found);
}

TEST_F(CatalogTest, NothingIsOverwritten) {
  std::filesystem::create_directories(folder_ / "smol");
  std::ofstream(folder_ / "smol" / "1-aaaaaaaaaaaaaaaa.gguf") << "mine";
  EXPECT_EQ(add("smol", 'a').error().code, Code::already_exists);
  EXPECT_EQ(*read_file(folder_ / "smol" / "1-aaaaaaaaaaaaaaaa.gguf", 100), "mine");
  Entry outside;
  outside.name = "smol";
  outside.sha256 = std::string(64, 'b');
  EXPECT_EQ(catalog_->add(outside, scratch_.path() / "test.db").error().code,
            Code::invalid_argument);
}

TEST_F(CatalogTest, RemovesNeitherAPinnedVersionNorOneInUse) {
  const auto first = add("smol", 'a');
  ASSERT_TRUE(add("smol", 'b'));
  ASSERT_TRUE(catalog_->pin("smol", "1"));
  EXPECT_EQ(catalog_->remove("smol", "1", kNobody).error().code, Code::already_exists);
  EXPECT_EQ(
      catalog_->remove("smol", "2", [](const Entry& e) { return e.number == 2; }).error().code,
      Code::already_exists);
  ASSERT_TRUE(catalog_->unpin("smol"));
  ASSERT_TRUE(catalog_->remove("smol", "1", kNobody));
  EXPECT_FALSE(std::filesystem::exists(first->file));
  EXPECT_EQ(catalog_->find("smol", "1").error().code, Code::not_found);
}

TEST_F(CatalogTest, ANumberIsNeverUsedTwice) {
  ASSERT_TRUE(add("smol", 'a'));
  ASSERT_TRUE(catalog_->remove("smol", "1", kNobody));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "smol"));
  EXPECT_EQ(add("smol", 'a')->number, 2);
}

TEST_F(CatalogTest, NamesCannotLeaveTheFolder) {
  for (const char* wrong : {"", "..", ".", "a/b", "../a", "A", "a b", "a..b", "-a", "_", "\n"}) {
    EXPECT_EQ(add(wrong, 'a').error().code, Code::invalid_argument) << wrong;
    EXPECT_EQ(catalog_->find(wrong).error().code, Code::invalid_argument) << wrong;
  }
  for (const char* right : {"a", "7b", "deepseek-v3.2_q4", "qwen3-0.6b"}) {
    EXPECT_TRUE(check_name(right)) << right;
  }
  EXPECT_FALSE(check_name(std::string(64, 'a')));
}

TEST_F(CatalogTest, AnEntryComesBackFromJson) {
  const auto entry = add("smol", 'a');
  ASSERT_TRUE(entry);
  const auto json = to_json(*entry);
  EXPECT_EQ(json["version"], "1-aaaaaaaaaaaaaaaa");
  EXPECT_EQ(json["measurements"]["perplexity"], 12.5);
  const auto again = entry_from(json);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->sha256, entry->sha256);
  EXPECT_EQ(again->provenance.source_sha256, entry->provenance.source_sha256);
  EXPECT_EQ(again->parameters, entry->parameters);
  EXPECT_EQ(nlohmann::json::parse(again->measurements)["perplexity"], 12.5);
  EXPECT_EQ(again->number, 0);  // the catalog gives it
  auto broken = json;
  broken["bytes"] = "many";
  EXPECT_EQ(entry_from(broken).error().code, Code::invalid_argument);
}

TEST_F(CatalogTest, ListsByNameAndNumber) {
  ASSERT_TRUE(add("b", '1'));
  ASSERT_TRUE(add("a", '2'));
  ASSERT_TRUE(add("b", '3'));
  const auto all = catalog_->list();
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 3U);
  EXPECT_EQ((*all)[0].name, "a");
  EXPECT_EQ((*all)[2].number, 2);
  EXPECT_EQ(catalog_->versions("nothing").error().code, Code::not_found);
}

}  // namespace
}  // namespace deepmoat::catalog
