#include "review/lineage.h"

#include <gtest/gtest.h>

#include "review/scratch_index.h"

namespace deepmoat::review {
namespace {

constexpr UnixMillis kStart = 1'800'000'000'000;
const std::string kDigest = "0123456789abcdef" + std::string(48, '7');

void append_import(ScratchIndex& scratch, const std::string& resource, audit::Outcome outcome,
                   const std::string& intent_reason) {
  audit::Record record = sample_change("model.import", resource);
  record.outcome = outcome;
  audit::Record intent = record;
  intent.phase = audit::Phase::intent;
  intent.outcome = audit::Outcome::pending;
  intent.resource = "qwen";
  intent.reason = intent_reason;
  record.intent_sequence = scratch.append(intent);
  scratch.append(record);
}

TEST(Lineage, OfARequestSaysWhatAnsweredIt) {
  ScratchIndex scratch(kStart);
  audit::Record call = sample_call();
  call.request_id = "wanted";
  scratch.append_both(call);
  scratch.append_both(sample_call());
  scratch.append(sample_change("key.create", "key_1"));
  scratch.catch_up();
  const auto calls = lineage_of_request(*scratch.index, "wanted");
  ASSERT_TRUE(calls.has_value()) << calls.error().message;
  ASSERT_EQ(calls->size(), 1U);
  EXPECT_EQ(calls->front().sequence, 2U);
  EXPECT_EQ(calls->front().unix_ms, kStart);
  EXPECT_EQ(calls->front().request_id, "wanted");
  EXPECT_EQ(calls->front().tenant, "legal");
  EXPECT_EQ(calls->front().operator_id, "crawler");
  EXPECT_EQ(calls->front().action, "chat.completions");
  EXPECT_EQ(calls->front().outcome, "success");
  EXPECT_EQ(calls->front().route, "local");
  EXPECT_EQ(calls->front().model, "qwen");
  EXPECT_EQ(calls->front().model_version, "0123456789abcdef");
  EXPECT_EQ(lineage_of_request(*scratch.index, "no").error().code, Code::not_found);
  EXPECT_EQ(lineage_of_request(*scratch.index, "req_2").error().code, Code::not_found)
      << "an administrator's request is no call";
}

TEST(Lineage, OfAVersionSaysWhoBroughtItAndWhatUsedIt) {
  ScratchIndex scratch(kStart);
  append_import(scratch, "qwen v1 sha256:" + kDigest, audit::Outcome::success,
                "approved by default/bob (apr_1)");
  append_import(scratch, "qwen", audit::Outcome::failed, "");
  append_import(scratch, "llama v1 sha256:" + std::string(64, '8'), audit::Outcome::success, "");
  scratch.clock.pass(1000);
  scratch.append_both(sample_call());
  scratch.clock.pass(1000);
  audit::Record other = sample_call();
  other.model_version = "fedcba9876543210";
  scratch.append_both(other);
  scratch.append_both(sample_call());
  scratch.catch_up();
  for (const std::size_t digits : {16U, 20U, 64U}) {
    const auto found = lineage_of_version(*scratch.index, kDigest.substr(0, digits));
    ASSERT_TRUE(found.has_value()) << found.error().message;
    ASSERT_EQ(found->imports.size(), 1U);
    EXPECT_EQ(found->imports[0].sequence, 2U);
    EXPECT_EQ(found->imports[0].unix_ms, kStart);
    EXPECT_EQ(found->imports[0].operator_id, "alice");
    EXPECT_EQ(found->imports[0].resource, "qwen v1 sha256:" + kDigest);
    EXPECT_EQ(found->imports[0].reason, "approved by default/bob (apr_1)");
    EXPECT_EQ(found->calls, 2U);
    EXPECT_EQ(found->first_ms, kStart + 1000);
    EXPECT_EQ(found->last_ms, kStart + 2000);
    EXPECT_EQ(found->first_sequence, 8U);
    EXPECT_EQ(found->last_sequence, 12U);
  }
  const auto unknown = lineage_of_version(*scratch.index, std::string(16, 'a'));
  EXPECT_TRUE(unknown->imports.empty());
  EXPECT_EQ(unknown->calls, 0U);
  EXPECT_EQ(unknown->first_ms, 0);
}

TEST(Lineage, TakesDigitsOnly) {
  ScratchIndex scratch(kStart);
  scratch.catch_up();
  for (const std::string& version :
       {std::string(), std::string(15, 'a'), std::string(65, 'a'), std::string(16, 'A'),
        std::string("0123456789abcde%"), std::string("sha256:0123456789abcdef")}) {
    EXPECT_EQ(lineage_of_version(*scratch.index, version).error().code, Code::invalid_argument)
        << version;
  }
}

TEST(Lineage, WaitsForAnIndexThatIsBeingMade) {
  ScratchIndex scratch(kStart);
  EXPECT_EQ(lineage_of_version(*scratch.index, kDigest).error().code, Code::unavailable);
}

}  // namespace
}  // namespace deepmoat::review
