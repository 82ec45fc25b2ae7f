#include "review/query.h"

#include <gtest/gtest.h>

#include "review/scratch_index.h"

namespace deepmoat::review {
namespace {

constexpr UnixMillis kStart = 1'800'000'000'000;
using Sequences = std::vector<std::uint64_t>;

// Sequence 1 differs from 2 in every field that a filter asks for; 3 is an intent without a result,
// 4 one with the result 5.
class Query : public testing::Test {
 protected:
  Query() : scratch(kStart) {
    scratch.append(sample_call());
    audit::Record other = sample_change("key.create", "key_9");
    other.tenant = "sales";
    other.model = "llama";
    other.route = "cloud";
    other.data_class = "public";
    other.outcome = audit::Outcome::refused;
    other.reason = "permission_denied";
    scratch.clock.pass(1000);
    scratch.append(other);
    audit::Record open = sample_call();
    open.phase = audit::Phase::intent;
    open.outcome = audit::Outcome::pending;
    open.tenant = "open";
    scratch.clock.pass(1000);
    scratch.append(open);
    audit::Record both = sample_call();
    both.tenant = "both";
    scratch.append_both(both);
    scratch.catch_up();
  }

  Sequences find(const Filter& filter) { return sequences(*scratch.index, filter); }

  ScratchIndex scratch;
};

TEST_F(Query, WithoutAFilterHasOneRowAnOperation) {
  EXPECT_EQ(find({}), (Sequences{1, 2, 3, 5}));
}

TEST_F(Query, FiltersByEveryField) {
  EXPECT_EQ(find({.tenant = "sales"}), Sequences{2});
  EXPECT_EQ(find({.key_id = "ses_1"}), Sequences{2});
  EXPECT_EQ(find({.operator_id = "alice"}), Sequences{2});
  EXPECT_EQ(find({.model = "llama"}), Sequences{2});
  EXPECT_EQ(find({.route = "cloud"}), Sequences{2});
  EXPECT_EQ(find({.data_class = "public"}), Sequences{2});
  EXPECT_EQ(find({.action = "key.create"}), Sequences{2});
  EXPECT_EQ(find({.operation = "WRITE"}), Sequences{2});
  EXPECT_EQ(find({.outcome = "refused"}), Sequences{2});
  EXPECT_EQ(find({.reason = "permission_denied"}), Sequences{2});
  EXPECT_EQ(find({.request_id = "req_2"}), Sequences{2});
  EXPECT_EQ(find({.ip_address = "10.0.0.9"}), Sequences{2});
  EXPECT_EQ(find({.tenant = "sales", .model = "qwen"}), Sequences{});
  EXPECT_EQ(find({.tenant = "sale"}), Sequences{});
  EXPECT_EQ(find({.tenant = "SALES"}), Sequences{});
}

TEST_F(Query, TakesTimesFromIncludedToExcluded) {
  EXPECT_EQ(find({.since_ms = kStart + 1000}), (Sequences{2, 3, 5}));
  EXPECT_EQ(find({.since_ms = kStart + 1001}), (Sequences{3, 5}));
  EXPECT_EQ(find({.until_ms = kStart + 1000}), Sequences{1});
  EXPECT_EQ(find({.until_ms = kStart + 1001}), (Sequences{1, 2}));
  EXPECT_EQ(find({.since_ms = kStart + 1000, .until_ms = kStart + 1001}), Sequences{2});
}

TEST_F(Query, FiltersByPhase) {
  EXPECT_EQ(find({.phase = PhaseFilter::all}), (Sequences{1, 2, 3, 4, 5}));
  EXPECT_EQ(find({.phase = PhaseFilter::intents}), (Sequences{3, 4}));
  EXPECT_EQ(find({.phase = PhaseFilter::results}), (Sequences{1, 2, 5}));
  EXPECT_EQ(find({.outcome = "pending"}), Sequences{3});
}

TEST_F(Query, GoesOnWhereTheLastPageEnded) {
  EXPECT_EQ(find({.limit = 2}), (Sequences{1, 2}));
  EXPECT_EQ(find({.limit = 2, .after_sequence = 2}), (Sequences{3, 5}));
  EXPECT_EQ(find({.limit = 2, .newest_first = true}), (Sequences{5, 3}));
  EXPECT_EQ(find({.limit = 2, .after_sequence = 3, .newest_first = true}), (Sequences{2, 1}));
  EXPECT_EQ(find({.since_ms = kStart, .limit = 2, .newest_first = true}), (Sequences{5, 3}));
}

TEST_F(Query, FindsTheSameOfATenantWithManyRowsAsOfOneWithFew) {
  audit::Record call = sample_call();
  call.tenant = "busy";
  call.operator_id = "batch";
  for (std::uint64_t i = 6; i <= 25'005; ++i) {
    call.model = i % 5000 == 0 ? "rare" : "qwen";
    scratch.log->append(call, [](Result<std::uint64_t>) {});
  }
  call.tenant = "sales";
  scratch.append(call);  // 25'006
  scratch.catch_up();
  const Sequences rare{5000, 10'000, 15'000, 20'000, 25'000};
  EXPECT_EQ(find({.tenant = "busy", .model = "rare"}), rare);
  EXPECT_EQ(find({.operator_id = "batch", .model = "rare"}), rare);
  EXPECT_EQ(find({.operator_id = "person:batch"}), Sequences{});
  EXPECT_EQ(find({.tenant = "busy", .limit = 2}), (Sequences{6, 7}));
  EXPECT_EQ(find({.tenant = "busy", .limit = 2, .newest_first = true}),
            (Sequences{25'005, 25'004}));
  EXPECT_EQ(find({.tenant = "sales", .operator_id = "batch"}), Sequences{25'006});
  EXPECT_EQ(find({.tenant = "busy", .since_ms = kStart + 2000, .limit = 1}), Sequences{6});
}

TEST_F(Query, TellsPeopleFromClientsOfTheSameName) {
  audit::Record client = sample_call();
  client.operator_id = "alice";
  scratch.append(client);  // 6: a program's key
  audit::Record sign_in = sample_change("session.open", "");
  sign_in.authentication = "none";
  scratch.append(sign_in);  // 7: somebody who says he is alice
  scratch.catch_up();
  EXPECT_EQ(find({.operator_id = "alice"}), (Sequences{2, 6, 7}));
  EXPECT_EQ(find({.operator_id = "person:alice"}), (Sequences{2, 7}));
  EXPECT_EQ(find({.operator_id = "person:crawler"}), Sequences{});
}

TEST_F(Query, RefusesWhatThereIsNot) {
  const auto code = [&](const Filter& filter) {
    return query(*scratch.index, filter, [](const audit::Entry&) {}).error();
  };
  EXPECT_EQ(code({.limit = 0}).code, Code::invalid_argument);
  EXPECT_EQ(code({.limit = kQueryRowsMax + 1}).code, Code::invalid_argument);
  EXPECT_TRUE(code({.operation = "write"}).message.starts_with("operation: one of READ, WRITE"));
  EXPECT_TRUE(code({.outcome = "ok"}).message.starts_with("outcome: one of pending"));
  EXPECT_EQ(code({.data_class = "secret"}).message,
            "class: one of public, internal, sensitive, restricted");
}

TEST_F(Query, RefusesASpanThatNothingFits) {
  for (const UnixMillis until_ms : {kStart - 1, kStart}) {
    const auto refused = query(*scratch.index, {.since_ms = kStart, .until_ms = until_ms},
                               [](const audit::Entry&) {});
    ASSERT_FALSE(refused.has_value()) << until_ms;
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
    EXPECT_TRUE(refused.error().message.starts_with("until: ")) << refused.error().message;
  }
}

TEST(CheckFilter, NamesWhatACommandNamesTheSame) {
  const auto said = [](const Filter& filter) { return check_filter(filter, "--").error().message; };
  EXPECT_TRUE(said({.limit = 0}).starts_with("--limit: "));
  EXPECT_TRUE(said({.operation = "write"}).starts_with("--operation: one of READ"));
  EXPECT_TRUE(said({.outcome = "ok"}).starts_with("--outcome: one of pending"));
  EXPECT_TRUE(said({.data_class = "secret"}).starts_with("--class: one of public"));
  EXPECT_EQ(said({.since_ms = 1'795'996'800'000, .until_ms = 1'795'996'800'000 - kDayMs}),
            "--until: 2026-11-29T00:00:00.000Z is not after --since, 2026-11-30T00:00:00.000Z");
  for (const char* const name : {"public", "internal", "sensitive", "restricted", ""}) {
    EXPECT_TRUE(check_filter({.data_class = name})) << name;
  }
}

TEST(ParseTime, TakesDatesTimesAgesAndMilliseconds) {
  constexpr UnixMillis kNow = 1'800'000'000'000;
  const auto parsed = [](std::string_view text) {
    return parse_time("--since", text, kNow).value();
  };
  EXPECT_EQ(parsed("2026-11-30"), 1'795'996'800'000);
  EXPECT_EQ(parsed("2026-11-30T12:34:56Z"), 1'796'042'096'000);
  EXPECT_EQ(parsed("2026-11-30T12:34:56.789Z"), 1'796'042'096'789);
  EXPECT_EQ(parsed("2024-02-29"), 1'709'164'800'000);
  EXPECT_EQ(parsed("1970-01-01"), 0);
  EXPECT_EQ(parsed("7d"), kNow - 7 * kDayMs);
  EXPECT_EQ(parsed("24h"), kNow - kDayMs);
  EXPECT_EQ(parsed("90m"), kNow - 90 * 60'000);
  EXPECT_EQ(parsed("1796042096789"), 1'796'042'096'789);
}

TEST(ParseTime, NamesTheFlagOfWhatIsNoTime) {
  for (const std::string_view text : {"",
                                      "yesterday",
                                      "2026",
                                      "2026-13-01",
                                      "2026-02-29",
                                      "2026-11-31",
                                      "2026-1-1",
                                      "2026-11-30T",
                                      "2026-11-30T24:00:00Z",
                                      "2026-11-30T12:60:00Z",
                                      "2026-11-30T12:00:00",
                                      "2026-11-30 12:00:00Z",
                                      "2026-11-30T12:00:00+01:00",
                                      "2026-11-30T12:00:00.7Z",
                                      "7",
                                      "7w",
                                      "-7d",
                                      "d",
                                      "1796042096",
                                      "99999999999d",
                                      "+796-11-30",
                                      "2026-11-30x"}) {
    const auto parsed = parse_time("--until", text, 0);
    ASSERT_FALSE(parsed.has_value()) << text << " is " << *parsed;
    EXPECT_EQ(parsed.error().code, Code::invalid_argument);
    EXPECT_TRUE(parsed.error().message.starts_with("--until: ")) << parsed.error().message;
  }
}

TEST(ParsePhase, KnowsFour) {
  EXPECT_EQ(parse_phase("--phase", "operations").value(), PhaseFilter::operations);
  EXPECT_EQ(parse_phase("--phase", "intents").value(), PhaseFilter::intents);
  EXPECT_EQ(parse_phase("--phase", "results").value(), PhaseFilter::results);
  EXPECT_EQ(parse_phase("--phase", "all").value(), PhaseFilter::all);
  EXPECT_TRUE(parse_phase("--phase", "intent").error().message.starts_with("--phase: "));
}

}  // namespace
}  // namespace deepmoat::review
