// What models write, in the formats of DeepSeek and others, and what callers must see of it; cut
// into pieces at every place. The templates are llama.cpp's; no model is needed.
#include <gtest/gtest.h>
#include <log.h>
#include <rapidcheck.h>

#include <fstream>
#include <iterator>

#include "engine/answer_reader.h"
#include "engine/chat_format.h"
#include "engine/text.h"

namespace deepmoat::engine {
namespace {

using Calls = std::vector<std::pair<std::string, std::string>>;  // name, arguments

struct Seen {
  std::string content;
  std::string reasoning;
  Calls calls = {};
  bool operator==(const Seen&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  out << "content [" << seen.content << "] reasoning [" << seen.reasoning << "]";
  for (const auto& [name, arguments] : seen.calls) {
    out << " " << name << "(" << arguments << ")";
  }
  return out;
}

// A template of no model in particular, without tools.
constexpr const char* kPlainTemplate =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

std::string template_of(const std::string& name) {
  if (name.empty()) {
    return kPlainTemplate;
  }
  std::ifstream file(std::string(DEEPMOAT_LLAMA_TEMPLATES) + "/" + name + ".jinja");
  EXPECT_TRUE(file.is_open()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

common_chat_templates_inputs chat(bool tools, bool thinking) {
  common_chat_templates_inputs inputs;
  common_chat_msg message;
  message.role = "user";
  message.content = "Hello";
  inputs.messages = {message};
  inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
  inputs.enable_thinking = thinking;
  inputs.parallel_tool_calls = true;
  if (tools) {
    inputs.tools = {{"get_weather", "Weather of a city",
                     R"({"type":"object","properties":{"city":{"type":"string"},)"
                     R"("days":{"type":"integer"}},"required":["city"]})"},
                    {"get_time", "Time of a zone",
                     R"({"type":"object","properties":{"zone":{"type":"string"}},)"
                     R"("required":["zone"]})"}};
  }
  return inputs;
}

class Reading {
 public:
  explicit Reading(const std::shared_ptr<const AnswerFormat>& format) : reader_(format) {}

  void feed(std::string_view bytes) { take(reader_.feed(characters_.feed(bytes))); }

  Seen finish(bool whole) {
    take(reader_.finish(whole));
    return seen_;
  }

 private:
  void take(const AnswerDelta& delta) {
    seen_.content += delta.content;
    seen_.reasoning += delta.reasoning;
    for (const ToolCallDelta& call : delta.calls) {
      if (call.index == seen_.calls.size()) {
        EXPECT_EQ(call.id.size(), 29U) << "its first piece has the id";
        EXPECT_FALSE(call.name.empty());
        seen_.calls.emplace_back(call.name, "");
      } else {
        EXPECT_TRUE(call.id.empty() && call.name.empty());
        EXPECT_EQ(call.index + 1, seen_.calls.size()) << "pieces of an earlier call";
      }
      seen_.calls.back().second += call.arguments;
    }
  }

  AnswerReader reader_;
  Utf8Stream characters_;
  Seen seen_;
};

struct Golden {
  std::string name;
  std::string written;
  Seen seen;
  bool whole = true;  // else a limit cut it
};

class Format {
 public:
  Format(const std::string& file, bool tools, bool thinking)
      : templates_(common_chat_templates_init(nullptr, template_of(file))),
        formats_(templates_.get(), nullptr) {
    common_log_set_verbosity_thold(-1);
    const auto read = formats_.read(chat(tools, thinking));
    EXPECT_TRUE(read.has_value()) << (read ? "" : read.error().message);
    format_ = read ? read->rules.format : nullptr;
  }

  // Every cut in two, and one byte at a time.
  void check(const Golden& golden) const {
    const std::string_view text = golden.written;
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      Reading reading(format_);
      reading.feed(text.substr(0, cut));
      reading.feed(text.substr(cut));
      ASSERT_EQ(reading.finish(golden.whole), golden.seen) << golden.name << ", cut at " << cut;
    }
    Reading bytes(format_);
    for (std::size_t i = 0; i < text.size(); ++i) {
      bytes.feed(text.substr(i, 1));
    }
    EXPECT_EQ(bytes.finish(golden.whole), golden.seen) << golden.name << ", byte by byte";
  }

  void check_random_cuts(const Golden& golden) const {
    EXPECT_TRUE(rc::check(golden.name, [&] {
      Reading reading(format_);
      std::string_view rest = golden.written;
      while (!rest.empty()) {
        const auto size = *rc::gen::inRange<std::size_t>(1, 12);
        reading.feed(rest.substr(0, size));
        rest.remove_prefix(std::min(size, rest.size()));
      }
      RC_ASSERT(reading.finish(golden.whole) == golden.seen);
    }));
  }

  [[nodiscard]] const ChatFormats& formats() const { return formats_; }
  [[nodiscard]] const std::shared_ptr<const AnswerFormat>& format() const { return format_; }

 private:
  common_chat_templates_ptr templates_;
  ChatFormats formats_;
  std::shared_ptr<const AnswerFormat> format_;
};

void check_all(const Format& format, const std::vector<Golden>& goldens) {
  for (const Golden& golden : goldens) {
    format.check(golden);
  }
  format.check_random_cuts(goldens.back());
}

const std::string kWeather = R"({"city": "Paris"})";
const std::string kTime = R"({"zone": "CET"})";

TEST(AnswerGolden, DeepSeekR1) {
  const Format format("llama-cpp-deepseek-r1", true, true);
  const auto call = [](const std::string& name, const std::string& arguments) {
    return "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" + name + "\n```json\n" + arguments +
           "\n```<｜tool▁call▁end｜>";
  };
  const std::string begin = "<｜tool▁calls▁begin｜>";
  const std::string end = "<｜tool▁calls▁end｜>";
  check_all(
      format,
      {{"no call",
        "Simple.\n</think>\n\nParis. 1 < 2, é, {a}.",
        {"Paris. 1 < 2, é, {a}.", "Simple."}},
       {"one call",
        "Look.\n</think>\n\n" + begin + call("get_weather", kWeather) + end,
        {"", "Look.", {{"get_weather", kWeather}}}},
       {"text and call",
        "Look.\n</think>\n\nI look.\n" + begin + call("get_weather", kWeather) + end,
        {"I look.", "Look.", {{"get_weather", kWeather}}}},
       {"cut call",
        "Look.\n</think>\n\n" + begin +
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{\"city\": \"Pa",
        {"", "Look.", {{"get_weather", "{\"city\": \"Pa"}}},
        false},
       {"malformed",
        "Look.\n</think>\n\n" + begin + "<｜tool▁call▁begin｜>nonsense",
        {"", "Look."}},
       {"cut thought", "Still thin", {"", "Still thin"}, false},
       {"two calls",
        "Both.\n</think>\n\n" + begin + call("get_weather", kWeather) + "\n" +
            call("get_time", kTime) + end,
        {"", "Both.", {{"get_weather", kWeather}, {"get_time", kTime}}}}});
}

std::vector<Golden> v31(const std::string& before, const std::string& reasoning) {
  const auto call = [](const std::string& name, const std::string& arguments) {
    return "<｜tool▁call▁begin｜>" + name + "<｜tool▁sep｜>" + arguments + "<｜tool▁call▁end｜>";
  };
  const std::string begin = before + "<｜tool▁calls▁begin｜>";
  const std::string end = "<｜tool▁calls▁end｜>";
  return {{"no call", before + "Paris.", {"Paris.", reasoning}},
          {"one call",
           begin + call("get_weather", kWeather) + end,
           {"", reasoning, {{"get_weather", kWeather}}}},
          {"text and call",
           before + "I look.<｜tool▁calls▁begin｜>" + call("get_weather", kWeather) + end,
           {"I look.", reasoning, {{"get_weather", kWeather}}}},
          {"cut call",
           begin + "<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Pa",
           {"", reasoning, {{"get_weather", "{\"city\": \"Pa"}}},
           false},
          {"malformed", begin + "<｜tool▁call▁begin｜>nonsense", {"", reasoning}},
          {"two calls",
           begin + call("get_weather", kWeather) + call("get_time", kTime) + end,
           {"", reasoning, {{"get_weather", kWeather}, {"get_time", kTime}}}}};
}

TEST(AnswerGolden, DeepSeekV31Thinking) {
  check_all(Format("deepseek-ai-DeepSeek-V3.1", true, true), v31("Hmm.</think>", "Hmm."));
}

TEST(AnswerGolden, DeepSeekV31NotThinking) {
  check_all(Format("deepseek-ai-DeepSeek-V3.1", true, false), v31("", ""));
}

std::vector<Golden> dsml(const std::string& block, const std::string& before,
                         const std::string& reasoning) {
  const std::string weather =
      "<｜DSML｜invoke name=\"get_weather\">\n"
      "<｜DSML｜parameter name=\"city\" string=\"true\">Paris \"1 < 2\"</｜DSML｜parameter>\n"
      "<｜DSML｜parameter name=\"days\" string=\"false\">3</｜DSML｜parameter>\n"
      "</｜DSML｜invoke>";
  const std::string time =
      "<｜DSML｜invoke name=\"get_time\">\n"
      "<｜DSML｜parameter name=\"zone\" string=\"true\">CET</｜DSML｜parameter>\n"
      "</｜DSML｜invoke>";
  const std::string begin = "\n\n<｜DSML｜" + block + ">\n";
  const std::string end = "\n</｜DSML｜" + block + ">";
  const Calls one = {{"get_weather", R"({"city":"Paris \"1 < 2\"","days":3})"}};
  const Calls two = {one[0], {"get_time", R"({"zone":"CET"})"}};
  return {
      {"no call", before + "Paris.", {"Paris.", reasoning}},
      {"one call", before + begin + weather + end, {"", reasoning, one}},
      {"text and call", before + "I look." + begin + weather + end, {"I look.", reasoning, one}},
      {"cut call",
       before + begin +
           "<｜DSML｜invoke name=\"get_weather\">\n"
           "<｜DSML｜parameter name=\"city\" string=\"true\">Pa",
       {"", reasoning, {{"get_weather", "{\"city\":\"Pa"}}},
       false},
      {"malformed", before + begin + "<｜DSML｜invoke name=\"nonsense\">", {"", reasoning}},
      {"two calls", before + begin + weather + "\n" + time + end, {"", reasoning, two}}};
}

TEST(AnswerGolden, DeepSeekV32) {
  check_all(Format("deepseek-ai-DeepSeek-V3.2", true, true),
            dsml("function_calls", "Hmm.</think>", "Hmm."));
  check_all(Format("deepseek-ai-DeepSeek-V3.2", true, false), dsml("function_calls", "", ""));
}

TEST(AnswerGolden, DeepSeekV4) {
  check_all(Format("deepseek-ai-DeepSeek-V4", true, true),
            dsml("tool_calls", "Hmm.</think>", "Hmm."));
  check_all(Format("deepseek-ai-DeepSeek-V4", true, false), dsml("tool_calls", "", ""));
  check_all(Format("deepseek-ai-DeepSeek-V4-Flash-0731", true, true),
            dsml("tool_calls", "Hmm.</think>", "Hmm."));
}

// DeepSeek V3.2 and V4 may call while they think.
TEST(AnswerGolden, DeepSeekCallsInsideThoughts) {
  const Format format("deepseek-ai-DeepSeek-V3.2", true, true);
  std::vector<Golden> goldens = dsml("function_calls", "I need it.", "I need it.");
  format.check(goldens[1]);
  format.check(goldens[5]);
}

std::vector<Golden> hermes(const std::string& before, const std::string& reasoning) {
  const std::string weather =
      "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": " + kWeather + "}\n</tool_call>";
  const std::string time =
      "<tool_call>\n{\"name\": \"get_time\", \"arguments\": " + kTime + "}\n</tool_call>";
  return {
      {"no call", before + "Paris. 1 < 2, <tool>, {a}.", {"Paris. 1 < 2, <tool>, {a}.", reasoning}},
      {"one call", before + weather, {"", reasoning, {{"get_weather", kWeather}}}},
      {"text and call",
       before + "I look.\n" + weather,
       {"I look.", reasoning, {{"get_weather", kWeather}}}},
      {"cut call",
       before + "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Pa",
       {"", reasoning, {{"get_weather", "{\"city\": \"Pa"}}},
       false},
      {"malformed", before + "<tool_call>\nnonsense", {"", reasoning}},
      {"two calls",
       before + weather + "\n" + time,
       {"", reasoning, {{"get_weather", kWeather}, {"get_time", kTime}}}}};
}

TEST(AnswerGolden, Qwen3) {
  check_all(Format("Qwen-Qwen3-0.6B", true, true), hermes("<think>\nHmm.\n</think>\n\n", "Hmm."));
}

TEST(AnswerGolden, Hermes3) {
  check_all(Format("NousResearch-Hermes-3-Llama-3.1-8B-tool_use", true, true), hermes("", ""));
}

TEST(AnswerGolden, ATemplateWithoutTools) {
  const Format format("", true, true);
  EXPECT_FALSE(format.formats().native_tools());
  check_all(format, hermes("", ""));
}

TEST(AnswerGolden, ATemplateWithThoughtsAndWithoutTools) {
  const Format format("deepseek-ai-DeepSeek-R1-Distill-Llama-8B", true, true);
  EXPECT_FALSE(format.formats().native_tools());
  check_all(format, hermes("Hmm.\n</think>\n\n", "Hmm."));
}

TEST(AnswerGolden, ThoughtsWithoutTools) {
  for (const char* file :
       {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-ai-DeepSeek-V3.1",
        "deepseek-ai-DeepSeek-V3.2", "deepseek-ai-DeepSeek-V4", "llama-cpp-deepseek-r1"}) {
    check_all(Format(file, false, true),
              {{std::string(file) + ", cut", "Hm, 1 < 2", {"", "Hm, 1 < 2"}, false},
               {file, "Hm.\n\nOh.</think>Paris\n\n- a <b>", {"Paris\n\n- a <b>", "Hm.\n\nOh."}}});
  }
}

TEST(AnswerGolden, AContinuedAnswerShowsItsRestOnly) {
  const auto templates =
      common_chat_templates_init(nullptr, template_of("deepseek-ai-DeepSeek-V3.1"));
  const ChatFormats formats(templates.get(), nullptr);
  common_chat_templates_inputs inputs = chat(false, true);
  common_chat_msg begun;
  begun.role = "assistant";
  begun.reasoning_content = "Hmm.";
  begun.content = "The capital";
  inputs.messages.push_back(begun);
  inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
  const auto read = formats.read(inputs);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_TRUE(read->prompt.ends_with("The capital")) << read->prompt;
  Reading reading(read->rules.format);
  reading.feed(" is");
  reading.feed(" Paris.");
  EXPECT_EQ(reading.finish(true), (Seen{" is Paris.", ""}));
}

// Reading the whole text again with each token would take a square of its length.
TEST(AnswerGolden, LongAnswersAreParsedSeldom) {
  const Format format("Qwen-Qwen3-0.6B", true, true);
  const auto parses = [&](std::size_t lines) {
    AnswerReader reader(format.format());
    for (std::size_t i = 0; i < lines; ++i) {
      (void)reader.feed("- some *words* of a list [1] <b>\n");
      (void)reader.feed("and then plain words");
      (void)reader.feed(" and more of them,");
      (void)reader.feed(" up to here");
    }
    (void)reader.finish(true);
    return reader.parses();
  };
  EXPECT_LE(parses(4000), 4 * parses(400)) << "ten times the text";
}

TEST(AnswerGolden, CallIdsDiffer) {
  EXPECT_NE(make_call_id(), make_call_id());
  EXPECT_TRUE(make_call_id().starts_with("call_"));
}

}  // namespace
}  // namespace deepmoat::engine
