// Receipts over HTTP, checked as their owner checks them: with the verifier and the public key.
#include "gateway/receipts.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "audit/tail.h"
#include "gateway/scratch_server.h"
#include "verifier/receipt.h"

namespace deepmoat::gateway {
namespace {

using Json = nlohmann::json;
using identity::Role;

class Receipts : public testing::Test {
 protected:
  std::string key(const std::string& client_id, Role role = Role::user,
                  const std::string& tenant = "acme") {
    const auto made = server_.keys().create(
        ScratchServer::boss(),
        {.client_id = client_id, .role = role, .tenant = tenant, .label = ""});
    EXPECT_TRUE(made) << made.error().message;
    return std::string(made->shown.reveal());
  }
  static std::string request(const std::string& line, const std::string& key, const std::string& id,
                             const std::string& body = "") {
    return fmt::format(
        "{} HTTP/1.1\r\nHost: a\r\nx-request-id: {}\r\nAuthorization: Bearer {}\r\n"
        "Content-Length: {}\r\n\r\n{}",
        line, id, key, body.size(), body);
  }
  static std::string chat(const std::string& key, const std::string& id, const std::string& content,
                          bool stream = false) {
    const Json body = {{"model", "demo"},
                       {"stream", stream},
                       {"messages", {{{"role", "user"}, {"content", content}}}}};
    return request("POST /v1/chat/completions", key, id, body.dump());
  }
  std::string ask(const std::string& bytes) {
    RawClient client = server_.client();
    client.send(bytes);
    return client.answer();
  }
  static int status_of(const std::string& answer) { return std::stoi(answer.substr(9, 3)); }
  // 0: it has none.
  static std::uint64_t record_of(const std::string& answer) {
    const std::size_t at = answer.find("x-audit-record: ");
    return at == std::string::npos ? 0 : std::stoull(answer.substr(at + 16));
  }
  Answer receipt(const std::string& key, const std::string& id) {
    return answer_of(server_.client(), "GET", "/v1/audit/receipts/" + id, key, nullptr);
  }
  std::vector<verifier::VerifierKey> keys() {
    const auto parsed = verifier::parse_key(server_.checkpoint_key().verifier_key());
    EXPECT_TRUE(parsed.has_value());
    return {*parsed};
  }
  std::vector<audit::Entry> entries() {
    std::vector<audit::Entry> all;
    audit::TailReader reader(server_.folder() / "audit");
    const auto count = reader.poll([&](const audit::Entry& entry) { all.push_back(entry); });
    EXPECT_TRUE(count.has_value());
    return all;
  }

  ScratchServer server_;
};

TEST_F(Receipts, ShowTheCallersOwnCallWithItsIntentAndResult) {
  const std::string mine = key("me");
  const std::string answer = ask(chat(mine, "call-1", "hello"));
  ASSERT_EQ(status_of(answer), 200);
  const Answer got = receipt(mine, "call-1");
  ASSERT_EQ(got.status, 200) << got.body.dump();
  const auto report = verifier::check_receipt(got.body.dump(), keys());
  EXPECT_TRUE(report.intact()) << report.why;
  EXPECT_EQ(report.records, 2U);
  EXPECT_EQ(report.first_sequence, record_of(answer));
  EXPECT_EQ(got.body["records"][1]["record"]["outcome"], "success");

  Json altered = got.body;
  altered["records"][1]["record"]["outcome"] = "failed";
  EXPECT_FALSE(verifier::check_receipt(altered.dump(), keys()).intact());
}

TEST_F(Receipts, OfAnybodyElseAreLikeNone) {
  const std::string mine = key("me");
  ask(chat(mine, "call-1", "hello"));
  const Answer none = receipt(mine, "no-such-call");
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(none.code(), "not_found");
  for (const auto& [who, role, tenant] :
       {std::tuple("other", Role::user, "acme"), std::tuple("boss", Role::admin, "acme"),
        std::tuple("me", Role::user, "globex"), std::tuple("boss", Role::admin, "default"),
        std::tuple("auditor", Role::auditor, "globex")}) {
    const Answer got = receipt(key(who, role, tenant), "call-1");
    EXPECT_EQ(got.status, 404) << who << " of " << tenant;
    EXPECT_EQ(got.body, none.body) << who << " of " << tenant;
  }
}

TEST_F(Receipts, ASessionOfAPersonAndAKeyOfTheSameNameAreTwo) {
  const std::string mine = key("me");
  audit::Record record;
  record.phase = audit::Phase::result;
  record.outcome = audit::Outcome::success;
  record.request_id = "of-the-session";
  record.tenant = "acme";
  record.operator_id = "me";
  record.authentication = "session";
  record.action = "session.show";
  ASSERT_TRUE(server_.audit_log().append_and_wait(record).has_value());
  EXPECT_EQ(receipt(mine, "of-the-session").status, 404);
  record.request_id = "of-the-key";
  record.authentication = "api_key";
  ASSERT_TRUE(server_.audit_log().append_and_wait(record).has_value());
  EXPECT_EQ(receipt(mine, "of-the-key").status, 200);
}

TEST_F(Receipts, OfATenantAreShownToItsAuditorAndToThoseOfTheHomeTenant) {
  ask(chat(key("me"), "call-1", "hello"));
  EXPECT_EQ(receipt(key("a", Role::auditor, "acme"), "call-1").status, 200);
  EXPECT_EQ(receipt(key("a", Role::auditor, "default"), "call-1").status, 200);
}

TEST_F(Receipts, AnIdThatTwoTenantsUsedShowsToEachItsOwn) {
  const std::string mine = key("me");
  const std::string theirs = key("me", Role::user, "globex");
  ask(chat(mine, "same-id", "hello"));
  ask(chat(theirs, "same-id", "hello"));
  for (const auto& [caller, tenant] : {std::pair(mine, "acme"), std::pair(theirs, "globex")}) {
    const Answer got = receipt(caller, "same-id");
    ASSERT_EQ(got.status, 200);
    ASSERT_EQ(got.body["records"].size(), 2U);
    for (const Json& record : got.body["records"]) {
      EXPECT_EQ(record["record"]["tenant"], tenant);
    }
  }
}

TEST_F(Receipts, AStreamThatIsCutHasOneToo) {
  const std::string mine = key("me");
  RawClient client = server_.client();
  client.send(chat(mine, "cut", "wait", true));
  const std::string head = client.until("\r\n\r\n");
  EXPECT_NE(record_of(head), 0U);
  client.until("begun");
  client.close();
  Answer got;
  do {  // its result comes once the server has seen that the client is gone
    got = receipt(mine, "cut");
    ASSERT_EQ(got.status, 200);
  } while (got.body["records"].size() < 2);
  const auto report = verifier::check_receipt(got.body.dump(), keys());
  EXPECT_TRUE(report.intact()) << report.why;
  EXPECT_EQ(report.first_sequence, record_of(head));
  EXPECT_EQ(got.body["records"][1]["record"]["outcome"], "cancelled");
  EXPECT_EQ(got.body["records"][1]["record"]["status"], 499);
}

TEST_F(Receipts, ARefusalHasOneTooAndItsHeaderNamesItsResult) {
  const std::string mine = key("me");
  const std::string refused =
      ask(request("POST /v1/chat/completions", mine, "refused", R"({"model":"nobody's"})"));
  ASSERT_GE(status_of(refused), 400);
  const Answer got = receipt(mine, "refused");
  ASSERT_EQ(got.status, 200);
  ASSERT_EQ(got.body["records"].size(), 1U);
  EXPECT_EQ(got.body["records"][0]["sequence"], record_of(refused));
}

TEST_F(Receipts, EveryAnswerToWhoHasProvedWhoHeIsNamesARecordOfIt) {
  const std::string admin = key("boss", Role::admin, "default");
  const auto names_its_record = [&](const std::string& answer, const std::string& id) {
    const std::uint64_t sequence = record_of(answer);
    const auto all = entries();
    ASSERT_TRUE(sequence > 0 && sequence <= all.size()) << id << "\n" << answer;
    EXPECT_EQ(all[sequence - 1].record.request_id, id);
    for (std::uint64_t before = 1; before < sequence; ++before) {
      EXPECT_NE(all[before - 1].record.request_id, id) << "it has an earlier one";
    }
  };
  const std::vector<std::pair<std::string, std::string>> calls{
      {"GET /v1/models", ""},
      {"GET /v1/usage", ""},
      {"GET /admin/v1/keys", ""},
      {"POST /admin/v1/keys", R"({"client_id":"new"})"},
      {"POST /admin/v1/keys", "no json"},
      {"GET /admin/v1/audit/records", ""},
      {"POST /v1/keys/rotate", "{}"},
      {"GET /v1/audit/key", ""}};
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const std::string id = "every-" + std::to_string(i);
    names_its_record(ask(request(calls[i].first, admin, id, calls[i].second)), id);
    // To a stranger it would say how busy the server is.
    EXPECT_EQ(record_of(ask(request(calls[i].first, "dmk_nobody", "none", calls[i].second))), 0U);
  }
  for (const std::string unasked : {"GET /v1/nowhere", "PUT /v1/models", "POST /v1/sessions"}) {
    EXPECT_EQ(record_of(ask(request(unasked, "dmk_nobody", "none", "{}"))), 0U) << unasked;
  }
  EXPECT_EQ(record_of(ask("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")), 0U);
}

TEST_F(Receipts, WhatRetentionDeletedIsGone) {
  const std::string mine = key("me");
  ask(chat(mine, "call-1", "hello"));
  ASSERT_EQ(receipt(mine, "call-1").status, 200);
  const auto folder = server_.folder() / "audit";
  audit::Record filler;
  filler.reason = std::string(250, 'f');
  while (!std::filesystem::exists(folder / audit::segment_name(3))) {  // then 2 is in use
    ASSERT_TRUE(server_.audit_log().append_and_wait(filler).has_value());
  }
  ASSERT_EQ(receipt(mine, "call-1").status, 200);  // the index has come into segment 2
  // Segment 1 as retention leaves it, with every body gone.
  const auto bytes = read_file(folder / audit::segment_name(1), 1 << 21);
  ASSERT_TRUE(bytes.has_value());
  audit::SegmentHeader header;
  ASSERT_EQ(audit::parse_segment_header(*bytes, header), nullptr);
  audit::ChainState chain{.next_sequence = 1, .last_hash = header.hash};
  std::string kept = bytes->substr(0, audit::kSegmentHeaderBytes);
  std::uint64_t records = 0;
  (void)audit::scan_frames(*bytes, audit::kSegmentHeaderBytes, chain, [&](const auto& frame) {
    ++records;
    audit::append_stub(kept, {.body_bytes = frame.body.size(),
                              .sequence = frame.sequence,
                              .unix_ms = frame.unix_ms,
                              .hash = frame.hash});
  });
  audit::append_kept_end(kept, records);
  ASSERT_TRUE(write_file_atomic(folder / audit::kept_name(1), kept, 0600).has_value());
  std::filesystem::remove(folder / audit::segment_name(1));
  const Answer gone = receipt(mine, "call-1");
  EXPECT_EQ(gone.status, 410) << gone.body.dump();
  EXPECT_EQ(gone.code(), "receipt_expired");
}

TEST_F(Receipts, TheKeyIsTheOneThatChecksThem) {
  const Answer got = answer_of(server_.client(), "GET", "/v1/audit/key", key("me"), nullptr);
  ASSERT_EQ(got.status, 200);
  EXPECT_EQ(got.body["origin"], "deepmoat/scratch");
  EXPECT_EQ(got.body["keys"], Json::array({server_.checkpoint_key().verifier_key()}));
}

}  // namespace
}  // namespace deepmoat::gateway
