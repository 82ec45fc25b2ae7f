#include "engine/output_format.h"

#include <json-schema-to-grammar.h>

#include <exception>
#include <string_view>

#include "base/limits.h"

namespace deepmoat::engine {

Result<std::string> schema_of(const OutputFormat& output) {
  switch (output.kind) {
    case OutputFormat::Kind::text:
      return std::string();
    case OutputFormat::Kind::json_object:
      return std::string(R"({"type":"object"})");
    case OutputFormat::Kind::json_schema:
      if (const Result<> checked = check_schema(output.definition, true); !checked) {
        return fail(Code::invalid_argument,
                    "response_format.json_schema: its schema " + checked.error().message);
      }
      return output.definition;
    case OutputFormat::Kind::grammar:
      if (output.definition.empty() || output.definition.size() > limits::kGrammarBytesMax) {
        return fail(Code::invalid_argument,
                    "grammar: use 1 to " + std::to_string(limits::kGrammarBytesMax) + " bytes");
      }
      return std::string();
  }
  return std::string();
}

Result<std::string> grammar_of_schema(const std::string& schema) {
  try {
    return json_schema_to_grammar(common_json::parse(schema));
  } catch (const std::exception& error) {
    constexpr std::string_view kPreamble = "JSON schema conversion failed:\n";
    std::string why = error.what();
    if (why.starts_with(kPreamble)) {
      why.erase(0, kPreamble.size());
    }
    while (why.ends_with('\n')) {
      why.pop_back();
    }
    return fail(Code::invalid_argument, "no grammar can be made of it: " + why);
  }
}

Result<std::shared_ptr<const Constraint>> compile_output(const llama_vocab* vocab,
                                                         const std::string& gbnf,
                                                         bool after_thinking) {
  Result<Grammar> grammar = Grammar::compile(vocab, gbnf);
  if (!grammar) {
    return fail(Code::invalid_argument,
                "response_format: it cannot be compiled: " + grammar.error().message);
  }
  return std::make_shared<const Constraint>(
      Constraint{.grammar = *std::move(grammar), .after_thinking = after_thinking});
}

}  // namespace deepmoat::engine
