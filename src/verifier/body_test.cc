// The scanner accepts the one canonical spelling and nothing beside it.
#include "verifier/body.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace deepmoat::verifier {
namespace {

using Json = nlohmann::ordered_json;

const std::string kStart = R"({"phase":"result","operation":"READ","outcome":"success")";
const std::string kFull =
    R"({"phase":"result","operation":"EXECUTE","outcome":"cancelled","mono_ns":-5,)"
    R"("request_id":"req_1","intent_sequence":18446744073709551615,"tenant":"a\"b\\c",)"
    R"("operator":"\u00e9\u007f\u0000","key_id":"k","role":"user","authentication":"api_key",)"
    R"("ip_address":"::1","action":"chat","resource":"\ud83d\ude00","route":"local",)"
    R"("data_class":"public","model":"m","model_version":"0123","adapter":"a",)"
    R"("adapter_version":"1","knowledge":"k","input_fingerprint":"00","output_fingerprint":"ff",)"
    R"("content":"c0","tokens_in":1,"tokens_cached":2,"tokens_out":3,"bytes_out":4,"queue_ms":5,)"
    R"("first_token_ms":6,"duration_ms":7,"status":-2147483648,"reason":"x\u2026"})";

bool accepted(const std::string& body, std::uint16_t version = 2) {
  BodyFacts facts;
  return read_body(body, version, facts) == nullptr;
}

std::string with(const std::string& fields) {
  return kStart + fields + "}";
}

TEST(Body, AcceptsTheFullestAndTheLeast) {
  BodyFacts facts;
  ASSERT_EQ(read_body(kFull, 2, facts), nullptr);
  EXPECT_FALSE(facts.intent);
  EXPECT_EQ(facts.intent_sequence, UINT64_MAX);
  EXPECT_EQ(facts.request_id, "req_1");
  EXPECT_EQ(facts.operation, "EXECUTE");
  EXPECT_EQ(facts.outcome, "cancelled");
  EXPECT_EQ(facts.action, "chat");
  EXPECT_EQ(facts.status, INT32_MIN);
  ASSERT_EQ(read_body(R"({"phase":"intent","operation":"WRITE","outcome":"pending"})", 1, facts),
            nullptr);
  EXPECT_TRUE(facts.intent);
  EXPECT_EQ(facts.intent_sequence, 0U);
  EXPECT_EQ(facts.request_id, "");
  EXPECT_EQ(facts.operation, "WRITE");
  EXPECT_EQ(facts.action, "");
  EXPECT_EQ(facts.status, 0);
  const std::string hostile =
      with(R"(,"action":"\u001b[2J\"","status":-1)");  // facts point into it
  ASSERT_EQ(read_body(hostile, 2, facts), nullptr);
  EXPECT_EQ(facts.action, R"(\u001b[2J\")") << "as it is spelled";
  EXPECT_EQ(facts.status, -1);
}

TEST(Body, AcceptsWhatTheSpellingAllows) {
  for (const char* fields :
       {R"(,"mono_ns":9223372036854775807)", R"(,"mono_ns":-9223372036854775808)",
        R"(,"tokens_in":18446744073709551615)", R"(,"status":2147483647)", R"(,"tenant":" ")",
        R"(,"tenant":"~/'")", R"(,"tenant":"\ufffd\uffff\ud7ff\ue000")",
        R"(,"tenant":"\udbff\udfff")"}) {
    EXPECT_TRUE(accepted(with(fields))) << fields;
  }
  EXPECT_TRUE(accepted(with(",\"tenant\":\"" + std::string(256, 'x') + "\"")));
}

TEST(Body, RefusesAnyOtherSpelling) {
  for (const char* fields : {R"(,"tenant":"")",
                             R"(,"tokens_in":0)",
                             R"(,"tokens_in":01)",
                             R"(,"tokens_in":-1)",
                             R"(,"tokens_in":1.0)",
                             R"(,"tokens_in":1e2)",
                             R"(,"tokens_in":"1")",
                             R"(,"tokens_in":)",
                             R"(,"tokens_in":18446744073709551616)",
                             R"(,"mono_ns":9223372036854775808)",
                             R"(,"mono_ns":-9223372036854775809)",
                             R"(,"mono_ns":-0)",
                             R"(,"mono_ns":+1)",
                             R"(,"mono_ns":-)",
                             R"(,"status":2147483648)",
                             R"(,"status":-2147483649)",
                             R"(,"tenant":"\u0041")",
                             R"(,"tenant":"\u0022")",
                             R"(,"tenant":"\u005c")",
                             R"(,"tenant":"\n")",
                             R"(,"tenant":"\/")",
                             R"(,"tenant":"\u00E9")",
                             R"(,"tenant":"\u00e")",
                             R"(,"tenant":"\ud83d")",
                             R"(,"tenant":"\ud83d\ud83d")",
                             R"(,"tenant":"\ude00\ud83d")",
                             R"(,"tenant":"\ud83dx")",
                             ","
                             "\"tenant\":\"\xc3\xa9\"",
                             ",\"tenant\":\"\x7f\"",
                             ",\"tenant\":\"\t\"",
                             R"(,"tenant":"a)",
                             R"(,"tenant":"a\)",
                             R"(,"tenant":null)",
                             R"(,"tenant":["a"])",
                             R"(,"tenant": "a")",
                             R"( ,"tenant":"a")",
                             R"(,"tenant":"a",)",
                             R"(,"tenant":"a","tenant":"b")",
                             R"(,"operator":"a","tenant":"b")",
                             R"(,"colour":"red")",
                             R"(,"t\u0065nant":"a")",
                             R"(,"phase":"intent")",
                             ","}) {
    EXPECT_FALSE(accepted(with(fields))) << fields;
  }
  EXPECT_FALSE(accepted(with(",\"tenant\":\"" + std::string(257, 'x') + "\"")));
  EXPECT_FALSE(accepted(with(",\"tenant\":\"" + std::string(251, 'x') + "\\u2026\"")));
  EXPECT_TRUE(accepted(with(",\"tenant\":\"" + std::string(250, 'x') + "\\u2026\"")));
}

TEST(Body, RefusesWhatIsNoRecord) {
  for (const char* body : {"", "{", "{}", "[]", "null", R"({"phase":"intent"})",
                           R"({"phase":"intent","operation":"READ"})",
                           R"({"phase":"intent","operation":"READ","tenant":"x"})",
                           R"({"operation":"READ","phase":"intent","outcome":"pending"})",
                           R"({"phase":"INTENT","operation":"READ","outcome":"pending"})",
                           R"({"phase":"intent","operation":"read","outcome":"pending"})",
                           R"({"phase":"intent","operation":"READ","outcome":"done"})",
                           R"({"phase":"intent","operation":"READ","outcome":""})",
                           R"({"phase":"intent","operation":"READ","outcome":"pending"} )",
                           R"({"phase":"intent","operation":"READ","outcome":"pending"}})",
                           R"( {"phase":"intent","operation":"READ","outcome":"pending"})"}) {
    EXPECT_FALSE(accepted(body)) << body;
  }
}

TEST(Body, TheFirstVersionHasFewerFields) {
  for (const char* field : {"adapter", "adapter_version", "knowledge", "content"}) {
    const std::string body = with(std::string(",\"") + field + "\":\"x\"");
    EXPECT_TRUE(accepted(body, 2)) << field;
    EXPECT_FALSE(accepted(body, 1)) << field;
  }
  EXPECT_TRUE(accepted(with(R"(,"model_version":"x","input_fingerprint":"y")"), 1));
}

// The same judgement with a general parser: read, written again, and compared.
class Reference {
 public:
  static bool accepts(const std::string& body) {
    const Json json = Json::parse(body, nullptr, false);
    std::string again;
    std::size_t next = 0;
    if (!json.is_object()) {
      return false;
    }
    for (const auto& [name, value] : json.items()) {
      while (next < kNames.size() && kNames[next] != name) {
        ++next;
      }
      if (next >= kNames.size() || !spell(next, value, again)) {
        return false;
      }
      ++next;
    }
    return json.contains("phase") && json.contains("operation") && json.contains("outcome") &&
           again + "}" == body;
  }

 private:
  static bool spell(std::size_t field, const Json& value, std::string& out) {
    out += (out.empty() ? "{\"" : ",\"") + kNames[field] + "\":";
    if (value.is_string()) {
      const std::string text = escape(value.get<std::string>());
      out += "\"" + text + "\"";
      return !is_number(field) && !text.empty() && text.size() <= 256 && choice_fits(field, text);
    }
    out += value.dump();
    if (!is_number(field) || value == 0 || !value.is_number_integer()) {
      return false;
    }
    const bool is_signed = kNames[field] == "mono_ns" || kNames[field] == "status";
    if (value.is_number_unsigned()) {
      const auto number = value.get<std::uint64_t>();
      return number <= (kNames[field] == "status"    ? INT32_MAX
                        : kNames[field] == "mono_ns" ? INT64_MAX
                                                     : UINT64_MAX);
    }
    return is_signed && (kNames[field] != "status" || value.get<std::int64_t>() >= INT32_MIN);
  }

  static bool is_number(std::size_t field) {
    return kNames[field] == "mono_ns" || kNames[field] == "intent_sequence" ||
           (field >= 24 && field < 32);
  }

  static bool choice_fits(std::size_t field, const std::string& text) {
    static const std::vector<std::vector<std::string>> choices{
        {"intent", "result"},
        {"READ", "WRITE", "DELETE", "EXECUTE"},
        {"pending", "success", "refused", "failed", "cancelled"}};
    return field >= choices.size() ||
           std::find(choices[field].begin(), choices[field].end(), text) != choices[field].end();
  }

  static std::string escape(const std::string& text) {
    // nlohmann's own escapes, but for the short ones of control characters and for DEL.
    const std::string quoted = Json(text).dump(-1, ' ', true);
    std::string out;
    for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
      const std::string two = quoted.substr(i, 2);
      static const std::vector<std::pair<std::string, std::string>> kShort{{"\\b", "\\u0008"},
                                                                           {"\\t", "\\u0009"},
                                                                           {"\\n", "\\u000a"},
                                                                           {"\\f", "\\u000c"},
                                                                           {"\\r", "\\u000d"}};
      const auto found = std::find_if(kShort.begin(), kShort.end(),
                                      [&](const auto& pair) { return pair.first == two; });
      if (found != kShort.end()) {
        out += found->second;
        ++i;
      } else if (quoted[i] == '\\') {
        out += two;
        ++i;
      } else {
        out += quoted[i] == '\x7f' ? "\\u007f" : std::string(1, quoted[i]);
      }
    }
    return out;
  }

  inline static const std::vector<std::string> kNames{"phase",
                                                      "operation",
                                                      "outcome",
                                                      "mono_ns",
                                                      "request_id",
                                                      "intent_sequence",
                                                      "tenant",
                                                      "operator",
                                                      "key_id",
                                                      "role",
                                                      "authentication",
                                                      "ip_address",
                                                      "action",
                                                      "resource",
                                                      "route",
                                                      "data_class",
                                                      "model",
                                                      "model_version",
                                                      "adapter",
                                                      "adapter_version",
                                                      "knowledge",
                                                      "input_fingerprint",
                                                      "output_fingerprint",
                                                      "content",
                                                      "tokens_in",
                                                      "tokens_cached",
                                                      "tokens_out",
                                                      "bytes_out",
                                                      "queue_ms",
                                                      "first_token_ms",
                                                      "duration_ms",
                                                      "status",
                                                      "reason"};
};

TEST(Body, JudgesAlteredBodiesAsAGeneralParserDoes) {
  ASSERT_TRUE(Reference::accepts(kFull));
  const std::string spice = "\"\\,:{}[]-+0123456789eEuU.abcdfn \x7f\t\xc3/";
  std::mt19937_64 random(1);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  std::size_t good = 0;
  for (int round = 0; round < 30'000; ++round) {
    std::string body = below(2) == 0 ? kFull : with(R"(,"tenant":"x","status":200)");
    for (std::size_t changes = below(3) + 1; changes > 0; --changes) {
      const std::size_t at = below(body.size());
      const char c = spice[below(spice.size())];
      switch (below(4)) {
        case 0:
          body[at] = c;
          break;
        case 1:
          body.insert(at, 1, c);
          break;
        case 2:
          body.erase(at, 1);
          break;
        default:
          body.insert(at, body.substr(below(body.size()), 12));
          break;
      }
    }
    const bool verdict = accepted(body);
    good += verdict ? 1 : 0;
    ASSERT_EQ(verdict, Reference::accepts(body)) << body;
  }
  EXPECT_GT(good, 100U) << "some changes leave a canonical body";
}

TEST(Body, EverySingleByteIsJudgedAsAGeneralParserDoes) {
  std::size_t good = 0;
  for (std::size_t at = 0; at < kFull.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string body = kFull;
      body[at] = static_cast<char>(value);
      const bool verdict = accepted(body);
      good += verdict ? 1 : 0;
      ASSERT_EQ(verdict, Reference::accepts(body)) << body;
    }
  }
  EXPECT_GT(good, kFull.size());
}

}  // namespace
}  // namespace deepmoat::verifier
