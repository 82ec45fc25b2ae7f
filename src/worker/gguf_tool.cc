// One job with one model file, then the end. See the header.
#include "worker/gguf_tool.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/file.h"
#include "engine/backends.h"
#include "engine/measure.h"
#include "engine/model.h"
#include "engine/prompt.h"
#include "engine/quantise.h"
#include "worker/gguf_check.h"
#include "worker/options.h"
#include "worker/sandbox.h"
#include "worker/startup.h"

namespace deepmoat::worker {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kTextBytesMax = 4U << 20U;
constexpr std::uint32_t kCells = 2048;
constexpr std::uint32_t kSequences = 64;
constexpr std::uint32_t kBatchTokens = 512;

struct Job {
  std::filesystem::path inspect;
  std::vector<std::string> quantise;  // source, target, type
  std::filesystem::path measure;
  std::filesystem::path text;
  std::uint32_t prompt_tokens = kBatchTokens;
  std::uint32_t output_tokens = 32;
  std::uint32_t rounds = 3;
  bool from_quantised = false;
  bool no_sandbox = false;
  Options worker;
};

void print(const Json& line) {
  fmt::print("{}\n", line.dump(-1, ' ', true, Json::error_handler_t::replace));
  std::fflush(stdout);
}

// A line a percent at most.
std::function<void(float)> progress_printer() {
  return [last = -1.0F](float fraction) mutable {
    if (fraction - last >= 0.01F || fraction >= 1) {
      last = fraction;
      print({{"progress", fraction}});
    }
  };
}

Result<> close_off(const Job& job, SandboxOptions options) {
  if (job.no_sandbox) {
    return {};
  }
  // Without Landlock nothing but the list of system calls is between the file and the disk.
  if (!options.writable.empty() && landlock_abi() == 0) {
    return fail(Code::unavailable,
                "this kernel has no Landlock, without which a model file cannot be written safely; "
                "quantise it elsewhere");
  }
  const auto entered = enter_sandbox(options);
  return entered ? Result<>() : Result<>(std::unexpected(entered.error()));
}

// What a worker with these options would take, before it has loaded anything.
std::uint64_t likely_memory(const GgufFacts& facts, const Options& options, std::uint64_t free) {
  const std::string& task = options.task == "auto" ? facts.task : options.task;
  if (task != "generate") {
    return facts.bytes;
  }
  return facts.bytes +
         facts.cell_bytes * engine::choose_cells(options.cells, free, facts.cell_bytes);
}

Result<Json> inspect(const Job& job) {
  const std::uint64_t free = memory_for_cells();
  CHECK_OK(close_off(job, {.readable = model_parts(job.inspect)}));
  TRY(const GgufFacts facts, check_model_files(model_parts(job.inspect)));
  return Json{{"facts", Json::parse(to_json(facts))},
              {"memory_bytes", likely_memory(facts, job.worker, free)}};
}

Result<Json> quantise(const Job& job) {
  const std::filesystem::path source = job.quantise[0];
  const std::filesystem::path target = job.quantise[1];
  CHECK_OK(close_off(job, {.readable = model_parts(source), .writable = {target}}));
  TRY(const GgufFacts facts, check_model_files(model_parts(source)));
  CHECK_OK(engine::quantise({.source = source,
                             .target = target,
                             .type = job.quantise[2],
                             .from_quantised = job.from_quantised,
                             .threads = job.worker.threads,
                             .progress = progress_printer()}));
  TRY(const GgufFacts made, check_model_files({target}));
  return Json{{"facts", Json::parse(to_json(made))}};
}

Result<Json> measure(const Job& job) {
  TRY(const std::string text, read_file(job.text, kTextBytesMax));
  TRY(const engine::CpuVariant variant, choose_variant(job.worker));
  report_illegal_instructions(variant.name);
  print({{"cpu_variant", variant.name}});
  CHECK_OK(engine::load_backends(job.worker.engine_dir, variant));
  CHECK_OK(close_off(job, {.readable = model_parts(job.measure),
                           .accelerators = !engine::accelerators().empty()}));
  TRY(const GgufFacts facts, check_model_files(model_parts(job.measure)));
  const SystemClock clock;
  const MonoNanos begun = clock.mono_ns();
  TRY(const auto model, engine::Model::load({.file = job.measure,
                                             .task = engine::Task::generate,
                                             .threads = job.worker.threads,
                                             .cells = kCells,
                                             .sequences = kSequences,
                                             .batch_tokens = kBatchTokens}));
  CHECK_OK(model->self_test());
  const MonoNanos loaded = clock.mono_ns();
  TRY(const engine::Prompt prompt, engine::make_text_prompt(*model, text));
  const std::uint32_t room = std::min(model->facts().cells, model->facts().context_tokens);
  const std::uint32_t output = std::min(job.output_tokens, room / 2);
  const std::uint32_t input = std::min({job.prompt_tokens, room - output, kBatchTokens});
  TRY(const engine::Speed speed,
      engine::measure_speed(*model, prompt.tokens, input, output, job.rounds, clock));
  TRY(const engine::Perplexity perplexity,
      engine::measure_perplexity(*model, prompt.tokens, progress_printer()));
  return Json{{"speed",
               {{"prompt_tokens_s", speed.prompt_tokens_s},
                {"output_tokens_s", speed.output_tokens_s},
                {"prompt_tokens", input},
                {"output_tokens", output},
                {"perplexity", perplexity.value},
                {"perplexity_tokens", perplexity.tokens},
                {"load_ms", (loaded - begun) / 1'000'000},
                {"cpu_variant", variant.name},
                {"threads", job.worker.threads},
                {"accelerators", engine::accelerators()}}}};
}

void add_flags(CLI::App& app, Job& job) {
  app.add_option("--inspect", job.inspect, "Check a model file and say what it is");
  app.add_option("--quantize", job.quantise, "SOURCE TARGET TYPE")->expected(3);
  app.add_option("--measure", job.measure, "Measure a model's speed and perplexity");
  app.add_option("--cells", job.worker.cells, "With --inspect: for the memory that it would take");
  app.add_option("--task", job.worker.task, "With --inspect: the same");
  app.add_option("--text", job.text, "The text to measure with");
  app.add_option("--prompt-tokens", job.prompt_tokens)->check(CLI::Range(16, 512));
  app.add_option("--output-tokens", job.output_tokens)->check(CLI::Range(1, 512));
  app.add_option("--rounds", job.rounds)->check(CLI::Range(1, 20));
  app.add_flag("--from-quantized", job.from_quantised);
  app.add_option("--threads", job.worker.threads)->check(CLI::Range(0, 1024));
  app.add_option("--cpu-variant", job.worker.cpu_variant);
  app.add_option("--cpu-variant-avoid", job.worker.cpu_variant_avoid);
  app.add_option("--engine-dir", job.worker.engine_dir);
  app.add_flag("--no-sandbox", job.no_sandbox);
  app.add_flag("--settled", job.worker.settled);
}

int run(int argc, char** argv) {
  Job job;
  job.worker.engine_dir = engine::default_engine_dir();
  CLI::App app("deepmoat-worker: one job with one model file");
  add_flags(app, job);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitDone : kExitUsage;
  }
  if (!job.worker.settled) {
    settle_environment(argc, argv);
  }
  if (job.worker.threads == 0) {
    job.worker.threads = std::max(1U, std::thread::hardware_concurrency());
  }
  const Result<Json> answer = !job.inspect.empty()    ? inspect(job)
                              : !job.quantise.empty() ? quantise(job)
                                                      : measure(job);
  print(answer ? *answer : Json{{"error", answer.error().message}});
  return answer ? kExitDone : kExitFailed;
}

}  // namespace

std::optional<int> run_gguf_tool(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first != "--inspect" && first != "--quantize" && first != "--measure") {
    return std::nullopt;
  }
  return run(argc, argv);
}

}  // namespace deepmoat::worker
