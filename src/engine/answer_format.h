// llama-common's parser parameters behind AnswerFormat. For .cc files of this folder only.
#pragma once

#include <chat.h>

#include <set>
#include <string>
#include <vector>

#include "engine/model.h"

namespace deepmoat::engine {

struct AnswerFormat {
  common_chat_parser_params parser;
  std::set<Token> shown;           // control tokens whose text the parser needs, e.g. <think>
  std::vector<std::string> stops;  // texts that end an answer in this template
  bool reasoning = false;
};

}  // namespace deepmoat::engine
