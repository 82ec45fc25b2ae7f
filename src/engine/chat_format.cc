#include "engine/chat_format.h"

#include <chat-auto-parser.h>
#include <json-schema-to-grammar.h>

#include <algorithm>
#include <exception>

#include "engine/control_text.h"
#include "engine/generic_tools.h"

namespace deepmoat::engine {

namespace {

constexpr std::size_t kKeptMax = 64;  // sets of rules

common_chat_templates_inputs probe() {
  common_chat_templates_inputs inputs;
  common_chat_msg message;
  message.role = "user";
  message.content = "x";
  inputs.messages = {message};
  inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
  return inputs;
}

// Whether llama-common has code for this template alone; it may change messages then.
bool is_special(const common_chat_templates* templates) {
  try {
    const std::string source = common_chat_templates_source(templates);
    const common_chat_template one(source, "", "");
    autoparser::generation_params params;
    params.messages = common_json::parse(R"([{"role":"user","content":"x"}])");
    params.tools = common_json::array({});
    params.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    params.add_generation_prompt = true;
    params.extra_context = common_json::object();
    return common_chat_try_specialized_template(one, source, params).has_value();
  } catch (const std::exception&) {
    return true;
  }
}

bool knows_tools(const common_chat_templates* templates) {
  try {
    common_chat_templates_inputs inputs = probe();
    inputs.tools = {{"f", "x", R"({"type":"object","properties":{"a":{"type":"string"}}})"}};
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    return !common_chat_templates_apply(templates, inputs).grammar.empty();
  } catch (const std::exception&) {
    return false;
  }
}

// All that decides the rules, beside the template.
std::string key_of(const common_chat_templates_inputs& inputs, const std::string& generation) {
  std::string key = generation + '\0' + inputs.json_schema + '\0';
  key += static_cast<char>('0' + (inputs.enable_thinking ? 1 : 0));
  key += static_cast<char>('0' + static_cast<int>(inputs.tool_choice));
  key += static_cast<char>('0' + (inputs.parallel_tool_calls ? 1 : 0));
  for (const auto& tool : inputs.tools) {
    key += tool.name + '\0' + tool.parameters + '\0';
  }
  for (const auto& [name, value] : inputs.chat_template_kwargs) {
    key += name + '\0' + value + '\0';
  }
  return key;
}

bool calls_tools(const common_chat_templates_inputs& inputs) {
  return !inputs.tools.empty() && inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
}

// A template that adds a system message of its own makes the analysis take that for a part of what
// begins a user's message: what matters starts at the last control token that begins any message.
void shorten_delimiters(common_chat_msg_delimiters& all, const llama_vocab* vocab) {
  for (common_chat_msg_delimiter& one : all.delimiters) {
    if (one.tokens.empty() || !llama_vocab_is_control(vocab, one.tokens.front())) {
      continue;
    }
    const auto last = std::find(one.tokens.rbegin(), one.tokens.rend(), one.tokens.front());
    one.tokens.erase(one.tokens.begin(), last.base() - 1);
  }
}

ThinkingTags tags_of(const std::string& start, const std::vector<std::string>& ends,
                     const std::string& generation) {
  ThinkingTags tags{.start = start, .ends = ends};
  if (tags.known()) {
    Thinking thinking(tags);
    thinking.feed(generation);
    tags.open = thinking.inside();
  }
  return tags;
}

}  // namespace

ChatFormats::ChatFormats(const common_chat_templates* templates, const llama_vocab* vocab)
    : templates_(templates), vocab_(vocab), special_(is_special(templates)) {
  try {
    const common_chat_params params = common_chat_templates_apply(templates_, probe());
    thinks_ = params.supports_thinking && !params.thinking_start_tag.empty();
    if (thinks_) {
      thinking_start_ = params.thinking_start_tag;
      thinking_ends_ = params.thinking_end_tags;
    }
    delimiters_ = params.message_delimiters;
    // Not every analysis finds where answers begin; the generation prompt says it.
    std::string answer = params.generation_prompt.substr(
        0, thinks_ ? params.generation_prompt.find(thinking_start_) : std::string::npos);
    answer.erase(answer.find_last_not_of(" \r\n") + 1);
    const bool known = std::ranges::any_of(delimiters_.delimiters, [](const auto& one) {
      return one.role == COMMON_CHAT_ROLE_ASSISTANT && !one.delimiter.empty();
    });
    if (!known && !answer.empty()) {
      delimiters_.add(COMMON_CHAT_ROLE_ASSISTANT, answer);
    }
  } catch (const std::exception&) {
    special_ = true;  // it refuses the plainest chat: each call is told so
  }
  if (vocab_ != nullptr) {
    delimiters_.tokenize(vocab_);
    shorten_delimiters(delimiters_, vocab_);
  }
  std::erase_if(delimiters_.delimiters,
                [](const common_chat_msg_delimiter& one) { return one.tokens.empty(); });
  native_tools_ = knows_tools(templates_);
}

bool ChatFormats::generic(const common_chat_templates_inputs& inputs) const {
  return !inputs.tools.empty() && !native_tools_;
}

std::string ChatFormats::render(common_chat_templates_inputs inputs) const {
  if (generic(inputs)) {
    inputs = tools_as_text(std::move(inputs));
  }
  inputs.force_pure_content =
      !special_ && inputs.continue_final_message == COMMON_CHAT_CONTINUATION_NONE;
  return common_chat_templates_apply(templates_, inputs).prompt;
}

Result<ChatFormats::Rendered> ChatFormats::read(common_chat_templates_inputs inputs) const {
  const bool as_text = generic(inputs);
  const bool continues = inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE;
  common_chat_templates_inputs shown = as_text ? tools_as_text(inputs) : inputs;
  Rendered rendered;
  if (!special_ && !continues) {
    shown.force_pure_content = true;
    const common_chat_params pure = common_chat_templates_apply(templates_, shown);
    shown.force_pure_content = false;
    const std::string key = key_of(inputs, pure.generation_prompt);
    rendered.prompt = pure.prompt;
    std::optional<AnswerRules> found = kept(key);
    if (!found) {
      const common_chat_params params =
          as_text ? generic_tool_params(
                        inputs, pure.generation_prompt,
                        tags_of(thinking_start_, thinking_ends_, pure.generation_prompt))
                  : common_chat_templates_apply(templates_, inputs);
      TRY(found, make_rules(inputs, params));
      keep(key, *found);
    }
    rendered.rules = *found;
    return rendered;
  }
  common_chat_params params = common_chat_templates_apply(templates_, shown);
  rendered.prompt = params.prompt;
  if (as_text) {
    params =
        generic_tool_params(inputs, params.generation_prompt,
                            tags_of(thinking_start_, thinking_ends_, params.generation_prompt));
  }
  const std::string key = key_of(inputs, params.generation_prompt) + (continues ? "c" : "");
  std::optional<AnswerRules> found = kept(key);
  if (!found) {
    TRY(found, make_rules(inputs, params));
    keep(key, *found);
  }
  rendered.rules = *found;
  return rendered;
}

Result<AnswerRules> ChatFormats::make_rules(const common_chat_templates_inputs& inputs,
                                            const common_chat_params& params) const {
  AnswerRules rules;
  rules.format = make_format(inputs, params);
  TRY(rules.constraint, make_constraint(inputs, params));
  return rules;
}

std::shared_ptr<const AnswerFormat> ChatFormats::make_format(
    const common_chat_templates_inputs& inputs, const common_chat_params& params) const {
  auto format = std::make_shared<AnswerFormat>();
  format->stops = params.additional_stops;
  format->calls = calls_tools(inputs);
  format->continues = inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE;
  format->thinking =
      tags_of(params.thinking_start_tag, params.thinking_end_tags, params.generation_prompt);
  format->parsed = !params.parser.empty() && (params.supports_thinking || special_ ||
                                              format->calls || !inputs.json_schema.empty());
  if (!format->parsed) {
    return format;
  }
  format->parser = common_chat_parser_params(params);
  format->parser.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
  format->parser.parser.load(params.parser);
  format->marks = params.preserved_tokens;
  for (const common_grammar_trigger& trigger : params.grammar_triggers) {
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD && !trigger.value.empty()) {
      format->marks.push_back(trigger.value);
      format->call_words.push_back(trigger.value);
      const std::size_t first = trigger.value.find_first_not_of(" \n");
      const char c = first == std::string::npos ? 'a' : trigger.value[first];
      format->plain_runs =
          format->plain_runs && !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
    } else {
      format->plain_runs = false;
    }
  }
  if (vocab_ != nullptr) {
    for (const std::string& text : format->marks) {
      const auto tokens = tokenise(vocab_, text, false, true);
      if (tokens.size() == 1) {
        format->shown.insert(tokens[0]);
      }
    }
  }
  return format;
}

Result<std::shared_ptr<const Constraint>> ChatFormats::make_constraint(
    const common_chat_templates_inputs& inputs, const common_chat_params& params) const {
  const std::string field = inputs.json_schema.empty() ? "tools" : "response_format";
  if (inputs.json_schema.empty() && !calls_tools(inputs)) {
    return std::shared_ptr<const Constraint>();
  }
  if (params.grammar.empty() &&
      (!inputs.json_schema.empty() || inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED)) {
    return fail(Code::invalid_argument, field + ": this model's answers cannot be held to it");
  }
  if (vocab_ == nullptr || params.grammar.empty()) {
    return std::shared_ptr<const Constraint>();
  }
  Result<Grammar> grammar = Grammar::compile(vocab_, params.grammar);
  if (!grammar) {
    return fail(Code::invalid_argument,
                field + ": it cannot be compiled: " + grammar.error().message);
  }
  auto constraint = std::make_shared<Constraint>(Constraint{.grammar = *std::move(grammar)});
  constraint->lazy = params.grammar_lazy;
  if (!constraint->lazy && !constraint->grammar.accept_text(params.generation_prompt)) {
    return fail(Code::invalid_argument,
                field + ": this model's chat template does not allow what it asks for");
  }
  for (const common_grammar_trigger& trigger : params.grammar_triggers) {
    switch (trigger.type) {
      case COMMON_GRAMMAR_TRIGGER_TYPE_WORD:
        constraint->trigger_words.push_back(trigger.value);
        break;
      case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
        constraint->trigger_tokens.push_back(trigger.token);
        break;
      case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
      case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
        constraint->trigger_patterns.emplace_back(trigger.value);
        break;
    }
  }
  return std::shared_ptr<const Constraint>(std::move(constraint));
}

std::vector<std::uint32_t> ChatFormats::marks(const std::vector<Token>& tokens) const {
  std::vector<std::uint32_t> marks;
  for (const common_chat_msg_span& span : delimiters_.split(tokens).spans) {
    if (span.pos > 0) {
      marks.push_back(static_cast<std::uint32_t>(span.pos));
    }
  }
  std::ranges::sort(marks);
  marks.erase(std::ranges::unique(marks).begin(), marks.end());
  return marks;
}

std::optional<AnswerRules> ChatFormats::kept(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(kept_, key, &std::pair<std::string, AnswerRules>::first);
  if (found == kept_.end()) {
    return std::nullopt;
  }
  kept_.splice(kept_.begin(), kept_, found);
  return found->second;
}

void ChatFormats::keep(const std::string& key, const AnswerRules& rules) const {
  const std::lock_guard lock(mutex_);
  kept_.emplace_front(key, rules);
  if (kept_.size() > kKeptMax) {
    kept_.pop_back();
  }
}

}  // namespace deepmoat::engine
