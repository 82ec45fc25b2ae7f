// Every kind of anomaly with a month in which it is one, and one just below its threshold.
#include "review/anomalies.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "review/monthly_figures.h"
#include "review/scratch_index.h"

namespace deepmoat::review {
namespace {

constexpr UnixMillis kNovember = 1'793'491'200'000;  // 2026-11-01T00:00:00Z
constexpr UnixMillis kDecember = kNovember + 30 * kDayMs;
constexpr UnixMillis kOctober = kNovember - 31 * kDayMs;

class Anomalies : public testing::Test {
 protected:
  Anomalies() : scratch(kOctober) {}

  // Of one kind, in November.
  std::vector<Anomaly> found(AnomalyKind kind) {
    scratch.catch_up();
    const auto report = monthly_figures(*scratch.index, "2026-11", kDecember, "test");
    EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
    std::vector<Anomaly> of_kind;
    if (report) {
      std::ranges::copy_if(report->anomalies, std::back_inserter(of_kind),
                           [kind](const Anomaly& one) { return one.kind == kind; });
    }
    return of_kind;
  }
  std::uint64_t call_at(UnixMillis unix_ms, const std::string& key = "key_1",
                        const std::string& address = "10.0.0.1") {
    scratch.clock.to(unix_ms);
    audit::Record record = sample_call();
    record.key_id = key;
    record.ip_address = address;
    return scratch.append(record);
  }
  void refuse_at(UnixMillis unix_ms, int count, const std::string& address = "10.6.6.6") {
    scratch.clock.to(unix_ms);
    audit::Record record = sample_call();
    record.outcome = audit::Outcome::refused;
    record.reason = "invalid_api_key";
    record.ip_address = address;
    for (int i = 0; i < count; ++i) {
      scratch.append(record);
    }
  }
  void calls_on(UnixMillis day, int count, const std::string& tenant = "legal") {
    scratch.clock.to(day);
    audit::Record record = sample_call();
    record.tenant = tenant;
    for (int i = 0; i < count; ++i) {
      scratch.append(record);
    }
  }

  ScratchIndex scratch;
};

TEST_F(Anomalies, OfAQuietMonthAreNone) {
  call_at(kOctober + 20 * kDayMs);
  for (int day = 0; day < 30; ++day) {
    call_at(kNovember + day * kDayMs + 8 * kHour);
  }
  scratch.catch_up();
  const auto report = monthly_figures(*scratch.index, "2026-11", kDecember, "test");
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->records, 30U);
  EXPECT_TRUE(report->anomalies.empty());
}

TEST_F(Anomalies, UnfinishedCallsAreIntentsWithoutAResult) {
  audit::Record intent = sample_call();
  intent.phase = audit::Phase::intent;
  intent.outcome = audit::Outcome::pending;
  scratch.clock.to(kNovember - 1);
  scratch.append(intent);
  scratch.clock.to(kNovember);
  scratch.append_both(sample_call());
  EXPECT_TRUE(found(AnomalyKind::unfinished_calls).empty());
  scratch.clock.pass(5);
  const std::uint64_t first = scratch.append(intent);
  scratch.append(intent);
  scratch.clock.to(kDecember);
  scratch.append(intent);
  const auto all = found(AnomalyKind::unfinished_calls);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].count, 2U);
  EXPECT_EQ(all[0].subject, "legal");
  EXPECT_EQ(all[0].first_ms, kNovember + 5);
  EXPECT_EQ(all[0].first_sequence, first);
}

TEST_F(Anomalies, ANewAddressIsOneThatTheKeyWasNotUsedFromForThirtyDays) {
  const UnixMillis use = kNovember + 10 * kDayMs;
  call_at(use - 30 * kDayMs - 1, "key_a", "10.0.0.1");  // a moment too long ago
  call_at(use - 30 * kDayMs, "key_b", "10.0.0.2");      // just not
  call_at(use - 1, "key_c", "10.0.0.3");
  const std::uint64_t first = call_at(use, "key_a", "10.0.0.1");
  call_at(use, "key_b", "10.0.0.2");
  call_at(use, "key_c", "10.0.0.3");
  call_at(use, "key_d", "10.0.0.4");  // a new key
  auto all = found(AnomalyKind::new_address);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].subject, "key_a");
  EXPECT_EQ(all[0].count, 1U);
  EXPECT_EQ(all[0].first_ms, use);
  EXPECT_EQ(all[0].first_sequence, first);
  // Another key's address is none of this one's, and a new key has a known address by now.
  const std::uint64_t second = call_at(use + kHour, "key_d", "10.0.0.3");
  call_at(use + 2 * kHour, "key_d", "10.0.0.5");
  call_at(use + 3 * kHour, "key_d", "10.0.0.4");
  all = found(AnomalyKind::new_address);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1].subject, "key_d");
  EXPECT_EQ(all[1].count, 2U);
  EXPECT_EQ(all[1].first_sequence, second);
}

TEST_F(Anomalies, ARefusalBurstIsTwentyRefusalsOfAnAddressInAMinute) {
  refuse_at(kNovember + kHour, 19);
  refuse_at(kNovember + kHour + 60'001, 1);
  refuse_at(kNovember + 3 * kHour, 10, "10.6.6.7");  // two that make twenty together
  refuse_at(kNovember + 3 * kHour, 10, "10.6.6.8");
  EXPECT_TRUE(found(AnomalyKind::refusal_burst).empty());
  refuse_at(kNovember + 5 * kHour, 19);
  refuse_at(kNovember + 5 * kHour + 60'000, 1);
  const auto all = found(AnomalyKind::refusal_burst);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].subject, "10.6.6.6");
  EXPECT_EQ(all[0].count, 40U);
  EXPECT_EQ(all[0].first_ms, kNovember + 5 * kHour);
  EXPECT_EQ(all[0].first_sequence, 41U);
}

TEST_F(Anomalies, ARefusalBurstOverTheMonthsBorderIsOfTheMonthInWhichItIsOne) {
  refuse_at(kNovember - 30'000, 19);
  refuse_at(kNovember + 30'000, 1);
  const auto all = found(AnomalyKind::refusal_burst);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].count, 1U);
  EXPECT_EQ(all[0].first_ms, kNovember - 30'000);
  EXPECT_EQ(all[0].first_sequence, 1U);
  refuse_at(kDecember - 30'000, 19, "10.7.7.7");
  refuse_at(kDecember, 1, "10.7.7.7");
  EXPECT_EQ(found(AnomalyKind::refusal_burst).size(), 1U);
}

TEST_F(Anomalies, ACallSurgeIsMoreThanFiveTimesTheMedianDay) {
  for (int day = 0; day < 4; ++day) {
    calls_on(kNovember + day * kDayMs, 2);
    calls_on(kNovember + day * kDayMs, 50, "sales");  // whose days say nothing about legal's
  }
  calls_on(kNovember + 4 * kDayMs, 10);
  EXPECT_TRUE(found(AnomalyKind::call_surge).empty());
  calls_on(kNovember + 5 * kDayMs + 3, 11);
  const auto all = found(AnomalyKind::call_surge);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].subject, "legal");
  EXPECT_EQ(all[0].count, 11U);
  EXPECT_EQ(all[0].first_ms, kNovember + 5 * kDayMs + 3);
  EXPECT_EQ(all[0].first_sequence, 219U);
}

TEST_F(Anomalies, ACallSurgeIsSeenAgainstTheThirtyDaysBeforeTheMonth) {
  calls_on(kNovember - 31 * kDayMs, 400);  // a day too long ago
  for (int day = 2; day <= 4; ++day) {
    calls_on(kNovember - day * kDayMs, 2);
  }
  calls_on(kNovember - kDayMs, 99);  // of another month's report
  calls_on(kNovember, 11);
  const auto all = found(AnomalyKind::call_surge);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].count, 11U);
}

TEST_F(Anomalies, TheMedianOfAnEvenNumberOfDaysLiesBetweenTheMiddleTwo) {
  calls_on(kNovember, 1);
  calls_on(kNovember + kDayMs, 2);
  calls_on(kNovember + 2 * kDayMs, 3);  // median 2.5 with the next
  calls_on(kNovember + 3 * kDayMs, 12);
  EXPECT_TRUE(found(AnomalyKind::call_surge).empty());
  calls_on(kNovember + 3 * kDayMs + 1, 1);
  EXPECT_EQ(found(AnomalyKind::call_surge).size(), 1U);
}

TEST_F(Anomalies, NightAdministrationIsFromTenToSixInTheRoleOfAnAdministrator) {
  const auto change_at = [&](UnixMillis time_of_day, const std::string& role) {
    scratch.clock.to(kNovember + kDayMs + time_of_day);
    audit::Record record = sample_change("key.create", "key_5");
    record.role = role;
    return scratch.append(record);
  };
  change_at(6 * kHour, "admin");
  scratch.append(sample_change("key.change", "key_5"));
  audit::Record look = sample_change("key.list", "");
  look.operation = audit::Operation::read;
  change_at(22 * kHour - 1, "admin");
  change_at(22 * kHour, "operator");
  scratch.append(look);
  scratch.append(sample_call());
  scratch.append(sample_change("model.load", "qwen"));
  EXPECT_TRUE(found(AnomalyKind::night_administration).empty());
  const std::uint64_t first = change_at(22 * kHour, "admin");
  change_at(30 * kHour - 1, "admin");
  const auto all = found(AnomalyKind::night_administration);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].subject, "alice");
  EXPECT_EQ(all[0].count, 2U);
  EXPECT_EQ(all[0].first_ms, kNovember + kDayMs + 22 * kHour);
  EXPECT_EQ(all[0].first_sequence, first);
}

TEST_F(Anomalies, AClockStepIsAJumpByMoreThanAnHour) {
  call_at(kNovember);
  call_at(kNovember + 5 * kDayMs);  // nobody asked for days
  scratch.clock.step(kHour);
  call_at(kNovember + 6 * kDayMs);
  scratch.clock.step(-kHour);
  call_at(kNovember + 6 * kDayMs + 1);
  EXPECT_TRUE(found(AnomalyKind::clock_step).empty());
  scratch.clock.step(kHour + 1);
  const std::uint64_t first = scratch.append(sample_call());
  scratch.clock.step(-kHour - 1);
  scratch.append(sample_call());
  const auto all = found(AnomalyKind::clock_step);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].count, 2U);
  EXPECT_EQ(all[0].subject, "forward");
  EXPECT_EQ(all[0].first_ms, kNovember + 6 * kDayMs + 1 + kHour + 1);
  EXPECT_EQ(all[0].first_sequence, first - 1) << "the log's own record of it";
}

TEST_F(Anomalies, ARestartOfTheMachineIsNoClockStep) {
  call_at(kNovember);
  scratch.clock.boot(2 * kDayMs, 60'000);
  scratch.append(sample_call());
  scratch.clock.boot(2 * kDayMs, 120'000);  // on for longer than it was before
  scratch.append(sample_call());
  EXPECT_TRUE(found(AnomalyKind::clock_step).empty());
  scratch.clock.boot(-2 * kHour, 60'000);  // it came up in the past
  scratch.append(sample_call());
  const auto all = found(AnomalyKind::clock_step);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].subject, "backward");
}

TEST_F(Anomalies, ALeakedKeyIsOneThatWasReported) {
  scratch.clock.to(kNovember + 8 * kHour);
  audit::Record refused = sample_change("key.leak", "key_0");
  refused.outcome = audit::Outcome::refused;
  scratch.append(refused);
  scratch.append(sample_change("key.revoke", "key_1"));
  EXPECT_TRUE(found(AnomalyKind::leaked_key).empty());
  const std::uint64_t first = scratch.append_both(sample_change("key.leak", "key_2"));
  const auto all = found(AnomalyKind::leaked_key);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].subject, "key_2");
  EXPECT_EQ(all[0].count, 1U);
  EXPECT_EQ(all[0].first_sequence, first);
}

TEST_F(Anomalies, OfOneKindAreBounded) {
  scratch.clock.to(kNovember + 8 * kHour);
  for (std::size_t i = 0; i < kAnomaliesMax + 5; ++i) {
    scratch.log->append(sample_change("key.leak", "key_" + std::to_string(i)),
                        [](Result<std::uint64_t>) {});
  }
  scratch.append(sample_change("key.leak", "key_last"));
  const auto all = found(AnomalyKind::leaked_key);
  ASSERT_EQ(all.size(), kAnomaliesMax);
  EXPECT_EQ(all[kAnomaliesMax - 2].subject, "key_" + std::to_string(kAnomaliesMax - 2));
  EXPECT_EQ(all.back().subject, "(others)");
  EXPECT_EQ(all.back().count, 7U);
}

}  // namespace
}  // namespace deepmoat::review
