// What auditors ask over HTTP: records, exports, the monthly report and its sign-off.
#include "gateway/audit_admin.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "audit/tail.h"
#include "base/hex.h"
#include "crypto/digest.h"
#include "gateway/audit_reports.h"
#include "gateway/scratch_server.h"
#include "review/monthly_figures.h"
#include "verifier/receipt.h"

namespace deepmoat::gateway {
namespace {

using Json = nlohmann::json;
using identity::Role;

// A month that is over, and of which the log has nothing.
constexpr const char* kMonth = "2001-02";

class AuditAdmin : public testing::Test {
 protected:
  AuditAdmin() {
    home_ = key("reviewer", Role::auditor, "default");
    acme_ = key("reviewer", Role::auditor, "acme");
    const std::string user = key("user", Role::user, "acme");
    const std::string other = key("user", Role::user, "globex");
    for (int i = 0; i < 3; ++i) {
      get("/v1/models", user);
      get("/v1/models", other);
    }
  }

  std::string key(const std::string& client_id, Role role, const std::string& tenant) {
    const auto made = server_.keys().create(
        ScratchServer::boss(),
        {.client_id = client_id, .role = role, .tenant = tenant, .label = ""});
    EXPECT_TRUE(made) << made.error().message;
    return std::string(made->shown.reveal());
  }
  Answer get(const std::string& path, const std::string& key) {
    return answer_of(server_.client(), "GET", path, key, nullptr);
  }
  Answer sign_off(const std::string& month, const Json& body, const std::string& key) {
    return answer_of(server_.client(), "POST", "/admin/v1/audit/reports/" + month + "/sign-off",
                     key, body);
  }
  // Head and body as they come; the connection ends with the answer.
  std::string raw(const std::string& path, const std::string& key) {
    RawClient client = server_.client();
    client.send(
        fmt::format("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                    "Authorization: Bearer {}\r\n\r\n",
                    path, key));
    return client.rest();
  }
  static std::string unchunked(const std::string& answer) {
    std::string body;
    std::size_t at = answer.find("\r\n\r\n") + 4;
    for (;;) {
      const std::size_t line = answer.find("\r\n", at);
      const std::size_t bytes = std::stoul(answer.substr(at, line - at), nullptr, 16);
      if (bytes == 0) {
        return body;
      }
      body += answer.substr(line + 2, bytes);
      at = line + 2 + bytes + 2;
    }
  }
  verifier::ProofReport check_export(const std::string& bytes) {
    const auto path = server_.folder() / "export.ndjson";
    EXPECT_TRUE(write_file_atomic(path, bytes, 0600).has_value());
    const auto key = verifier::parse_key(server_.checkpoint_key().verifier_key());
    const std::vector keys{*key};
    const auto report = verifier::check_export(path, keys);
    EXPECT_TRUE(report.has_value());
    return *report;
  }
  audit::Record newest(const std::string& action, audit::Phase phase) {
    audit::Record found;
    audit::TailReader reader(server_.folder() / "audit");
    const auto count = reader.poll([&](const audit::Entry& entry) {
      if (entry.record.action == action && entry.record.phase == phase) {
        found = entry.record;
      }
    });
    EXPECT_TRUE(count.has_value());
    return found;
  }

  ScratchServer server_;
  std::string home_;
  std::string acme_;
};

TEST_F(AuditAdmin, RecordsAreOfAllTenantsAtHomeAndOfTheirOwnElsewhere) {
  const Answer all = get("/admin/v1/audit/records?action=models.list", home_);
  ASSERT_EQ(all.status, 200) << all.body.dump();
  EXPECT_EQ(all.body["data"].size(), 6U);
  const Answer own = get("/admin/v1/audit/records?action=models.list", acme_);
  ASSERT_EQ(own.status, 200);
  EXPECT_EQ(own.body["data"].size(), 3U);
  for (const Json& record : own.body["data"]) {
    EXPECT_EQ(record["tenant"], "acme");
  }
  const Answer theirs = get("/admin/v1/audit/records?tenant=globex", acme_);
  const Answer nobodys = get("/admin/v1/audit/records?tenant=none-such", acme_);
  EXPECT_EQ(theirs.status, 404);
  EXPECT_EQ(theirs.body, nobodys.body);
  EXPECT_EQ(get("/admin/v1/audit/records?tenant=globex", home_).body["data"].size(), 3U);
}

TEST_F(AuditAdmin, RecordsComePageByPage) {
  std::vector<std::uint64_t> seen;
  std::string after;
  do {
    const Answer page = get("/admin/v1/audit/records?action=models.list&limit=4" + after, home_);
    ASSERT_EQ(page.status, 200);
    for (const Json& record : page.body["data"]) {
      seen.push_back(record["sequence"]);
    }
    after = page.body["next_after"].is_null()
                ? ""
                : fmt::format("&after={}", page.body["next_after"].get<std::uint64_t>());
  } while (!after.empty());
  EXPECT_EQ(seen.size(), 6U);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  const Answer newest =
      get("/admin/v1/audit/records?action=models.list&newest=true&limit=1", home_);
  EXPECT_EQ(newest.body["data"][0]["sequence"], seen.back());
}

TEST_F(AuditAdmin, RecordsComeAsATableToo) {
  const std::string answer =
      raw("/admin/v1/audit/records?format=csv&action=models.list&limit=2", home_);
  EXPECT_NE(answer.find("Content-Type: text/csv"), std::string::npos) << answer;
  EXPECT_NE(answer.find("x-next-after: "), std::string::npos);
  const std::string body = answer.substr(answer.find("\r\n\r\n") + 4);
  EXPECT_EQ(std::ranges::count(body, '\n'), 3);
}

TEST_F(AuditAdmin, AParameterThatIsNotOneIsRefusedByName) {
  for (const auto& [query, name] :
       {std::pair("tenat=acme", "tenat"), std::pair("limit=0", "limit"),
        std::pair("limit=10001", "limit"), std::pair("limit=many", "limit"),
        std::pair("after=-1", "after"), std::pair("newest=yes", "newest"),
        std::pair("format=xml", "format"), std::pair("since=yesterday", "since"),
        std::pair("phase=first", "phase"), std::pair("outcome=good", "outcome"),
        std::pair("operation=LOOK", "operation"), std::pair("key=a&key=b", "key")}) {
    const Answer got = get(std::string("/admin/v1/audit/records?") + query, home_);
    EXPECT_EQ(got.status, 400) << query;
    EXPECT_EQ(got.body["error"]["param"], name) << query;
  }
}

TEST_F(AuditAdmin, WhatIsAskedForIsOnRecord) {
  get("/admin/v1/audit/records?action=models.list&tenant=acme", home_);
  const audit::Record intent = newest("audit.records", audit::Phase::intent);
  EXPECT_EQ(intent.reason, "action=models.list&tenant=acme");
  EXPECT_EQ(intent.operator_id, "reviewer");
  get("/v1/audit/receipts/some-id", home_);
  EXPECT_EQ(newest("audit.receipt", audit::Phase::result).resource, "some-id");
}

TEST_F(AuditAdmin, AQuestionThatNoRecordHoldsWholeIsRefused) {
  const std::string long_value(audit::kTextBytesMax, 'x');
  for (const char* route : {"records", "export"}) {
    const Answer got = get(fmt::format("/admin/v1/audit/{}?key={}", route, long_value), home_);
    EXPECT_EQ(got.status, 400) << route;
    EXPECT_EQ(got.body["error"]["param"], "query") << route;
  }
  EXPECT_EQ(newest("audit.export", audit::Phase::result).outcome, audit::Outcome::refused);
}

TEST_F(AuditAdmin, AnExportOfAllHoldsAndIsWhole) {
  const std::string answer = raw("/admin/v1/audit/export", home_);
  EXPECT_NE(answer.find("content-type: application/x-ndjson"), std::string::npos)
      << answer.substr(0, 500);
  const auto report = check_export(unchunked(answer));
  EXPECT_TRUE(report.intact()) << report.line << ": " << report.why;
  EXPECT_TRUE(report.whole);
  EXPECT_GE(report.records, 12U);
  const audit::Record result = newest("audit.export", audit::Phase::result);
  EXPECT_EQ(result.outcome, audit::Outcome::success);
  EXPECT_GT(result.bytes_out, 1000U);
}

TEST_F(AuditAdmin, AnExportByAnotherTenantIsOfItsOwnAlone) {
  const std::string bytes = unchunked(raw("/admin/v1/audit/export?phase=results", acme_));
  const auto report = check_export(bytes);
  EXPECT_TRUE(report.intact()) << report.line << ": " << report.why;
  EXPECT_FALSE(report.whole);
  EXPECT_EQ(report.records, 3U);
  EXPECT_EQ(Json::parse(bytes.substr(0, bytes.find('\n')))["filters"]["tenant"], "acme");
}

TEST_F(AuditAdmin, AnExportThatCannotBeBegunIsAnsweredWithAnError) {
  EXPECT_EQ(get("/admin/v1/audit/export?limit=5", home_).status, 400);
  EXPECT_EQ(get("/admin/v1/audit/export?outcome=good", home_).status, 400);
  EXPECT_EQ(newest("audit.export", audit::Phase::result).outcome, audit::Outcome::refused);
}

TEST_F(AuditAdmin, TheReportComesInEveryFormat) {
  const std::string path = fmt::format("/admin/v1/audit/reports/{}", kMonth);
  const std::string json = raw(path, home_);
  const std::string body = json.substr(json.find("\r\n\r\n") + 4);
  const Json report = Json::parse(body);
  EXPECT_EQ(report["object"], "audit.report");
  // The digest is of the text as it stands there.
  const std::size_t from = body.find("{\"origin\"");
  const std::size_t until = body.find(",\"figures_sha256\"");
  EXPECT_EQ(report["figures_sha256"],
            to_hex(crypto::view(crypto::sha256(body.substr(from, until - from)))));
  EXPECT_NE(raw(path + "?format=html&language=zh", home_).find("text/html"), std::string::npos);
  EXPECT_EQ(get("/admin/v1/audit/reports/2001-13", home_).status, 400);
  EXPECT_EQ(get(path + "?format=doc", home_).status, 400);
  EXPECT_EQ(get(path, acme_).status, 403);
}

TEST_F(AuditAdmin, ASignOffStandsInTheReport) {
  const std::string path = fmt::format("/admin/v1/audit/reports/{}", kMonth);
  const std::string sha256 = get(path, home_).body["figures_sha256"];
  const Answer signed_off =
      sign_off(kMonth, {{"figures_sha256", sha256}, {"note", "as expected"}}, home_);
  ASSERT_EQ(signed_off.status, 200) << signed_off.body.dump();
  const Json report = get(path, home_).body;
  ASSERT_EQ(report["sign_offs"].size(), 1U);
  EXPECT_EQ(report["sign_offs"][0]["reviewer"], "reviewer");
  EXPECT_EQ(report["sign_offs"][0]["figures_sha256"], sha256);
  EXPECT_EQ(report["sign_offs"][0]["note"], "as expected");
  EXPECT_EQ(report["figures_sha256"], sha256);
}

TEST_F(AuditAdmin, NobodySignsOffOtherFiguresOrAMonthThatIsNotOver) {
  const Answer other = sign_off(kMonth, {{"figures_sha256", std::string(64, '0')}}, home_);
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(other.code(), "figures_changed");
  const std::string future = "2999-01";
  const std::string sha256 = get("/admin/v1/audit/reports/" + future, home_).body["figures_sha256"];
  const Answer early = sign_off(future, {{"figures_sha256", sha256}}, home_);
  EXPECT_EQ(early.status, 409);
  EXPECT_EQ(early.code(), "month_not_over");
  EXPECT_EQ(sign_off(kMonth, {{"figures_sha256", sha256}}, acme_).status, 403);
  EXPECT_EQ(get(fmt::format("/admin/v1/audit/reports/{}", kMonth), home_).body["sign_offs"].size(),
            0U);
}

TEST_F(AuditAdmin, ASignOffThatItsRecordCannotHoldIsRefused) {
  const std::string sha256(64, 'a');
  EXPECT_TRUE(
      read_sign_off(Json{{"figures_sha256", sha256}, {"note", std::string(191, 'n')}}.dump()));
  EXPECT_FALSE(
      read_sign_off(Json{{"figures_sha256", sha256}, {"note", std::string(192, 'n')}}.dump()));
  std::string chinese;
  for (int i = 0; i < 31; ++i) {
    chinese += "核";
  }
  EXPECT_TRUE(read_sign_off(Json{{"figures_sha256", sha256}, {"note", chinese}}.dump()));
  EXPECT_FALSE(read_sign_off(Json{{"figures_sha256", sha256}, {"note", chinese + "核"}}.dump()));
  for (const char* body :
       {"", "[]", R"({"note":"x"})", R"({"figures_sha256":1})", R"({"figures_sha256":"AA"})"}) {
    EXPECT_FALSE(read_sign_off(body)) << body;
  }
}

TEST_F(AuditAdmin, TheStatusNamesPlacesToTheHomeTenantAlone) {
  const Json home = get("/admin/v1/audit/status", home_).body;
  EXPECT_EQ(home["log"]["state"], "writing");
  EXPECT_TRUE(home.contains("places"));
  const Json acme = get("/admin/v1/audit/status", acme_).body;
  EXPECT_EQ(acme["object"], "audit.status");
  EXPECT_FALSE(acme.contains("places"));
}

TEST_F(AuditAdmin, TheRoutesActionIsTheOneThatTheReportReadsBack) {
  EXPECT_EQ(match_route("POST", "/admin/v1/audit/reports/2026-11/sign-off").route->action,
            review::kSignOffAction);
}

}  // namespace
}  // namespace deepmoat::gateway
