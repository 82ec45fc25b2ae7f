// What administration leaves behind when it does not succeed: one audit record that says so, and
// the reason of a failure in the server's log, under the request's id.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "audit/tail.h"
#include "catalog/catalog.h"
#include "crypto/custody_watch.h"
#include "crypto/envelope.h"
#include "crypto/scratch_custody.h"
#include "gateway/scratch_server.h"

namespace deepmoat::gateway {
namespace {

using Json = nlohmann::json;

struct Answer {
  int status = 0;
  std::string code;
  std::string message;
};

// What an import would add.
std::string entry(const std::string& incoming, const std::string& measurements = "{}") {
  return R"({"name":"new","kind":"model","sha256":")" + std::string(64, 'a') +
         R"(","bytes":1,"quantisation":"q",)"
         R"("architecture":"a","parameters":1,"task":"generate","incoming":")" +
         incoming + R"(","provenance":{"source":"s","source_sha256":"s","tool":"t"},)" +
         R"("measurements":)" + measurements + "}";
}

class AdminRecord : public testing::Test {
 protected:
  AdminRecord() : catalog_(server_.database(), server_.folder() / "models") {
    std::filesystem::create_directories(server_.folder() / "models");
    server_.services().catalog = &catalog_;
  }

  Answer post(const std::string& path, const std::string& body) {
    RawClient client = server_.local_client();
    client.send(
        fmt::format("POST {} HTTP/1.1\r\nHost: a\r\nx-request-id: {}\r\n"
                    "Content-Length: {}\r\n\r\n{}",
                    path, kRequest, body.size(), body));
    const std::string answer = client.answer();
    if (!answer.starts_with("HTTP/1.1 ")) {
      return {};
    }
    const Json json = Json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
    return {.status = std::stoi(answer.substr(9, 3)),
            .code = json.value("/error/code"_json_pointer, std::string()),
            .message = json.value("/error/message"_json_pointer, std::string())};
  }

  // All of the request, the oldest first.
  std::vector<audit::Record> records() {
    audit::TailReader reader(server_.folder() / "audit");
    std::vector<audit::Record> found;
    const auto read = reader.poll([&](const audit::Entry& entry) {
      if (entry.record.request_id == kRequest) {
        found.push_back(entry.record);
      }
    });
    EXPECT_TRUE(read) << read.error().message;
    return found;
  }

  static constexpr const char* kRequest = "the-request-of-this-test";
  ScratchServer server_;
  catalog::Catalog catalog_;
};

struct Early {
  const char* name;
  std::string path;
  std::string body;
  std::string action;
  std::string code;
};
void PrintTo(const Early& early, std::ostream* out) {
  *out << early.name;
}
class RefusedEarly : public AdminRecord, public testing::WithParamInterface<Early> {};

// Before the service that writes the records of its own actions has seen it.
TEST_P(RefusedEarly, IsOnRecordOnce) {
  const Early& early = GetParam();
  const Answer answer = post(early.path, early.body);
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.code, early.code);
  const auto written = records();
  ASSERT_EQ(written.size(), 1U);
  EXPECT_EQ(written[0].action, early.action);
  EXPECT_EQ(written[0].phase, audit::Phase::result);
  EXPECT_EQ(written[0].outcome, audit::Outcome::refused);
  EXPECT_EQ(written[0].status, 400);
  EXPECT_EQ(written[0].reason, early.code);
  EXPECT_TRUE(written[0].operator_id.starts_with("local:")) << written[0].operator_id;
}

std::vector<Early> early_refusals() {
  const std::string deep = std::string(30'000, '[') + std::string(30'000, ']');
  return {
      {"no_json", "/admin/v1/keys", "{", "key.create", "invalid_json"},
      {"unknown_field", "/admin/v1/keys", R"({"client_id":"a","colour":"red"})", "key.create",
       "unsupported_parameter"},
      {"bad_reason", "/admin/v1/keys/key_0/revoke", R"({"reason":5})", "key.revoke",
       "invalid_type"},
      {"bad_tenant", "/admin/v1/tenants", "[]", "tenant.create", "invalid_json"},
      {"bad_factor", "/admin/v1/second-factors", "{", "second_factor.enrol", "invalid_json"},
      {"catalog_no_json", "/admin/v1/catalog", "{", "model.import", "invalid_json"},
      {"catalog_no_entry", "/admin/v1/catalog", "{}", "model.import", "invalid_value"},
      {"catalog_elsewhere", "/admin/v1/catalog", entry("../x"), "model.import", "invalid_value"},
      {"catalog_deep", "/admin/v1/catalog",
       R"({"name":"new","incoming":".incoming-x","measurements":)" + deep + "}", "model.import",
       "json_too_deep"},
  };
}

INSTANTIATE_TEST_SUITE_P(All, RefusedEarly, testing::ValuesIn(early_refusals()),
                         [](const auto& info) { return info.param.name; });

// What the service refuses it writes down itself, and nobody writes it again.
TEST_F(AdminRecord, WhatTheServiceRefusedIsNotWrittenTwice) {
  const Answer answer = post("/admin/v1/keys", R"({"client_id":"no such name"})");
  EXPECT_EQ(answer.status, 400);
  const auto written = records();
  ASSERT_EQ(written.size(), 2U);
  EXPECT_EQ(written[0].phase, audit::Phase::intent);
  EXPECT_EQ(written[1].outcome, audit::Outcome::refused);
}

// Measurements may nest as deep as any body, and no deeper: they are written and read level by
// level.
TEST_F(AdminRecord, MeasurementsNestAsDeepAsAnyBody) {
  const auto nested = [](std::size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  const Answer deep = post("/admin/v1/catalog", entry(".incoming-x", nested(64)));
  EXPECT_EQ(deep.status, 400);
  EXPECT_EQ(deep.code, "json_too_deep");
  const Answer fits = post("/admin/v1/catalog", entry(".incoming-x", nested(60)));
  EXPECT_NE(fits.code, "json_too_deep");
}

TEST_F(AdminRecord, TheReasonOfAFailureIsInTheLogUnderTheRequestsId) {
  testing::internal::CaptureStderr();
  const Answer answer = post("/admin/v1/catalog", entry(".incoming-nothing"));
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.message.find("incoming-nothing"), std::string::npos) << answer.message;
  const std::size_t at = log.find(kRequest);
  ASSERT_NE(at, std::string::npos) << log;
  const std::string line = log.substr(0, log.find('\n', at));
  EXPECT_NE(line.find("incoming-nothing"), std::string::npos) << line;
  const auto written = records();
  ASSERT_EQ(written.size(), 2U);
  EXPECT_EQ(written[1].outcome, audit::Outcome::failed);
}

TEST_F(AdminRecord, AFailureIsNoRefusal) {
  const SystemClock clock;
  crypto::ScratchCustody scratch;
  const auto envelope =
      crypto::Envelope::open({.folder = scratch.keys()}, scratch.custody(), clock);
  ASSERT_TRUE(envelope) << envelope.error().message;
  crypto::CustodyWatch watch(scratch.custody(), {}, clock,
                             [](const crypto::CustodyHealth&) { return true; });
  const Custody custody{scratch.custody(), watch, **envelope};
  server_.services().custody = &custody;
  scratch.custody().fails = "generate";
  const Answer answer = post("/admin/v1/custody/roll", "");
  EXPECT_EQ(answer.status, 503);
  const auto written = records();
  ASSERT_EQ(written.size(), 2U);
  EXPECT_EQ(written[1].phase, audit::Phase::result);
  EXPECT_EQ(written[1].outcome, audit::Outcome::failed);
  EXPECT_EQ(written[1].status, 503);
  EXPECT_EQ(written[1].reason, answer.code);
  EXPECT_FALSE(answer.code.empty());
}

}  // namespace
}  // namespace deepmoat::gateway
