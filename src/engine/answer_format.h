// llama-common's parser parameters behind AnswerFormat. For .cc files of this folder only.
#pragma once

#include <chat.h>

#include <set>
#include <string>
#include <vector>

#include "engine/model.h"
#include "engine/thinking.h"

namespace deepmoat::engine {

struct AnswerFormat {
  common_chat_parser_params parser;
  bool parsed = false;             // else the text is the content
  bool continues = false;          // the parser's generation prompt holds the answer's beginning
  bool calls = false;              // it may hold tool calls
  bool plain_runs = true;          // common letters and marks never begin markup
  std::set<Token> shown;           // control tokens whose text the parser needs, e.g. <think>
  std::vector<std::string> stops;  // texts that end an answer in this template
  std::vector<std::string> call_words;  // tool calls begin with one of these
  std::vector<std::string> marks;       // markup that must not be seen as content
  ThinkingTags thinking;
};

}  // namespace deepmoat::engine
