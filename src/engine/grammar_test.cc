// Grammars and schemas: what is refused, and that refusing is quick. No model is needed.
#include "engine/grammar.h"

#include <gtest/gtest.h>

namespace deepmoat::engine {
namespace {

std::string why_not(const std::string& schema) {
  const Result<> checked = check_schema(schema, true);
  return checked ? "" : checked.error().message;
}

TEST(Schema, TakesWhatCanBeHeldTo) {
  for (const char* schema : {
           R"({"type":"object"})",
           R"({"type":"object","properties":{"a":{"type":"string","maxLength":5}},)"
           R"("required":["a"],"additionalProperties":false})",
           R"({"type":"array","items":{"$ref":"#/$defs/n"},"$defs":{"n":{"type":"object",)"
           R"("properties":{"next":{"$ref":"#/$defs/n"}}}}})",
           R"({"type":"string","pattern":"^[a-z]{2,5}-[0-9]+$"})",
           R"({"type":"integer","minimum":1,"maximum":10})",
           R"({"anyOf":[{"type":"null"},{"const":"x"},{"enum":[1,2]}]})",
       }) {
    EXPECT_EQ(why_not(schema), "") << schema;
  }
}

TEST(Schema, RefusesWhatWouldBeIgnored) {
  EXPECT_NE(why_not(R"({"not":{"type":"string"}})").find("not cannot"), std::string::npos);
  EXPECT_NE(why_not(R"({"type":"array","uniqueItems":true})").find("uniqueItems"),
            std::string::npos);
  EXPECT_NE(why_not(R"({"type":"number","minimum":0})").find("minimum"), std::string::npos);
  const std::string inside =
      why_not(R"({"type":"object","properties":{"a":{"type":"object","minProperties":1}}})");
  EXPECT_NE(inside.find("/properties/a: minProperties"), std::string::npos) << inside;
  EXPECT_EQ(check_schema(R"({"type":"number","minimum":0})", false).has_value(), true)
      << "a tool's schema describes, too";
}

TEST(Schema, RefusesPatternsThatCannotBeHeldTo) {
  for (const char* pattern : {"abc", "^(?=a)b$", "^\\\\d+$", "^a(b$", "^a$b$"}) {
    const std::string why =
        why_not(std::string(R"({"type":"string","pattern":")") + pattern + "\"}");
    EXPECT_NE(why, "") << pattern;
  }
}

TEST(Schema, RefusesReferencesThatLeadNowhereOrBack) {
  EXPECT_NE(why_not(R"({"$ref":"#/$defs/a"})"), "");
  EXPECT_NE(why_not(R"({"$ref":"http://example.com/schema"})"), "");
  EXPECT_NE(why_not(R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}})"), "");
  EXPECT_NE(why_not(R"({"properties":{"x":{"$ref":"#/$defs/a"}},)"
                    R"("$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"}]}}})"),
            "");
}

TEST(Schema, RefusesWhatIsTooLarge) {
  std::string deep;
  for (int i = 0; i < 2000; ++i) {
    deep += R"({"type":"array","items":)";
  }
  EXPECT_NE(why_not(deep + "{}" + std::string(2000, '}')), "");
  EXPECT_NE(why_not(std::string(200'000, '[')), "");
  std::string many = R"({"type":"object","properties":{)";
  for (int i = 0; i < 300; ++i) {
    many += (i > 0 ? "," : "") + ("\"p" + std::to_string(i)) + R"(":{"type":"string"})";
  }
  EXPECT_NE(why_not(many + "}}").find("not required"), std::string::npos);
  EXPECT_NE(why_not("nonsense"), "");
  EXPECT_NE(why_not("[]"), "");
}

std::string why_no_grammar(const std::string& gbnf) {
  const Result<Grammar> grammar = Grammar::compile(nullptr, gbnf);
  return grammar ? "" : grammar.error().message;
}

TEST(Grammar, SaysWhatIsWrong) {
  EXPECT_EQ(why_no_grammar("root ::= \"a\" | [0-9]+ # a comment\n"), "");
  EXPECT_NE(why_no_grammar(""), "");
  EXPECT_NE(why_no_grammar("root ::= \"a"), "");
  EXPECT_NE(why_no_grammar("other ::= \"a\"").find("root"), std::string::npos);
  EXPECT_NE(why_no_grammar("root ::= missing").find("missing"), std::string::npos);
  EXPECT_NE(why_no_grammar("root ::= root \"a\"").find("begins with itself"), std::string::npos);
}

TEST(Grammar, RefusesGrammarsThatGrow) {
  EXPECT_NE(why_no_grammar("root ::= [a-z]{0,5000}").find("2000"), std::string::npos)
      << "llama.cpp would take it for endless";
  EXPECT_NE(why_no_grammar("root ::= \"" + std::string(50'000, 'a') + "\"{2000}"), "");
  EXPECT_NE(why_no_grammar("root ::= " + std::string(5000, '(') + "\"a\"" + std::string(5000, ')')),
            "");
  std::string nested = "root ::= \"a\"";
  for (int i = 0; i < 6; ++i) {
    nested = "root ::= (" + nested.substr(9) + "){1000}";
  }
  EXPECT_NE(why_no_grammar(nested), "");
}

TEST(Grammar, FollowsAText) {
  Result<Grammar> grammar = Grammar::compile(nullptr, R"(root ::= "ab" [0-9]{2})");
  ASSERT_TRUE(grammar.has_value()) << grammar.error().message;
  Grammar copy = *grammar;
  EXPECT_TRUE(grammar->accept_text("ab"));
  EXPECT_FALSE(grammar->may_end());
  EXPECT_TRUE(grammar->accept_text("12"));
  EXPECT_TRUE(grammar->may_end());
  EXPECT_FALSE(copy.accept_text("b")) << "a copy has a place of its own";
}

// Each "a" doubles the ways in which the text may be read.
TEST(Grammar, EndsWhatCanBeReadInTooManyWays) {
  Result<Grammar> grammar =
      Grammar::compile(nullptr, R"(root ::= "a" root "b" | "a" root "c" | "x")");
  ASSERT_TRUE(grammar.has_value()) << grammar.error().message;
  int accepted = 0;
  while (accepted < 100 && grammar->accept_text("a")) {
    ++accepted;
  }
  EXPECT_LT(accepted, 20);
}

}  // namespace
}  // namespace deepmoat::engine
