// Kept content: nothing of it is readable in the files, none opens elsewhere, reading leaves a
// trace first, and it goes when its time is over and nothing holds it.
#include "oversight/content_store.h"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fstream>
#include <iterator>

#include "base/hex.h"
#include "crypto/base64.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "oversight/scratch_oversight.h"

namespace deepmoat::oversight {
namespace {

constexpr const char* kInput = "the merger is called Nightingale";
constexpr const char* kOutput = "Nightingale closes in spring";

class ContentStoreTest : public testing::Test, protected ScratchOversight {
 protected:
  static ContentToKeep content(std::string_view request_id, std::string_view tenant = "acme") {
    return {.tenant = tenant,
            .request_id = request_id,
            .key_id = "key_1",
            .operator_id = "ann",
            .model = "qwen",
            .data_class = "internal",
            .input = kInput,
            .output = kOutput,
            .keep_days = 30};
  }
  std::string kept(std::string_view request_id, std::string_view tenant = "acme") {
    return taken(contents_->keep(content(request_id, tenant)));
  }
  Result<FoundContents> read(const std::string& request_id, const std::string& tenant = "default",
                             const std::string& digest = "") {
    return contents_->read(auditor(tenant),
                           {.request_id = request_id, .digest = digest, .reason = "case 12"});
  }
  [[nodiscard]] bool files_hold(std::string_view text) const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      std::ifstream in(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(in), {}};
      if (bytes.find(text) != std::string::npos) {
        return true;
      }
    }
    return false;
  }
  std::size_t expired() { return taken(contents_->expire(clock_.unix_ms())); }
};

TEST(CutAtCharacter, LeavesNoHalfOfOne) {
  EXPECT_EQ(cut_at_character("abc", 3), "abc");
  EXPECT_EQ(cut_at_character("abcd", 3), "abc");
  EXPECT_EQ(cut_at_character("a\u00e9", 2), "a");
  EXPECT_EQ(cut_at_character("a\u00e9", 3), "a\u00e9");
  EXPECT_EQ(cut_at_character("\u4e2d\u6587", 5), "\u4e2d");
  EXPECT_EQ(cut_at_character("\U0001F600x", 3), "");
  EXPECT_EQ(cut_at_character("\x80\x80\x80\x80\x80\x80\x80\x80", 6).size(), 2U)
      << "what is no UTF-8 loses no more than a character";
}

TEST_F(ContentStoreTest, ComesBackWholeOverARestart) {
  const std::string digest = kept("req_1");
  EXPECT_EQ(digest.size(), 64U);
  restart();
  const FoundContents found = taken(read("req_1"));
  ASSERT_EQ(found.contents.size(), 1U);
  const KeptContent& one = found.contents[0];
  EXPECT_EQ(one.input.reveal(), kInput);
  EXPECT_EQ(one.output.reveal(), kOutput);
  EXPECT_EQ(one.digest, digest);
  EXPECT_EQ(one.tenant, "acme");
  EXPECT_EQ(one.model, "qwen");
  EXPECT_EQ(one.kept_ms, kTestNowMs);
  EXPECT_EQ(one.kept_until_ms, kTestNowMs + 30 * kDayMs);
  EXPECT_FALSE(one.input_cut || one.output_cut || found.more);
}

TEST_F(ContentStoreTest, NothingOfItIsReadableInTheFiles) {
  kept("req_1");
  EXPECT_TRUE(files_hold("req_1")) << "or the search finds nothing at all";
  for (const std::string& text :
       {std::string(kInput), std::string(kOutput), std::string("Nightingale"),
        crypto::to_base64(kInput), to_hex(kInput)}) {
    EXPECT_FALSE(files_hold(text)) << text;
  }
}

TEST_F(ContentStoreTest, TheDigestIsWhatTheFormatSays) {
  const std::string digest = kept("req_1");
  const auto rows = taken(store::OversightTable(*database_).find_contents("req_1", "", "", 1));
  std::string bytes;
  crypto::put_text(bytes, "deepmoat kept content 1");
  crypto::put_text(bytes, *crypto::from_base64(rows.at(0).input));
  crypto::put_text(bytes, *crypto::from_base64(rows.at(0).output));
  EXPECT_EQ(digest, to_hex(crypto::view(crypto::sha256(bytes))));
}

TEST_F(ContentStoreTest, LongTextsAreCutBetweenCharactersAndMarked) {
  std::string long_text(kContentBytesMax - 1, 'a');
  long_text += "\u4e2d\u6587";
  ContentToKeep call = content("req_1");
  call.output = long_text;
  taken(contents_->keep(call));
  const FoundContents found = taken(read("req_1"));
  const KeptContent& one = found.contents.at(0);
  EXPECT_EQ(one.output.reveal(), std::string(kContentBytesMax - 1, 'a'));
  EXPECT_TRUE(one.output_cut);
  EXPECT_FALSE(one.input_cut);
}

// A request id is the client's to choose, so two calls can have the same.
TEST_F(ContentStoreTest, CallsWithOneRequestIdAreToldApartByTheirDigests) {
  const std::string first = kept("mine");
  clock_.advance_ms(1);
  const std::string second = kept("mine");
  const std::string others = kept("mine", "globex");
  EXPECT_NE(first, second);
  EXPECT_EQ(taken(read("mine")).contents.size(), 3U);
  EXPECT_EQ(taken(read("mine", "acme")).contents.size(), 2U);
  const FoundContents one = taken(read("mine", "default", first));
  ASSERT_EQ(one.contents.size(), 1U);
  EXPECT_EQ(one.contents[0].digest, first);
  EXPECT_EQ(code_of(read("mine", "acme", others)), "not_found");
  for (int i = 0; i < kContentsShownMax; ++i) {
    kept("mine");
  }
  const FoundContents many = taken(read("mine", "acme"));
  EXPECT_EQ(many.contents.size(), static_cast<std::size_t>(kContentsShownMax));
  EXPECT_TRUE(many.more);
}

TEST_F(ContentStoreTest, AnotherTenantsDoesNotExist) {
  kept("req_1", "globex");
  const auto others = read("req_1", "acme");
  const auto none = read("req_2", "acme");
  EXPECT_EQ(code_of(others), "not_found");
  EXPECT_EQ(others.error().message, none.error().message);
  EXPECT_TRUE(read("req_1", "globex"));
  EXPECT_TRUE(read("req_1", "default"));
}

TEST_F(ContentStoreTest, WithoutAReasonNothingIsRead) {
  kept("req_1");
  for (const std::string& reason : {std::string(), std::string("why"), std::string("     "),
                                    std::string("line\nbreak"), std::string(201, 'a')}) {
    const auto refused =
        contents_->read(auditor(), {.request_id = "req_1", .digest = "", .reason = reason});
    EXPECT_EQ(code_of(refused), "invalid_argument") << reason;
    EXPECT_TRUE(refused.error().message.starts_with("reason:")) << refused.error().message;
    EXPECT_EQ(records_.back().outcome, audit::Outcome::refused);
  }
}

TEST_F(ContentStoreTest, TheIntentIsOnRecordBeforeAnythingIsRead) {
  kept("req_1");
  records_.clear();
  ASSERT_TRUE(read("req_1"));
  ASSERT_EQ(records_.size(), 2U);
  EXPECT_EQ(records_[0].phase, audit::Phase::intent);
  EXPECT_EQ(records_[0].action, "audit.content.read");
  EXPECT_EQ(records_[0].operation, audit::Operation::read);
  EXPECT_EQ(records_[0].resource, "req_1");
  EXPECT_EQ(records_[0].reason, "case 12");
  EXPECT_EQ(records_[0].operator_id, "eve");
  EXPECT_EQ(records_[1].outcome, audit::Outcome::success);
  // Were the database read first, this would say what the database said.
  log_is_full_ = true;
  edit(
      "DROP TABLE legal_holds; ALTER TABLE call_contents RENAME TO elsewhere;"
      "UPDATE elsewhere SET cut = 0");
  EXPECT_EQ(code_of(read("req_1")), "audit_unavailable");
  log_is_full_ = false;
  EXPECT_EQ(code_of(read("req_1")), "io");
}

TEST_F(ContentStoreTest, EditedRowsAreRefused) {
  for (const char* change :
       {"tenant = 'globex'", "key_id = 'key_2'", "operator_id = 'bob'", "model = 'other'",
        "data_class = 'public'", "cut = 1", "called_ms = 1", "kept_until_ms = 1",
        "digest = '"
        "0000000000000000000000000000000000000000000000000000000000000000'",
        "content_id = 'cnt_x'", "output = input", "input = ''", "input = '!'"}) {
    kept("req_1");
    edit(std::string("UPDATE call_contents SET ") + change);
    const auto refused = read("req_1");
    EXPECT_EQ(code_of(refused), "corrupt") << change;
    edit("DELETE FROM call_contents");
  }
}

TEST_F(ContentStoreTest, ContentMovedToAnotherRowIsRefused) {
  kept("req_1");
  kept("req_2");
  edit(
      "UPDATE call_contents SET input = (SELECT input FROM call_contents "
      "WHERE request_id = 'req_2') WHERE request_id = 'req_1'");
  EXPECT_EQ(code_of(read("req_1")), "corrupt");
  EXPECT_TRUE(read("req_2"));
  edit("UPDATE call_contents SET request_id = 'req_3' WHERE request_id = 'req_2'");
  EXPECT_EQ(code_of(read("req_3")), "corrupt");
}

TEST_F(ContentStoreTest, WhatCannotBeSealedIsNotKept) {
  cipher_.seal_fails = true;
  EXPECT_EQ(code_of(contents_->keep(content("req_1"))), "unavailable");
  EXPECT_EQ(code_of(read("req_1")), "not_found");
}

TEST_F(ContentStoreTest, GoesWhenItsTimeIsOverAndNotBefore) {
  kept("req_1");
  ContentToKeep longer = content("req_2");
  longer.keep_days = 31;
  taken(contents_->keep(longer));
  records_.clear();
  clock_.advance_ms(30 * kDayMs - 1);
  EXPECT_EQ(expired(), 0U);
  EXPECT_TRUE(records_.empty()) << "nothing was done, so nothing is on record";
  clock_.advance_ms(1);
  EXPECT_EQ(expired(), 1U);
  EXPECT_EQ(code_of(read("req_1")), "not_found");
  EXPECT_TRUE(read("req_2"));
  ASSERT_GE(records_.size(), 2U);
  EXPECT_EQ(records_[0].action, "audit.content.expire");
  EXPECT_EQ(records_[0].operation, audit::Operation::erase);
  EXPECT_EQ(records_[0].reason, "count=1");
  EXPECT_EQ(records_[1].outcome, audit::Outcome::success);
}

TEST_F(ContentStoreTest, WhatHasGoneLeavesNoBytes) {
  kept("req_1");
  const auto rows = taken(store::OversightTable(*database_).find_contents("req_1", "", "", 1));
  const std::string sealed = rows.at(0).input.substr(4, 40);
  ASSERT_TRUE(files_hold(sealed));
  clock_.advance_ms(31 * kDayMs);
  ASSERT_EQ(expired(), 1U);
  EXPECT_FALSE(files_hold(sealed));
  EXPECT_FALSE(files_hold("req_1"));
}

TEST_F(ContentStoreTest, ManyGoInOneRoundAndHeldOnesStandInNobodysWay) {
  const auto hold = taken(holds_->place(auditor(), {.tenant = "acme",
                                                    .key_id = "",
                                                    .operator_id = "",
                                                    .since_s = 0,
                                                    .until_s = 0,
                                                    .reason = "case 12"}));
  for (int i = 0; i < 510; ++i) {
    kept(fmt::format("held_{}", i));
  }
  clock_.advance_ms(1);
  for (int i = 0; i < 510; ++i) {
    kept(fmt::format("free_{}", i), "globex");
  }
  clock_.advance_ms(31 * kDayMs);
  EXPECT_EQ(expired(), 510U);
  EXPECT_TRUE(read("held_0"));
  EXPECT_EQ(code_of(read("free_509")), "not_found");
  EXPECT_EQ(expired(), 0U);
  ASSERT_TRUE(holds_->release(auditor(), hold.id));
  EXPECT_EQ(expired(), 510U);
}

TEST_F(ContentStoreTest, NothingGoesWhileTheHoldsAreNotCertain) {
  kept("req_1", "globex");
  ASSERT_TRUE(holds_->place(auditor(), {.tenant = "acme",
                                        .key_id = "",
                                        .operator_id = "",
                                        .since_s = 0,
                                        .until_s = 0,
                                        .reason = "case 12"}));
  edit("UPDATE legal_holds SET tenant = 'nobody'");
  restart();
  clock_.advance_ms(31 * kDayMs);
  EXPECT_EQ(expired(), 0U);
  EXPECT_TRUE(read("req_1"));
}

// Or an edit of the row would be a way to make the program destroy evidence.
TEST_F(ContentStoreTest, ARowWhoseEndWasAlteredDoesNotGo) {
  kept("req_1");
  edit("UPDATE call_contents SET kept_until_ms = 1");
  EXPECT_EQ(expired(), 0U);
  EXPECT_EQ(code_of(read("req_1")), "corrupt");
}

TEST_F(ContentStoreTest, WithoutARecordNothingGoes) {
  kept("req_1");
  clock_.advance_ms(31 * kDayMs);
  log_is_full_ = true;
  EXPECT_EQ(code_of(contents_->expire(clock_.unix_ms())), "audit_unavailable");
  log_is_full_ = false;
  EXPECT_TRUE(read("req_1"));
}

}  // namespace
}  // namespace deepmoat::oversight
