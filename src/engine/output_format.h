// What the caller asked an answer to be, checked. For .cc files of this folder only.
#pragma once

#include <llama.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "engine/grammar.h"
#include "engine/prompt.h"

namespace deepmoat::engine {

// The JSON schema of the output; empty when it needs none. Code::invalid_argument names
// response_format.
[[nodiscard]] Result<std::string> schema_of(const OutputFormat& output);

// The grammar of answers that obey a schema (JSON). Code::invalid_argument with the reason alone:
// the caller knows the field that the schema came in.
[[nodiscard]] Result<std::string> grammar_of_schema(const std::string& schema);

[[nodiscard]] Result<std::shared_ptr<const Constraint>> compile_output(const llama_vocab* vocab,
                                                                       const std::string& gbnf,
                                                                       bool after_thinking);

}  // namespace deepmoat::engine
