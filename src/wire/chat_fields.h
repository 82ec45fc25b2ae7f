// Parts of a chat that every API writes in its own way: contents, and how much a model may think.
// For wire/ alone.
#pragma once

#include <string>

#include "wire/inference_call.h"
#include "wire/json_reader.h"

namespace deepmoat::wire {

// The text of a content: a string, or a list of parts with text under the name of their type
// (`refusal`) or under "text". Pictures, sound and files are refused by name.
[[nodiscard]] OrRefusal<std::string> read_content(const Element& content, const std::string& at);

// The refusal of a part that is no text.
[[nodiscard]] std::unexpected<Refusal> refuse_part(const std::string& at, std::string_view type);

// How much a model may think. `word` is low, medium, high...; "none" turns thinking off.
[[nodiscard]] OrRefusal<> set_effort(const std::string& word, const std::string& param,
                                     ChatPrompt& chat);
// `thinking`: {"type": "enabled" | "disabled" | "adaptive", "budget_tokens": n}, as DeepSeek and
// Anthropic have it.
[[nodiscard]] OrRefusal<> read_thinking(const Object& object, InferRequest& infer);

}  // namespace deepmoat::wire
