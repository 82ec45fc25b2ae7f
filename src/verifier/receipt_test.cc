// Receipts and exports, whole and with every kind of alteration.
#include "verifier/receipt.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "verifier/scratch_signer.h"
#include "verifier/written_log.h"

namespace deepmoat::verifier {
namespace {

using Json = nlohmann::json;

const std::string kOrigin = "deepmoat/test";
constexpr std::size_t kRecords = 23;

class Proofs : public ::testing::Test {
 protected:
  Proofs() {
    log_.append_samples(30);
    sign(kRecords);
    both_ = {ed25519_.key(), sm2_.key()};
  }

  // The checkpoint of what follows is of the first `records` of the log.
  void sign(std::size_t records) {
    leaves_ = log_.leaves();
    leaves_.resize(records);
    const std::string text = log_.checkpoint(records, true);
    checkpoint_ = ed25519_.note(text) + sm2_.sign(text);
  }

  Json entry(std::uint64_t sequence, bool with_record) {
    const std::string leaf = log_.records[sequence - 1].leaf_data();
    Json entry{{"sequence", sequence}, {"leaf", to_base64(leaf)}, {"proof", Json::array()}};
    for (const std::string& hash : naive_path(sequence - 1, leaves_)) {
      entry["proof"].push_back(to_base64(hash));
    }
    if (with_record) {
      entry["record"] = Json::parse(leaf.substr(64));
    }
    return entry;
  }
  // Of the request whose intent is record 7.
  Json receipt() {
    return {{"object", "audit.receipt"},
            {"request_id", "req_4"},
            {"checkpoint", checkpoint_},
            {"key", ed25519_.key_text()},
            {"records", {entry(7, true), entry(8, true)}}};
  }
  void expect_refused(const std::function<void(Json&)>& alter, const std::string& why) {
    Json altered = receipt();
    alter(altered);
    const ProofReport report = check_receipt(altered.dump(), both_);
    EXPECT_NE(report.why.find(why), std::string::npos) << report.why << ", not: " << why;
  }

  std::string export_of(const std::vector<std::uint64_t>& sequences,
                        const Json& filters = Json::object(),
                        const std::function<void(Json&)>& alter_last = {}) {
    std::string text =
        Json{{"object", "audit.export"}, {"version", 1},       {"origin", kOrigin},
             {"made_ms", kWrittenFrom},  {"filters", filters}, {"checkpoint", checkpoint_}}
            .dump() +
        "\n";
    for (const std::uint64_t sequence : sequences) {
      text += entry(sequence, false).dump() + "\n";
    }
    return sign_export(std::move(text), sequences.size(), alter_last);
  }
  std::string sign_export(std::string text, std::size_t records,
                          const std::function<void(Json&)>& alter_last = {}) {
    std::string hex;
    for (const unsigned char c : digest(EVP_sha256(), text)) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      hex += {kDigits[c >> 4], kDigits[c & 15]};
    }
    Json last{{"records", records},
              {"sha256", hex},
              {"signature", ed25519_.note("deepmoat-audit-export-v1\n" + kOrigin + "\n" + hex +
                                          "\n" + std::to_string(records) + "\n")}};
    if (alter_last) {
      alter_last(last);
    }
    return text + last.dump() + "\n";
  }
  ProofReport checked_export(const std::string& text) {
    folder_.write("export", text);
    auto report = check_export(folder_.path() / "export", both_);
    EXPECT_TRUE(report.has_value());
    return report ? *report : ProofReport{};
  }

  Folder folder_;
  WrittenLog log_;
  std::vector<std::string> leaves_;
  ScratchSigner ed25519_{KeyKind::ed25519, kOrigin};
  ScratchSigner sm2_{KeyKind::sm2, kOrigin};
  std::string checkpoint_;
  std::vector<VerifierKey> both_;
};

TEST_F(Proofs, AnExportSaysWhereTextWasDeleted) {
  const auto with_stub = [&](const std::function<void(Json&)>& alter) {
    Json stub = entry(4, false);
    stub.erase("leaf");
    stub["leaf_hash"] = to_base64(leaves_[3]);
    alter(stub);
    std::string text = Json{{"object", "audit.export"},  {"version", 1},
                            {"origin", kOrigin},         {"made_ms", kWrittenFrom},
                            {"filters", Json::object()}, {"checkpoint", checkpoint_}}
                           .dump() +
                       "\n" + entry(3, false).dump() + "\n" + stub.dump() + "\n" +
                       entry(5, false).dump() + "\n";
    return checked_export(sign_export(std::move(text), 3));
  };
  const ProofReport report = with_stub([](Json&) {});
  EXPECT_TRUE(report.intact()) << report.why;
  EXPECT_TRUE(report.whole);
  EXPECT_EQ(report.records, 3U);
  EXPECT_EQ(report.deleted, 1U);
  EXPECT_FALSE(with_stub([](Json& stub) { stub["sequence"] = 6; }).intact());
  EXPECT_FALSE(with_stub([&](Json& stub) { stub["leaf_hash"] = stub["proof"][0]; }).intact());
  EXPECT_FALSE(with_stub([](Json& stub) { stub["leaf_hash"] = "x"; }).intact());
  EXPECT_FALSE(with_stub([](Json& stub) { stub["record"] = Json::object(); }).intact());
}

TEST_F(Proofs, AReceiptHolds) {
  const ProofReport report = check_receipt(receipt().dump(2), both_);
  ASSERT_TRUE(report.intact()) << report.why;
  EXPECT_EQ(report.origin, kOrigin);
  EXPECT_EQ(report.tree_size, kRecords);
  EXPECT_EQ(report.records, 2U);
  EXPECT_EQ(report.first_sequence, 7U);
  EXPECT_EQ(report.last_sequence, 8U);
  EXPECT_TRUE(report.sm2_checked);
  EXPECT_EQ(describe("receipt", report),
            "request req_4\n"
            "record 7, 2023-11-14T22:13:20.007Z: intent, EXECUTE, pending\n"
            "record 8, 2023-11-14T22:13:20.008Z: result of record 7, EXECUTE, success, status 200\n"
            "receipt intact: 2 records, 7 to 8, proved in the tree of 23 records of deepmoat/test, "
            "signed with Ed25519 and SM2");
  const ProofReport one_key = check_receipt(receipt().dump(), std::vector{ed25519_.key()});
  EXPECT_TRUE(one_key.intact());
  EXPECT_FALSE(one_key.sm2_checked);
}

TEST_F(Proofs, AReceiptSaysWhichHalfOfACallIsInIt) {
  Json half = receipt();
  half["records"].erase(1);
  ProofReport report = check_receipt(half.dump(), both_);
  ASSERT_TRUE(report.intact()) << report.why;
  EXPECT_EQ(describe("receipt", report),
            "request req_4\n"
            "record 7, 2023-11-14T22:13:20.007Z: intent, EXECUTE, pending; no result in it: the "
            "call had not ended, or its result was left out\n"
            "receipt intact: 1 record, 7, proved in the tree of 23 records of deepmoat/test, "
            "signed with Ed25519 and SM2; 1 intent without a result in it");
  half = receipt();
  half["records"].erase(0);
  report = check_receipt(half.dump(), both_);
  ASSERT_TRUE(report.intact()) << report.why;
  EXPECT_EQ(describe("receipt", report),
            "request req_4\n"
            "record 8, 2023-11-14T22:13:20.008Z: result of record 7, EXECUTE, success, status 200; "
            "its intent is not in it\n"
            "receipt intact: 1 record, 8, proved in the tree of 23 records of deepmoat/test, "
            "signed with Ed25519 and SM2");
}

TEST_F(Proofs, WhatAReceiptSaysCannotSteerATerminal) {
  log_ = WrittenLog();
  log_.append(R"({"phase":"intent","operation":"READ","outcome":"pending",)"
              R"("request_id":"\u001b[2J\u5f20","action":"models.list\u000arecord 9"})");
  sign(1);
  const Json json = {{"object", "audit.receipt"},
                     {"request_id", "\x1b[2J\xe5\xbc\xa0"},
                     {"checkpoint", checkpoint_},
                     {"records", Json::array({entry(1, true)})}};
  const ProofReport report = check_receipt(json.dump(), both_);
  ASSERT_TRUE(report.intact()) << report.why;
  EXPECT_EQ(describe("receipt", report),
            "request \\u001b[2J\\u5f20\n"
            "record 1, 2023-11-14T22:13:20.001Z: intent, READ models.list\\u000arecord 9, pending; "
            "no result in it: the call had not ended, or its result was left out\n"
            "receipt intact: 1 record, 1, proved in the tree of 1 record of deepmoat/test, signed "
            "with Ed25519 and SM2; 1 intent without a result in it");
  const ProofReport of_other{.origin =
                                 "a\xc2\x9b"
                                 "2J",
                             .tree_size = 2,
                             .records = 0};
  EXPECT_NE(describe("export", of_other).find(R"(of 2 records of a\xc2\x9b2J, signed)"),
            std::string::npos)
      << describe("export", of_other);
}

TEST_F(Proofs, AReceiptNeedsTheRightKey) {
  EXPECT_FALSE(check_receipt(receipt().dump(), {}).intact());
  const ScratchSigner other(KeyKind::ed25519, kOrigin);
  EXPECT_FALSE(check_receipt(receipt().dump(), std::vector{other.key()}).intact());
  const ScratchSigner other_name(KeyKind::ed25519, "another");
  Json altered = receipt();
  altered["checkpoint"] = other_name.note(log_.checkpoint(kRecords));
  EXPECT_FALSE(check_receipt(altered.dump(), std::vector{other_name.key()}).intact())
      << "a key does not sign for another origin";
}

TEST_F(Proofs, EachAlterationOfAReceiptIsNamed) {
  expect_refused([](Json& r) { r["object"] = "audit.export"; }, "its object");
  expect_refused([](Json& r) { r["more"] = 1; }, "nothing unknown");
  expect_refused([](Json& r) { r.erase("request_id"); }, "not a receipt");
  expect_refused([](Json& r) { r["request_id"] = "req_5"; }, "another request");
  expect_refused([](Json& r) { r["records"] = Json::array(); }, "not a receipt");
  expect_refused([](Json& r) { r["records"] = {1}; }, "an entry must have");
  expect_refused([](Json& r) { r["checkpoint"] = "x"; }, "no signed note");
  expect_refused([&](Json& r) { r["checkpoint"] = ed25519_.note("x\n"); },
                 "its checkpoint is none");
  expect_refused([&](Json& r) { r["checkpoint"] = ed25519_.note(log_.checkpoint(23)); },
                 "no SM2 key");
  expect_refused([](Json& r) { std::swap(r["records"][0], r["records"][1]); }, "do not rise");
  expect_refused([](Json& r) { r["records"][1] = r["records"][0]; }, "do not rise");
  expect_refused([](Json& r) { r["records"][0]["sequence"] = 9; }, "another sequence");
  expect_refused([](Json& r) { r["records"][0]["sequence"] = 0; }, "malformed");
  expect_refused([](Json& r) { r["records"][0]["sequence"] = 7.0; }, "malformed");
  expect_refused([](Json& r) { r["records"][0]["leaf"] = "x"; }, "malformed");
  expect_refused([](Json& r) { r["records"][0]["proof"][0] = "x"; }, "malformed");
  expect_refused([](Json& r) { r["records"][0]["proof"].erase(0); }, "does not show");
  expect_refused([](Json& r) { r["records"][0]["record"]["tenant"] = "other"; }, "that is shown");
  expect_refused([](Json& r) { r["records"][0]["record"]["x"] = 1; }, "that is shown");
  expect_refused([](Json& r) { r["records"][0].erase("record"); }, "lacks its record");
  expect_refused([&](Json& r) { r["records"][0] = entry(25, true); }, "does not show");
}

TEST_F(Proofs, ANameThatStandsTwiceIsRefused) {
  std::string text = receipt().dump();
  text.insert(text.find("\"tenant\""), R"("tenant":"shown to you",)");
  EXPECT_FALSE(check_receipt(text, both_).intact());
  EXPECT_FALSE(check_receipt(std::string(1'000'000, '['), both_).intact());
  EXPECT_FALSE(check_receipt("", both_).intact());
}

// What a flipped byte leaves acceptable says the same as before, but for the key that no one
// trusts.
TEST_F(Proofs, EveryAlteredByteOfAReceiptIsRefusedOrSaysTheSame) {
  const std::string good = receipt().dump(1);
  Json wanted = receipt();
  wanted.erase("key");
  std::size_t accepted = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int bit : {0, 1, 2, 5, 7}) {
      std::string altered = good;
      altered[at] = static_cast<char>(altered[at] ^ (1 << bit));
      if (check_receipt(altered, both_).intact()) {
        Json says = Json::parse(altered);
        says.erase("key");
        ASSERT_EQ(says, wanted) << at;
        ++accepted;
      }
    }
  }
  EXPECT_GT(accepted, 0U) << "the key and white space may change";
}

TEST_F(Proofs, AnExportHolds) {
  const ProofReport report = checked_export(export_of({3, 4, 5, 6, 7}));
  ASSERT_TRUE(report.intact()) << describe("export", report);
  EXPECT_EQ(report.records, 5U);
  EXPECT_EQ(report.first_sequence, 3U);
  EXPECT_EQ(report.last_sequence, 7U);
  EXPECT_TRUE(report.whole);
  EXPECT_TRUE(checked_export(export_of({})).intact());
  EXPECT_TRUE(checked_export(export_of({4, 5}, {{"since", "2026-01-01"}, {"until", "x"}})).whole);
  const ProofReport filtered = checked_export(export_of({2, 9, 23}, {{"tenant", "default"}}));
  EXPECT_TRUE(filtered.intact()) << filtered.why;
  EXPECT_FALSE(filtered.whole);
  EXPECT_FALSE(check_export(folder_.path() / "none", both_));
}

TEST_F(Proofs, AnExportThatIsReadInManyPiecesHolds) {
  const ProofReport report =
      checked_export(export_of({1, 2, 3, 4}, {{"tenant", std::string(1'000'000, 'x')}}));
  EXPECT_TRUE(report.intact()) << report.why;
  EXPECT_EQ(report.records, 4U);
}

TEST_F(Proofs, EachAlterationOfAnExportIsNamed) {
  const auto why = [&](const std::string& text) {
    return describe("export", checked_export(text));
  };
  const auto expect = [&](const std::string& text, const std::string& wanted) {
    EXPECT_NE(why(text).find("export NOT intact: line " + wanted), std::string::npos) << why(text);
  };
  const std::string good = export_of({3, 4, 5});
  expect("", "1: it ends without");
  expect("{}\n", "1: not an export");
  expect(good.substr(0, good.rfind('\n', good.size() - 2) + 1), "5: it ends without");
  expect(good + "\n", "6: something follows");
  expect(good + good, "6: something follows");
  expect(export_of({3, 5}), "3: records are left out");
  expect(export_of({3, 5}, {{"until", "now"}}), "3: records are left out");
  expect(export_of({5, 3}, {{"role", "user"}}), "3: its sequences do not rise");
  expect(export_of({3, 3}), "3: its sequences do not rise");
  expect(export_of({24}), "2: the proof does not show");
  expect(export_of({3}, {{"role", 1}}), "1: a filter is no text");
  expect(export_of({3}, Json::object(), [](Json& last) { last["records"] = 2; }),
         "3: it has another number");
  expect(export_of({3}, Json::object(), [](Json& last) { last["more"] = 2; }),
         "3: its last line is not");
  expect(
      export_of({3}, Json::object(), [&](Json& last) { last["signature"] = ed25519_.note("x\n"); }),
      "3: its signature is not over");
  const ScratchSigner other(KeyKind::ed25519, kOrigin);
  expect(export_of({3}, Json::object(),
                   [&](Json& last) {
                     const std::string note = last["signature"];
                     last["signature"] = other.note(note.substr(0, note.find("\n\n") + 1));
                   }),
         "3: no Ed25519 key");
  std::string line(3'000'000, ' ');
  expect(line, "1: a line is too long");
  const std::string first = good.substr(0, good.find('\n') + 1);
  std::string version = first;
  version.replace(version.find("\"version\":1"), 11, "\"version\":2");
  expect(sign_export(version, 0), "1: an export of a version");
  std::string origin = first;
  origin.replace(origin.find("\"origin\":\"d"), 11, "\"origin\":\"D");
  expect(sign_export(origin, 0), "1: its origin is not");
}

TEST_F(Proofs, EveryAlteredByteOfAnExportIsRefusedOrSaysTheSame) {
  const std::string good = export_of({3, 4});
  const std::size_t last = good.rfind('\n', good.size() - 2) + 1;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int bit : {0, 3, 5}) {
      std::string altered = good;
      altered[at] = static_cast<char>(altered[at] ^ (1 << bit));
      if (checked_export(altered).intact()) {
        ASSERT_GE(at, last);
        ASSERT_EQ(Json::parse(altered.substr(last)), Json::parse(good.substr(last)));
      }
    }
  }
}

}  // namespace
}  // namespace deepmoat::verifier
