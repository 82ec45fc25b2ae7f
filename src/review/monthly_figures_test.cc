#include "review/monthly_figures.h"

#include <gtest/gtest.h>

#include "review/scratch_index.h"

namespace deepmoat::review {
namespace {

constexpr UnixMillis kNovember = 1'793'491'200'000;  // 2026-11-01T00:00:00Z
constexpr UnixMillis kDecember = kNovember + 30 * kDayMs;

MonthlyReport report_of(ScratchIndex& scratch, std::string_view month = "2026-11",
                        UnixMillis now_ms = kDecember) {
  scratch.catch_up();
  auto report = monthly_figures(*scratch.index, month, now_ms, "deepmoat/test");
  EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
  return report ? *std::move(report) : MonthlyReport{};
}

TEST(MonthlyFigures, AreOfTheRecordsBetweenTheMonthsBorders) {
  ScratchIndex scratch(kNovember - 1);
  scratch.append(sample_call());
  scratch.clock.to(kNovember);
  scratch.append(sample_call());
  scratch.clock.to(kDecember - 1);
  scratch.append(sample_call());
  scratch.clock.to(kDecember);
  scratch.append(sample_call());
  const MonthlyReport report = report_of(scratch);
  EXPECT_EQ(report.origin, "deepmoat/test");
  EXPECT_EQ(report.month, "2026-11");
  EXPECT_EQ(report.from_ms, kNovember);
  EXPECT_EQ(report.until_ms, kDecember);
  EXPECT_EQ(report.made_ms, kDecember);
  EXPECT_EQ(report.records, 2U);
  EXPECT_EQ(report.first_sequence, 2U);
  EXPECT_EQ(report.last_sequence, 3U);
  EXPECT_TRUE(report.month_over);
  EXPECT_EQ(report.tenants.at(0).calls, 2U);
  EXPECT_FALSE(report_of(scratch, "2026-11", kDecember - 1).month_over);
  EXPECT_EQ(report_of(scratch, "2026-10").last_sequence, 1U);
  EXPECT_EQ(report_of(scratch, "2026-12").until_ms, kDecember + 31 * kDayMs);
  EXPECT_EQ(report_of(scratch, "2024-02").until_ms - report_of(scratch, "2024-02").from_ms,
            29 * kDayMs);
  const MonthlyReport empty = report_of(scratch, "2027-05");
  EXPECT_EQ(empty.records, 0U);
  EXPECT_EQ(empty.first_sequence, 0U);
  EXPECT_TRUE(empty.tenants.empty());
}

TEST(MonthlyFigures, CountCallsByTenantModelClassAndRoute) {
  ScratchIndex scratch(kNovember);
  scratch.append_both(sample_call());  // its intent is no call
  audit::Record call = sample_call();
  call.tenant = "sales";
  call.route = "cloud";
  call.data_class = "public";
  call.model = "llama";
  scratch.append(call);
  call.outcome = audit::Outcome::failed;
  scratch.append(call);
  call.outcome = audit::Outcome::cancelled;
  scratch.append(call);
  call.outcome = audit::Outcome::refused;
  call.tenant = call.model = call.route = call.data_class = "";
  scratch.append(call);
  scratch.append(sample_change("key.create", "key_1"));  // nor this
  const MonthlyReport report = report_of(scratch);
  ASSERT_EQ(report.tenants.size(), 3U);
  const CallCount& sales = report.tenants[0];
  EXPECT_EQ(sales.name, "sales");
  EXPECT_EQ(sales.calls, 3U);
  EXPECT_EQ(sales.failed, 1U);
  EXPECT_EQ(sales.cancelled, 1U);
  EXPECT_EQ(sales.refused, 0U);
  EXPECT_EQ(sales.tokens_in, 30U);
  EXPECT_EQ(sales.tokens_out, 60U);
  EXPECT_EQ(report.tenants[1].name, "(none)");
  EXPECT_EQ(report.tenants[1].refused, 1U);
  EXPECT_EQ(report.tenants[2].name, "legal");
  EXPECT_EQ(report.models[0].name, "llama");
  EXPECT_EQ(report.data_classes[0].name, "public");
  EXPECT_EQ(report.routes[0].name, "cloud");
  EXPECT_EQ(report.routes[0].calls, 3U);
}

TEST(MonthlyFigures, SayWhatLeftTheBuilding) {
  ScratchIndex scratch(kNovember);
  audit::Record call = sample_call();
  scratch.append(call);  // local
  call.route = "cloud";
  scratch.append(call);
  scratch.append(call);
  call.outcome = audit::Outcome::refused;
  scratch.append(call);
  call.outcome = audit::Outcome::cancelled;
  call.data_class = "public";
  call.bytes_out = 7;
  scratch.append(call);
  call.route = "";
  scratch.append(call);
  const MonthlyReport report = report_of(scratch);
  ASSERT_EQ(report.egress.size(), 2U);
  EXPECT_EQ(report.egress[0].route, "cloud");
  EXPECT_EQ(report.egress[0].data_class, "internal");
  EXPECT_EQ(report.egress[0].tenant, "legal");
  EXPECT_EQ(report.egress[0].calls, 2U);
  EXPECT_EQ(report.egress[0].bytes_out, 200U);
  EXPECT_EQ(report.egress[1].data_class, "public");
  EXPECT_EQ(report.egress[1].bytes_out, 7U);
}

TEST(MonthlyFigures, CountRefusalsWithTheirKeysAndAddresses) {
  ScratchIndex scratch(kNovember);
  audit::Record refused = sample_call();
  refused.outcome = audit::Outcome::refused;
  refused.reason = "rate_limit_exceeded";
  scratch.append(refused);
  refused.ip_address = "10.0.0.2";
  scratch.append(refused);
  refused.key_id = "";
  scratch.append(refused);
  refused.operation = audit::Operation::read;
  refused.reason = "invalid_api_key";
  scratch.append(refused);
  refused.outcome = audit::Outcome::failed;
  scratch.append(refused);
  const MonthlyReport report = report_of(scratch);
  ASSERT_EQ(report.refusals.size(), 2U);
  EXPECT_EQ(report.refusals[0].reason, "rate_limit_exceeded");
  EXPECT_EQ(report.refusals[0].count, 3U);
  EXPECT_EQ(report.refusals[0].keys, 1U);
  EXPECT_EQ(report.refusals[0].addresses, 2U);
  EXPECT_EQ(report.refusals[1].reason, "invalid_api_key");
  EXPECT_EQ(report.refusals[1].keys, 0U);
}

TEST(MonthlyFigures, ListTheChangesThatCount) {
  ScratchIndex scratch(kNovember + 8 * kHour);
  const std::vector<std::string> counted{
      "key.create",      "person.remove",        "tenant.change", "second_factor.enrol",
      "approval.refuse", "certificate.issue",    "webhook.add",   "custody.roll",
      "model.import",    "model.remove",         "model.pin",     "model.unpin",
      "audit.retention", "audit.report.sign_off"};
  for (const std::string& action : counted) {
    scratch.append(sample_change(action, "x"));
  }
  for (const char* const action : {"model.load", "session.open", "keys", "Key.create"}) {
    scratch.append(sample_change(action, "x"));
  }
  audit::Record look = sample_change("key.list", "");
  look.operation = audit::Operation::read;
  scratch.append(look);
  audit::Record erase = sample_change("webhook.remove", "x");
  erase.operation = audit::Operation::erase;
  scratch.append(erase);
  const MonthlyReport report = report_of(scratch);
  ASSERT_EQ(report.changes.size(), counted.size() + 1);
  for (std::size_t i = 0; i < counted.size(); ++i) {
    EXPECT_EQ(report.changes[i].action, counted[i]);
    EXPECT_EQ(report.changes[i].sequence, i + 1);
  }
  EXPECT_EQ(report.changes.back().action, "webhook.remove");
  EXPECT_EQ(report.changes_left_out, 0U);
}

TEST(MonthlyFigures, SayOfAChangeWhatItWasAndWhyItFailed) {
  ScratchIndex scratch(kNovember + 8 * kHour);
  audit::Record intent = sample_change("key.create", "");
  intent.phase = audit::Phase::intent;
  intent.outcome = audit::Outcome::pending;
  intent.reason = "role=user";
  audit::Record result = sample_change("key.create", "key_7");
  result.intent_sequence = scratch.append(intent);
  scratch.append(result);
  result.intent_sequence = scratch.append(intent);
  result.outcome = audit::Outcome::refused;
  result.reason = "already_exists";
  scratch.append(result);
  const MonthlyReport report = report_of(scratch);
  ASSERT_EQ(report.changes.size(), 2U);
  EXPECT_EQ(report.changes[0].unix_ms, kNovember + 8 * kHour);
  EXPECT_EQ(report.changes[0].sequence, 2U);
  EXPECT_EQ(report.changes[0].resource, "key_7");
  EXPECT_EQ(report.changes[0].tenant, "default");
  EXPECT_EQ(report.changes[0].operator_id, "alice");
  EXPECT_EQ(report.changes[0].outcome, "success");
  EXPECT_EQ(report.changes[0].reason, "role=user");
  EXPECT_EQ(report.changes[1].outcome, "refused");
  EXPECT_EQ(report.changes[1].reason, "already_exists");
}

TEST(MonthlyFigures, LeaveOutNoMoreThanTheySay) {
  ScratchIndex scratch(kNovember + 8 * kHour);
  for (std::size_t i = 1; i < kChangesMax + 3; ++i) {
    scratch.log->append(sample_change("key.create", "x"), [](Result<std::uint64_t>) {});
  }
  audit::Record call = sample_call();
  for (std::size_t i = 0; i < kFigureNamesMax + 2; ++i) {
    call.model = "model-" + std::to_string(10'000 + i);
    scratch.log->append(call, [](Result<std::uint64_t>) {});
  }
  scratch.append(sample_change("key.create", "x"));
  const MonthlyReport report = report_of(scratch);
  EXPECT_EQ(report.changes.size(), kChangesMax);
  EXPECT_EQ(report.changes_left_out, 3U);
  ASSERT_EQ(report.models.size(), kFigureNamesMax);
  EXPECT_EQ(report.models[kFigureNamesMax - 2].name, "model-10998");
  EXPECT_EQ(report.models.back().name, "(others)");
  EXPECT_EQ(report.models.back().calls, 3U);
  EXPECT_EQ(report.models.back().tokens_in, 30U);
}

TEST(MonthlyFigures, HaveTheSignOffsOfTheirMonth) {
  ScratchIndex scratch(kNovember + 8 * kHour);
  scratch.append(sample_call());
  const std::string digest = report_of(scratch).figures_sha256;
  scratch.clock.to(kDecember + 9 * kHour);
  const auto sign = [&](const std::string& month, const std::string& reason,
                        audit::Outcome outcome) {
    audit::Record intent = sample_change(std::string(kSignOffAction), month);
    intent.phase = audit::Phase::intent;
    intent.outcome = audit::Outcome::pending;
    intent.reason = reason;
    audit::Record result = sample_change(std::string(kSignOffAction), month);
    result.outcome = outcome;
    result.intent_sequence = scratch.append(intent);
    scratch.append(result);
  };
  sign("2026-11", digest + " read, one question open", audit::Outcome::success);
  sign("2026-11", digest, audit::Outcome::success);
  sign("2026-10", digest + " another month", audit::Outcome::success);
  sign("2026-11", digest + " no right", audit::Outcome::refused);
  sign("2026-11", digest.substr(1) + " no digest", audit::Outcome::success);
  sign("2026-11", digest + "x", audit::Outcome::success);
  audit::Record in_result = sample_change(std::string(kSignOffAction), "2026-11");
  in_result.operator_id = "bob";
  in_result.reason = digest + " by the result";
  scratch.append(in_result);
  const MonthlyReport report = report_of(scratch);
  ASSERT_EQ(report.sign_offs.size(), 3U);
  EXPECT_EQ(report.sign_offs[0].reviewer, "alice");
  EXPECT_EQ(report.sign_offs[0].unix_ms, kDecember + 9 * kHour);
  EXPECT_EQ(report.sign_offs[0].report_sha256, digest);
  EXPECT_EQ(report.sign_offs[0].note, "read, one question open");
  EXPECT_EQ(report.sign_offs[1].note, "");
  EXPECT_EQ(report.sign_offs[2].reviewer, "bob");
  EXPECT_EQ(report.figures_sha256, digest) << "signing changes no figure";
}

TEST(MonthlyFigures, HaveADigestOfTheFiguresAlone) {
  ScratchIndex scratch(kNovember + 8 * kHour);
  scratch.append(sample_call());
  MonthlyReport report = report_of(scratch);
  const std::string digest = report.figures_sha256;
  EXPECT_EQ(digest, figures_sha256(report));
  EXPECT_EQ(report_of(scratch, "2026-11", kDecember + 1).figures_sha256, digest);
  EXPECT_NE(report_of(scratch, "2026-11", kDecember - 1).figures_sha256, digest);
  report.checkpoint = "x";
  report.sign_offs.emplace_back();
  report.made_ms = 7;
  EXPECT_EQ(figures_sha256(report), digest);
  // Every figure counts.
  const std::vector<std::function<void(MonthlyReport&)>> changes{
      [](auto& r) { r.origin += "x"; },
      [](auto& r) { r.month += "x"; },
      [](auto& r) { ++r.from_ms; },
      [](auto& r) { ++r.until_ms; },
      [](auto& r) { ++r.first_sequence; },
      [](auto& r) { ++r.last_sequence; },
      [](auto& r) { ++r.records; },
      [](auto& r) { r.month_over = false; },
      [](auto& r) { ++r.tenants[0].calls; },
      [](auto& r) { ++r.models[0].refused; },
      [](auto& r) { ++r.data_classes[0].failed; },
      [](auto& r) { ++r.routes[0].cancelled; },
      [](auto& r) { ++r.routes[0].tokens_in; },
      [](auto& r) { ++r.routes[0].tokens_out; },
      [](auto& r) { r.routes[0].name += "x"; },
      [](auto& r) { r.egress.emplace_back(); },
      [](auto& r) { r.refusals.emplace_back(); },
      [](auto& r) { r.changes.emplace_back(); },
      [](auto& r) { ++r.changes_left_out; },
      [](auto& r) { r.anomalies.emplace_back(); }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    MonthlyReport changed = report;
    changes[i](changed);
    EXPECT_NE(figures_sha256(changed), digest) << i;
  }
}

TEST(MonthlyFigures, HaveACanonicalTextThatOthersCanWrite) {
  MonthlyReport report{.origin = "a\"b\xe6\xb3\x95\x01", .month = "2026-11", .from_ms = 1};
  report.month_over = true;
  report.tenants.push_back({.name = "legal", .calls = 3, .refused = 1, .tokens_out = 9});
  report.egress.push_back({.route = "cloud", .data_class = "public", .tenant = "t", .calls = 1});
  report.refusals.push_back({.reason = "r", .count = 1, .keys = 2, .addresses = 3});
  report.changes.push_back({.unix_ms = 5, .sequence = 6, .action = "key.create"});
  report.anomalies.push_back({.kind = AnomalyKind::leaked_key, .count = 1, .subject = "key_1"});
  EXPECT_EQ(canonical_figures(report),
            R"({"origin":"a\"b\u6cd5\u0001","month":"2026-11","from_ms":1,"until_ms":0,)"
            R"("first_sequence":0,"last_sequence":0,"records":0,"month_over":true,)"
            R"("tenants":[{"name":"legal","calls":3,"refused":1,"failed":0,"cancelled":0,)"
            R"("tokens_in":0,"tokens_out":9}],"models":[],"data_classes":[],"routes":[],)"
            R"("egress":[{"route":"cloud","data_class":"public","tenant":"t","calls":1,)"
            R"("bytes_out":0}],"refusals":[{"reason":"r","count":1,"keys":2,"addresses":3}],)"
            R"("changes":[{"unix_ms":5,"sequence":6,"action":"key.create","resource":"",)"
            R"("tenant":"","operator_id":"","outcome":"","reason":""}],"changes_left_out":0,)"
            R"("anomalies":[{"kind":"leaked_key","count":1,"subject":"key_1","first_ms":0,)"
            R"("first_sequence":0}]})");
}

TEST(MonthlyFigures, RefuseWhatIsNoMonthAndAnIndexThatIsBeingMade) {
  ScratchIndex scratch(kNovember);
  EXPECT_EQ(monthly_figures(*scratch.index, "2026-11", 0, "").error().code, Code::unavailable);
  scratch.catch_up();
  for (const std::string_view month : {"", "2026", "2026-1", "2026-13", "2026-00", "2026/11",
                                       "2026-11-01", "1969-12", "-026-11", "2026-+1"}) {
    EXPECT_EQ(monthly_figures(*scratch.index, month, 0, "").error().code, Code::invalid_argument)
        << month;
  }
}

TEST(MonthlyFigures, CanBeMadeTwiceAndCountHostileNames) {
  ScratchIndex scratch(kNovember);
  audit::Record call = sample_call();
  call.tenant = "'; DROP TABLE records; --";
  call.model = std::string("a\0b", 3);
  scratch.append(call);
  EXPECT_EQ(report_of(scratch).tenants.at(0).name, call.tenant);
  EXPECT_EQ(report_of(scratch).models.at(0).name, call.model);
}

}  // namespace
}  // namespace deepmoat::review
