#include "engine/grammar.h"

#include <../src/llama-grammar.h>  // not installed, but exported: the sampler of llama.h hides
                                   // how many ways a text can be read, and that needs a bound

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "base/limits.h"

namespace deepmoat::engine {

namespace {

constexpr std::uint64_t kRepeatMax = 2000;       // llama.cpp takes a larger number for endless
constexpr std::uint64_t kElementsMax = 200'000;  // of the compiled grammar
constexpr std::size_t kReadingsMax = 1024;       // ways in which a text may be read at once
constexpr std::size_t kDepthMax = 2048;          // rules that stand open at once
constexpr std::size_t kNestingMax = 64;          // groups in groups
constexpr std::size_t kReasonBytesMax = 200;

// Adds up what GBNF text becomes: each repetition copies the element before it.
class SizeOfGrammar {
 public:
  explicit SizeOfGrammar(std::string_view text) : text_(text) {}

  Result<> check() {
    while (at_ < text_.size()) {
      CHECK_OK(step());
      if (total_ > kElementsMax) {
        return fail(Code::invalid_argument, "it is too large when its repetitions are written out");
      }
    }
    return {};
  }

 private:
  Result<> step() {
    const char c = text_[at_];
    if (c == '"' || c == '[') {
      count(quoted(c == '"' ? '"' : ']'));
    } else if (c == '#') {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (c == '{') {
      return repetition();
    } else if (c == '(') {
      if (++nesting_ > kNestingMax) {
        return fail(Code::invalid_argument, "its groups are nested too deeply");
      }
      ++at_;
    } else if (c == ')') {
      nesting_ -= nesting_ > 0 ? 1 : 0;
      ++at_;
      count(1);
    } else if (c == '.' || is_name(c)) {
      while (at_ + 1 < text_.size() && is_name(c) && is_name(text_[at_ + 1])) {
        ++at_;
      }
      ++at_;
      count(1);
    } else {
      ++at_;
    }
    return {};
  }

  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  }

  void count(std::uint64_t elements) {
    last_ = elements;
    total_ += elements;
  }

  // Length of a literal or character class.
  std::uint64_t quoted(char end) {
    const std::size_t begin = ++at_;
    while (at_ < text_.size() && text_[at_] != end) {
      at_ += text_[at_] == '\\' ? 2 : 1;
    }
    const std::size_t length = std::min(at_, text_.size()) - begin;
    at_ = std::min(at_ + 1, text_.size());
    return length + 1;
  }

  Result<> repetition() {
    std::uint64_t most = 1;
    for (++at_; at_ < text_.size() && text_[at_] != '}'; ++at_) {
      if (text_[at_] < '0' || text_[at_] > '9') {
        continue;
      }
      std::uint64_t number = 0;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
        number = std::min<std::uint64_t>(number * 10 + static_cast<unsigned>(text_[at_] - '0'),
                                         kRepeatMax + 1);
      }
      --at_;
      most = std::max(most, number);
    }
    if (most > kRepeatMax) {
      return fail(Code::invalid_argument, "a length or number of repetitions is above " +
                                              std::to_string(kRepeatMax) +
                                              "; leave that limit out");
    }
    total_ += last_ * most * 2;
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t nesting_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t last_ = 1;
};

// Reads the text as llama.cpp does, but says what is wrong with it instead of printing it.
Result<> check_syntax(const llama_vocab* vocab, const std::string& gbnf) {
  llama_grammar_parser parser(vocab);
  try {
    const char* at = gbnf.c_str() + gbnf.find_first_not_of(" \t\r\n");
    while (*at != '\0') {
      if (*at == '#') {
        at += std::string_view(at).find('\n') == std::string_view::npos
                  ? std::string_view(at).size()
                  : std::string_view(at).find('\n') + 1;
        continue;
      }
      at = parser.parse_rule(at);
    }
  } catch (const std::exception& error) {
    return fail(Code::invalid_argument, std::string(error.what()).substr(0, kReasonBytesMax));
  }
  for (const auto& [name, id] : parser.symbol_ids) {
    if (id >= parser.rules.size() || parser.rules[id].empty()) {
      return fail(Code::invalid_argument, "rule " + name + " is used and not defined");
    }
  }
  if (!parser.symbol_ids.contains("root")) {
    return fail(Code::invalid_argument, "it has no rule root");
  }
  return {};
}

}  // namespace

Result<> check_grammar_size(std::string_view gbnf) {
  return SizeOfGrammar(gbnf).check();
}

Grammar::Grammar(llama_grammar* grammar) : grammar_(grammar) {}
Grammar::Grammar(const Grammar& other) : grammar_(llama_grammar_clone_impl(*other.grammar_)) {}
Grammar::Grammar(Grammar&& other) noexcept = default;
Grammar& Grammar::operator=(Grammar&& other) noexcept = default;
Grammar::~Grammar() = default;

void Grammar::Free::operator()(llama_grammar* grammar) const {
  llama_grammar_free_impl(grammar);
}

Result<Grammar> Grammar::compile(const llama_vocab* vocab, const std::string& gbnf) {
  if (gbnf.find_first_not_of(" \t\r\n") == std::string::npos) {
    return fail(Code::invalid_argument, "it is empty");
  }
  CHECK_OK(check_grammar_size(gbnf));
  CHECK_OK(check_syntax(vocab, gbnf));
  try {
    llama_grammar* grammar =
        llama_grammar_init_impl(vocab, gbnf.c_str(), "root", false, nullptr, 0, nullptr, 0);
    if (grammar == nullptr) {
      return fail(Code::invalid_argument, "a rule begins with itself, or none can be read");
    }
    Grammar made(grammar);
    if (grammar->stacks.empty()) {
      return fail(Code::invalid_argument, "no text can meet it");
    }
    return made;
  } catch (const std::exception& error) {
    return fail(Code::invalid_argument, error.what());
  }
}

bool Grammar::may_end() const {
  return std::ranges::any_of(grammar_->stacks, [](const auto& stack) { return stack.empty(); });
}

bool Grammar::allows(Token token) const {
  llama_token_data one{token, 1.0F, 0.0F};
  mask({&one, 1});
  return !std::isinf(one.logit);
}

void Grammar::mask(std::span<llama_token_data> tokens) const {
  llama_token_data_array array{tokens.data(), tokens.size(), -1, false};
  llama_grammar_apply_impl(*grammar_, &array);
}

namespace {

bool bearable(const llama_grammar& grammar) {
  return grammar.stacks.size() <= kReadingsMax &&
         std::ranges::all_of(grammar.stacks,
                             [](const auto& stack) { return stack.size() <= kDepthMax; });
}

}  // namespace

bool Grammar::accept(Token token) {
  try {
    if (!llama_vocab_is_eog(grammar_->vocab, token)) {
      llama_grammar_accept_impl(*grammar_, token);
    }
    return bearable(*grammar_);
  } catch (const std::exception&) {
    return false;
  }
}

bool Grammar::accept_text(std::string_view text) {
  try {
    llama_grammar_accept_str(*grammar_, std::string(text));
    return bearable(*grammar_);
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace deepmoat::engine
