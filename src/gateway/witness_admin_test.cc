// Keeping the checkpoints of another server's log, over HTTP.
#include "gateway/witness_admin.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "audit/tail.h"
#include "gateway/scratch_server.h"

namespace deepmoat::gateway {
namespace {

using transparency::Checkpoint;
using transparency::Digest;
using transparency::TreeHash;

class WitnessAdmin : public ::testing::Test {
 protected:
  WitnessAdmin() {
    const auto made = server_.keys().create(
        ScratchServer::boss(), {.client_id = "other-node", .tenant = "acme", .label = ""});
    key_ = std::string(made->shown.reveal());
  }

  // Head and body.
  std::string ask(const std::string& line, const std::string& body, const std::string& key) {
    RawClient client = server_.client();
    client.send(
        fmt::format("{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n"
                    "Authorization: Bearer {}\r\n\r\n{}",
                    line, body.size(), key, body));
    return client.rest();
  }
  std::string add(std::uint64_t old_size, const std::string& note,
                  const std::vector<Digest>& proof = {}) {
    return ask(
        "POST /v1/audit/witness/add-checkpoint",
        transparency::next_checkpoint_body({.old_size = old_size, .proof = proof, .note = note}),
        key_);
  }
  std::string show() { return ask("GET /v1/audit/witness/deepmoat/other", "", key_); }
  // Of a log of one or two records.
  std::string note(std::uint64_t size, const std::string& origin = "deepmoat/other") {
    const Digest root =
        size == 1 ? first_ : transparency::node_hash(TreeHash::sha256, first_, second_);
    return ScratchAuditDesk::other_signer()
        .sign(transparency::checkpoint_text({.origin = origin, .size = size, .root = root}))
        .value();
  }

  ScratchServer server_;
  std::string key_;
  Digest first_ = transparency::leaf_hash(TreeHash::sha256, "1");
  Digest second_ = transparency::leaf_hash(TreeHash::sha256, "2");
};

TEST_F(WitnessAdmin, KeepsWhatGrows) {
  EXPECT_TRUE(show().starts_with("HTTP/1.1 204")) << "nothing yet";
  EXPECT_TRUE(add(0, note(1)).starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(show().ends_with(note(1)));
  EXPECT_TRUE(add(1, note(2), {second_}).starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(show().ends_with(note(2)));
  const auto records = audit::TailReader(server_.folder() / "audit").read_last(3).value();
  EXPECT_EQ(records[0].record.action, "audit.witness.add");
  EXPECT_EQ(records[0].record.outcome, audit::Outcome::success);
}

TEST_F(WitnessAdmin, SaysWhyItTakesNothing) {
  ASSERT_TRUE(add(0, note(1)).starts_with("HTTP/1.1 200"));
  const auto expect = [](const std::string& answer, int status, const std::string& what) {
    EXPECT_TRUE(answer.starts_with(fmt::format("HTTP/1.1 {}", status))) << answer;
    EXPECT_NE(answer.find(what), std::string::npos) << answer;
  };
  expect(add(0, note(2)), 409, "\"size\":1");
  expect(add(1, note(2), {first_}), 422, "witness_inconsistent");
  expect(add(0, note(1, "deepmoat/nobody")), 404, "audit.witness_keys");
  std::string forged = note(2);
  forged[forged.size() - 9] = forged[forged.size() - 9] == 'A' ? 'B' : 'A';
  expect(add(1, forged, {second_}), 403, "witness_not_signed");
  expect(ask("POST /v1/audit/witness/add-checkpoint", "old x", key_), 400, "add-checkpoint");
  expect(ask("GET /v1/audit/witness/deepmoat/nobody", "", key_), 404, "audit.witness_keys");
  EXPECT_TRUE(show().ends_with(note(1)));
}

}  // namespace
}  // namespace deepmoat::gateway
