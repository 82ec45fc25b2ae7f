#include "audit/record_json.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "audit/format.h"
#include "base/limits.h"

namespace deepmoat::audit {
namespace {

Record full_record() {
  Record r;
  r.phase = Phase::result;
  r.operation = Operation::erase;
  r.outcome = Outcome::refused;
  r.mono_ns = 42;
  r.request_id = "req_1";
  r.intent_sequence = 6;
  r.tenant = "clinic";
  r.operator_id = "local:0";
  r.key_id = "key_1";
  r.role = "admin";
  r.authentication = "api_key";
  r.ip_address = "::1";
  r.action = "key.revoke";
  r.resource = "key_2";
  r.route = "local";
  r.data_class = "internal";
  r.model = "m";
  r.model_version = "00ff";
  r.input_fingerprint = "aa";
  r.output_fingerprint = "bb";
  r.tokens_in = 1;
  r.tokens_cached = 2;
  r.tokens_out = 3;
  r.bytes_out = 4;
  r.queue_ms = 5;
  r.first_token_ms = 6;
  r.duration_ms = 7;
  r.status = 403;
  r.reason = "permission_denied";
  return r;
}

TEST(RecordJson, SpellsEveryFieldInItsPlace) {
  EXPECT_EQ(encode_record(full_record()),
            R"({"phase":"result","operation":"DELETE","outcome":"refused","mono_ns":42,)"
            R"("request_id":"req_1","intent_sequence":6,"tenant":"clinic","operator":"local:0",)"
            R"("key_id":"key_1","role":"admin","authentication":"api_key","ip_address":"::1",)"
            R"("action":"key.revoke","resource":"key_2","route":"local","data_class":"internal",)"
            R"("model":"m","model_version":"00ff","input_fingerprint":"aa",)"
            R"("output_fingerprint":"bb","tokens_in":1,"tokens_cached":2,"tokens_out":3,)"
            R"("bytes_out":4,"queue_ms":5,"first_token_ms":6,"duration_ms":7,"status":403,)"
            R"("reason":"permission_denied"})");
}

TEST(RecordJson, LeavesEmptyFieldsOut) {
  EXPECT_EQ(encode_record(Record{}),
            R"({"phase":"intent","operation":"EXECUTE","outcome":"pending"})");
}

TEST(RecordJson, ReadsBackWhatItWrote) {
  RecordDecoder decoder;
  const std::string body = encode_record(full_record());
  const auto record = decoder.decode(body);
  ASSERT_TRUE(record.has_value()) << record.error().message;
  EXPECT_EQ(encode_record(*record), body);
  EXPECT_EQ(record->reason, "permission_denied");
  EXPECT_EQ(record->status, 403);
  EXPECT_EQ(record->operation, Operation::erase);
}

TEST(RecordJson, EscapesWhatCameFromOutside) {
  Record record;
  record.resource = "a\"b\\c\n\x1b[31m\x7f\xe4\xb8\xad\xf0\x9f\x98\x80\xff";
  const std::string body = encode_record(record);
  EXPECT_NE(body.find(R"("resource":"a\"b\\c\u000a\u001b[31m\u007f\u4e2d\ud83d\ude00\ufffd")"),
            std::string::npos)
      << body;
  RecordDecoder decoder;
  const auto read = decoder.decode(body);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->resource, "a\"b\\c\n\x1b[31m\x7f\xe4\xb8\xad\xf0\x9f\x98\x80\xef\xbf\xbd");
}

TEST(RecordJson, CutsOverLongTextWithAMark) {
  Record record;
  record.resource = std::string(1000, 'x');
  RecordDecoder decoder;
  const auto read = decoder.decode(encode_record(record));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->resource, std::string(kTextBytesMax - 6, 'x') + "\xe2\x80\xa6");
}

TEST(RecordJson, KeepsTextOfExactlyTheLimit) {
  Record record;
  record.resource = std::string(kTextBytesMax, 'x');
  RecordDecoder decoder;
  EXPECT_EQ(decoder.decode(encode_record(record))->resource, record.resource);
}

TEST(RecordJson, NeverExceedsTheLimit) {
  Record record = full_record();
  for (std::string* text :
       {&record.request_id, &record.tenant, &record.operator_id, &record.key_id, &record.role,
        &record.authentication, &record.ip_address, &record.action, &record.resource, &record.route,
        &record.data_class, &record.model, &record.model_version, &record.input_fingerprint,
        &record.output_fingerprint, &record.reason}) {
    *text = std::string(5000, '\x01');
  }
  record.mono_ns = INT64_MIN;
  record.bytes_out = UINT64_MAX;
  const std::string body = encode_record(record);
  EXPECT_LE(body.size(), limits::kAuditRecordBytesMax);
  RecordDecoder decoder;
  EXPECT_TRUE(decoder.decode(body).has_value());
}

TEST(RecordJson, RefusesAnyOtherSpelling) {
  RecordDecoder decoder;
  for (const char* body :
       {"", "{}", "[]", "null", R"({"phase":"intent","operation":"EXECUTE","outcome":"pending"} )",
        R"({"operation":"EXECUTE","phase":"intent","outcome":"pending"})",
        R"({"phase":"intent","operation":"EXECUTE","outcome":"pending","tenant":""})",
        R"({"phase":"intent","operation":"EXECUTE","outcome":"pending","tokens_in":0})",
        R"({"phase":"intent","operation":"EXECUTE","outcome":"pending","tenant":"\u0061"})",
        R"({"phase":"intent","operation":"EXECUTE","outcome":"pending","other":1})",
        R"({"phase":"intent","operation":"EXECUTE","outcome":"unknown"})"}) {
    const auto record = decoder.decode(body);
    ASSERT_FALSE(record.has_value()) << body;
    EXPECT_EQ(record.error().code, Code::corrupt);
  }
}

TEST(RecordJson, AnyTextRoundTripsToOneSpelling) {
  EXPECT_TRUE(
      rc::check("encode, decode, encode", [](const std::string& tenant, const std::string& resource,
                                             std::uint64_t tokens, std::int64_t mono) {
        Record record;
        record.tenant = tenant;
        record.resource = resource;
        record.tokens_out = tokens;
        record.mono_ns = mono;
        const std::string body = encode_record(record);
        RecordDecoder decoder;
        const auto read = decoder.decode(body);
        RC_ASSERT(read.has_value());
        RC_ASSERT(encode_record(*read) == body);
        RC_ASSERT(read->tokens_out == tokens);
        RC_ASSERT(read->mono_ns == mono);
      }));
}

TEST(RecordJson, PrintsALineForPeople) {
  Entry entry{.sequence = 9, .record = {}};
  entry.record.unix_ms = 1'735'689'600'123;
  EXPECT_EQ(to_json_line(entry),
            R"({"sequence":9,"time":"2025-01-01T00:00:00.123Z","unix_ms":1735689600123,)"
            R"("phase":"intent","operation":"EXECUTE","outcome":"pending"})");
}

TEST(Format, SegmentHeaderReadsBack) {
  SegmentHeader written{.number = 3,
                        .segment_bytes = 8192,
                        .first_sequence = 77,
                        .created_unix_ms = 5,
                        .previous_hash = crypto::sha256("x")};
  std::string bytes = encode_segment_header(written);
  ASSERT_EQ(bytes.size(), kSegmentHeaderBytes);
  SegmentHeader read;
  ASSERT_EQ(parse_segment_header(bytes, read), nullptr);
  EXPECT_EQ(read.first_sequence, 77U);
  EXPECT_EQ(read.hash, written.hash);
  for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string flipped = bytes;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << (i % 8)));
    EXPECT_NE(parse_segment_header(flipped, read), nullptr) << "bit " << i;
  }
}

TEST(Format, FrameHasTheSpecifiedBytes) {
  std::string bytes;
  const crypto::Digest hash = append_frame(bytes, 0x0102, 0x0304, 5, crypto::Digest{}, "{}");
  ASSERT_EQ(bytes.size(), kFrameBytesMin + 2);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\xd7"
                                            "DMR\x02\0\0\0",
                                            8));
  EXPECT_EQ(bytes.substr(8, 8), std::string("\x02\x01\0\0\0\0\0\0", 8));
  EXPECT_EQ(bytes.substr(16, 8), std::string("\x04\x03\0\0\0\0\0\0", 8));
  EXPECT_EQ(bytes.substr(24, 8), std::string("\x05\0\0\0\x01\0\x02\0", 8));
  EXPECT_TRUE(all_zero(std::string_view(bytes).substr(32, 32)));
  EXPECT_EQ(bytes.substr(64, 2), "{}");
  EXPECT_EQ(bytes.substr(66), crypto::view(hash));
  EXPECT_EQ(crypto::sha256(std::string_view(bytes).substr(0, 66)), hash);
}

}  // namespace
}  // namespace deepmoat::audit
