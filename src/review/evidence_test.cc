// Receipts and exports as a checker sees them, who has the verifier and the public key alone.
#include "review/evidence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "audit/checkpointer.h"
#include "crypto/base64.h"
#include "review/scratch_index.h"
#include "verifier/receipt.h"

namespace deepmoat::review {
namespace {

using Json = nlohmann::ordered_json;

constexpr UnixMillis kStart = 1'700'000'000'000;

class Evidence : public testing::Test {
 protected:
  static transparency::NoteSigner make_signer(char seed) {
    auto key = crypto::SigningKey::from_seed(Secret(std::string(32, seed)));
    EXPECT_TRUE(key.has_value());
    auto signer = transparency::NoteSigner::make("deepmoat/test", *std::move(key), std::nullopt);
    EXPECT_TRUE(signer.has_value());
    return *std::move(signer);
  }
  static std::vector<verifier::VerifierKey> keys_of(const transparency::NoteSigner& signer) {
    const auto key = verifier::parse_key(signer.verifier_key());
    EXPECT_TRUE(key.has_value());
    return {*key};
  }

  void call(const std::string& request_id, const std::string& tenant = "legal") {
    audit::Record record = sample_call();
    record.request_id = request_id;
    record.tenant = tenant;
    scratch_.append_both(record);
  }
  void checkpoint() {
    scratch_.catch_up();
    const auto made = checkpointer_.covering(scratch_.log->tree().size());
    ASSERT_TRUE(made.has_value()) << made.error().message;
  }
  SignedTree tree() {
    auto made = signed_tree(checkpointer_.newest(), scratch_.log->tree().view());
    EXPECT_TRUE(made.has_value());
    return *std::move(made);
  }
  Result<std::string> receipt(const std::string& request_id) {
    const auto records = scratch_.index->find_request(request_id);
    EXPECT_TRUE(records.has_value() && !records->empty());
    return receipt_json(scratch_.folder.log(), request_id, *records, tree(),
                        signer_.verifier_key());
  }
  Export::Parts parts() {
    auto index = AuditIndex::open(scratch_.index_path());
    EXPECT_TRUE(index.has_value());
    return {.index = *std::move(index),
            .log_folder = scratch_.folder.log(),
            .tree = tree(),
            .signer = signer_,
            .made_ms = kStart};
  }
  std::string exported(const Filter& filter = {.phase = PhaseFilter::all}) {
    std::string bytes;
    const auto made = write_export(parts(), filter, [&](std::string_view piece) -> Result<> {
      bytes += piece;
      return {};
    });
    EXPECT_TRUE(made.has_value()) << (made ? "" : made.error().message);
    return bytes;
  }
  verifier::ProofReport check_export(const std::string& bytes) {
    const auto path = scratch_.folder.path() / "export.ndjson";
    audit::write_bytes(path, bytes);
    const auto report = verifier::check_export(path, keys_of(signer_));
    EXPECT_TRUE(report.has_value());
    return *report;
  }

  // Segment 1 as retention leaves it: the body of `deleted` gone.
  void delete_body(std::uint64_t deleted) {
    const auto path = scratch_.folder.segment(1);
    const std::string bytes = audit::read_bytes(path);
    audit::SegmentHeader header;
    ASSERT_EQ(audit::parse_segment_header(bytes, header), nullptr);
    audit::ChainState chain{.next_sequence = header.first_sequence, .last_hash = header.hash};
    std::string kept = bytes.substr(0, audit::kSegmentHeaderBytes);
    std::uint64_t records = 0;
    (void)audit::scan_frames(bytes, audit::kSegmentHeaderBytes, chain, [&](const auto& frame) {
      ++records;
      if (frame.sequence != deleted) {
        kept += bytes.substr(frame.offset, frame.bytes);
        return;
      }
      audit::append_stub(
          kept, {.body_bytes = frame.body.size(),
                 .sequence = frame.sequence,
                 .unix_ms = frame.unix_ms,
                 .leaf = transparency::leaf_hash(transparency::TreeHash::sha256, frame.leaf_data),
                 .hash = frame.hash});
    });
    ASSERT_GT(records, deleted);
    audit::append_kept_end(kept, records);
    audit::write_bytes(scratch_.folder.log() / audit::kept_name(1), kept);
    std::filesystem::remove(path);
  }

  ScratchIndex scratch_{kStart, audit::kSegmentBytesMin};
  transparency::NoteSigner signer_ = make_signer('k');
  audit::Checkpointer checkpointer_{*scratch_.log, signer_, {}, scratch_.clock};
};

TEST_F(Evidence, AReceiptHasTheIntentAndTheResultAndHolds) {
  for (int i = 0; i < 40; ++i) {
    call("req-" + std::to_string(i));
  }
  checkpoint();
  const auto text = receipt("req-17");
  ASSERT_TRUE(text.has_value()) << text.error().message;
  const auto report = verifier::check_receipt(*text, keys_of(signer_));
  EXPECT_TRUE(report.intact()) << report.why;
  EXPECT_EQ(report.records, 2U);
  EXPECT_EQ(report.first_sequence, 35U);
  const Json json = Json::parse(*text);
  EXPECT_EQ(json["key"], signer_.verifier_key());
  EXPECT_EQ(json["records"][1]["record"]["model"], "qwen");
}

TEST_F(Evidence, AReceiptOfAnotherKeyIsRefused) {
  call("mine");
  checkpoint();
  const auto report = verifier::check_receipt(*receipt("mine"), keys_of(make_signer('x')));
  EXPECT_FALSE(report.intact());
}

TEST_F(Evidence, AReceiptWithAnyPartAlteredIsRefused) {
  for (const char* id : {"before", "mine", "after"}) {
    call(id);
  }
  checkpoint();
  const Json good = Json::parse(*receipt("mine"));
  ASSERT_TRUE(verifier::check_receipt(good.dump(), keys_of(signer_)).intact());
  const auto other = Json::parse(*receipt("after"));
  const std::array<std::function<void(Json&)>, 7> alterations{
      [](Json& r) { r["request_id"] = "yours"; },
      [](Json& r) { r["records"][0]["sequence"] = 4; },
      [](Json& r) { r["records"][1]["record"]["tokens_out"] = 1; },
      [&](Json& r) { r["records"][1]["leaf"] = other["records"][1]["leaf"]; },
      [&](Json& r) { r["records"][1]["proof"] = other["records"][1]["proof"]; },
      [](Json& r) { r["records"][0]["proof"].erase(0); },
      [](Json& r) {
        std::string note = r["checkpoint"];
        note[note.find('\n') + 1] = '9';
        r["checkpoint"] = note;
      }};
  for (std::size_t i = 0; i < alterations.size(); ++i) {
    Json altered = good;
    alterations[i](altered);
    EXPECT_FALSE(verifier::check_receipt(altered.dump(), keys_of(signer_)).intact()) << i;
  }
}

TEST_F(Evidence, AReceiptIsMadeFromTheBytesThatTheRecordHasNow) {
  for (int i = 0; i < 60; ++i) {  // some segments
    call("req-" + std::to_string(i));
  }
  checkpoint();
  delete_body(3);
  const auto gone = receipt("req-1");  // records 3 and 4
  ASSERT_FALSE(gone.has_value());
  EXPECT_EQ(gone.error().code, Code::not_found);
  EXPECT_NE(gone.error().message.find("deleted by retention"), std::string::npos);
  // It lies elsewhere now, and is found.
  const auto moved = receipt("req-2");
  ASSERT_TRUE(moved.has_value()) << moved.error().message;
  EXPECT_TRUE(verifier::check_receipt(*moved, keys_of(signer_)).intact());
}

TEST_F(Evidence, NoReceiptIsMadeOfARecordThatIsNotTheOneOfTheCheckpoint) {
  call("mine");
  checkpoint();
  // Another record with a right hash in its place, as who holds the machine can write it.
  const auto path = scratch_.folder.segment(1);
  std::string bytes = audit::read_bytes(path);
  audit::Frame frame;
  ASSERT_EQ(audit::parse_frame(bytes, audit::kSegmentHeaderBytes, frame), nullptr);
  std::string body(frame.body);
  const auto at = body.find("crawler");
  ASSERT_NE(at, std::string::npos);
  body.replace(at, 7, "nobody!");
  std::string forged;
  audit::append_frame(forged, frame.sequence, frame.unix_ms, frame.batch_index, frame.previous_hash,
                      body);
  bytes.replace(audit::kSegmentHeaderBytes, forged.size(), forged);
  audit::write_bytes(path, bytes);
  const auto made = receipt("mine");
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, Code::corrupt);
}

TEST_F(Evidence, ARecordBehindTheCheckpointHasNoProof) {
  call("early");
  checkpoint();
  SignedTree before = tree();
  call("late");
  scratch_.catch_up();
  const auto made = receipt_json(scratch_.folder.log(), "late",
                                 *scratch_.index->find_request("late"), before, "");
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, Code::invalid_argument);
}

TEST_F(Evidence, TheStoredTreeProvesTheSameBesideTheServer) {
  for (int i = 0; i < 300; ++i) {  // more than one tile
    call("req-" + std::to_string(i));
  }
  checkpoint();
  const auto stored = StoredTree::open(scratch_.folder.log());
  ASSERT_TRUE(stored.has_value()) << stored.error().message;
  for (const std::string id : {"req-0", "req-127", "req-128", "req-299"}) {
    const auto text = receipt_json(scratch_.folder.log(), id, *scratch_.index->find_request(id),
                                   (*stored)->get(), signer_.verifier_key());
    ASSERT_TRUE(text.has_value()) << text.error().message;
    EXPECT_EQ(*text, *receipt(id));
    EXPECT_TRUE(verifier::check_receipt(*text, keys_of(signer_)).intact());
  }
}

TEST_F(Evidence, AnExportOfAllIsWholeAndHolds) {
  for (int i = 0; i < 300; ++i) {
    call("req-" + std::to_string(i));
  }
  checkpoint();
  const auto report = check_export(exported());
  EXPECT_TRUE(report.intact()) << report.line << ": " << report.why;
  EXPECT_EQ(report.records, 600U);
  EXPECT_EQ(report.last_sequence, 600U);
  EXPECT_TRUE(report.whole);
}

TEST_F(Evidence, AnExportOfATimeHasNoGapThoughTheClockWasSet) {
  call("before");
  scratch_.clock.pass(kHour);
  call("within");
  scratch_.clock.step(-2 * kHour);
  call("set back");
  scratch_.clock.step(2 * kHour);
  call("within again");
  scratch_.clock.pass(kHour);
  call("after");
  checkpoint();
  const auto report = check_export(exported(
      {.since_ms = kStart + kHour, .until_ms = kStart + 2 * kHour, .phase = PhaseFilter::all}));
  EXPECT_TRUE(report.intact()) << report.line << ": " << report.why;
  EXPECT_TRUE(report.whole);
  EXPECT_EQ(report.first_sequence, 3U);
  EXPECT_EQ(report.last_sequence, 10U);  // two of them say that the clock was set
}

TEST_F(Evidence, AFilteredExportHoldsAndSaysThatItIsFiltered) {
  for (int i = 0; i < 200; ++i) {
    call("req-" + std::to_string(i), i % 3 == 0 ? "legal" : "sales");
  }
  checkpoint();
  const std::string bytes = exported({.tenant = "legal", .phase = PhaseFilter::results});
  const auto report = check_export(bytes);
  EXPECT_TRUE(report.intact()) << report.line << ": " << report.why;
  EXPECT_EQ(report.records, 67U);
  EXPECT_FALSE(report.whole);
  const Json first = Json::parse(bytes.substr(0, bytes.find('\n')));
  EXPECT_EQ(first["filters"], (Json{{"tenant", "legal"}, {"phase", "results"}}));
}

TEST_F(Evidence, AnExportWithoutRecordsHoldsToo) {
  call("one");
  checkpoint();
  const auto report = check_export(exported({.tenant = "nobody", .phase = PhaseFilter::all}));
  EXPECT_TRUE(report.intact()) << report.line << ": " << report.why;
  EXPECT_EQ(report.records, 0U);
}

TEST_F(Evidence, AnAlteredExportIsRefused) {
  for (int i = 0; i < 5; ++i) {
    call("req-" + std::to_string(i));
  }
  checkpoint();
  const std::string good = exported();
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < good.size();) {
    const std::size_t end = good.find('\n', at) + 1;
    lines.push_back(good.substr(at, end - at));
    at = end;
  }
  ASSERT_EQ(lines.size(), 12U);
  const auto joined = [](const std::vector<std::string>& parts) {
    std::string all;
    for (const std::string& part : parts) {
      all += part;
    }
    return all;
  };
  ASSERT_TRUE(check_export(joined(lines)).intact());
  for (std::size_t gone = 0; gone < lines.size(); ++gone) {
    auto altered = lines;
    altered.erase(altered.begin() + static_cast<std::ptrdiff_t>(gone));
    EXPECT_FALSE(check_export(joined(altered)).intact()) << "without line " << gone;
  }
  auto swapped = lines;
  std::swap(swapped[3], swapped[4]);
  EXPECT_FALSE(check_export(joined(swapped)).intact());
  auto renamed = lines;
  renamed[0].replace(renamed[0].find("\"filters\":{}"), 12, R"("filters":{"tenant":"a"})");
  EXPECT_FALSE(check_export(joined(renamed)).intact());
  EXPECT_FALSE(check_export(good + lines[3]).intact());
}

TEST_F(Evidence, AnExportOverDeletedRecordsSaysSo) {
  for (int i = 0; i < 60; ++i) {
    call("req-" + std::to_string(i));
  }
  checkpoint();
  delete_body(3);
  std::string bytes;
  const auto broken = write_export(parts(), {.phase = PhaseFilter::all},
                                   [&](std::string_view) -> Result<> { return {}; });
  EXPECT_FALSE(broken.has_value());  // the index still speaks of it: it would have a gap
  ASSERT_TRUE(scratch_.index->forget({3}).has_value());
  const auto report = check_export(exported());
  EXPECT_TRUE(report.intact()) << report.line << ": " << report.why;
  EXPECT_EQ(report.records, 119U);
  EXPECT_FALSE(report.whole);
}

TEST_F(Evidence, AnExportIsNotBegunBeforeTheIndexHasCaughtUp) {
  call("one");
  checkpoint();
  call("two");
  const auto made = checkpointer_.covering(4);
  ASSERT_TRUE(made.has_value());
  const auto begun = Export::begin(parts(), {.phase = PhaseFilter::all});
  ASSERT_FALSE(begun.has_value());
  EXPECT_EQ(begun.error().code, Code::unavailable);
}

TEST_F(Evidence, AnExportThatNamesNoOperationOfOursIsNotBegun) {
  call("one");
  checkpoint();
  const auto begun = Export::begin(parts(), {.operation = "LOOK", .phase = PhaseFilter::all});
  ASSERT_FALSE(begun.has_value());
  EXPECT_EQ(begun.error().code, Code::invalid_argument);
}

}  // namespace
}  // namespace deepmoat::review
