// Tools for models whose template knows none: described in the system message, called as
// <tool_call>{"name": ..., "arguments": {...}}</tool_call>, the most common form. For .cc files of
// this folder only.
#pragma once

#include <chat.h>

#include <string>
#include <vector>

#include "engine/thinking.h"

namespace deepmoat::engine {

// The same chat without tools: as text in its messages.
[[nodiscard]] common_chat_templates_inputs tools_as_text(common_chat_templates_inputs inputs);

// Parser and grammar of an answer. `inputs`: still with the tools.
[[nodiscard]] common_chat_params generic_tool_params(const common_chat_templates_inputs& inputs,
                                                     const std::string& generation_prompt,
                                                     const ThinkingTags& thinking);

}  // namespace deepmoat::engine
