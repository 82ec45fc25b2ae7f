#include "worker/options.h"

#include <CLI/CLI.hpp>

#include <sstream>

#include "base/limits.h"
#include "engine/backends.h"

namespace deepmoat::worker {

namespace {

void add_flags(CLI::App& app, Options& o, bool& no_sandbox) {
  app.add_option("--fd", o.fd, "Socket to the gateway, inherited");
  app.add_option("--model", o.model, "GGUF model file")->required();
  app.add_option("--threads", o.threads, "Computing threads; 0: one a core")
      ->check(CLI::Range(0, 1024));
  app.add_option("--cells", o.cells, "Tokens that all calls may hold together; 0: by memory")
      ->check(CLI::Range(0, 1 << 24));
  app.add_option("--max-batch-size", o.max_batch_size, "Calls that compute at once, 64 at most")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--step-tokens", o.step_tokens, "Rows of one batch at most")
      ->check(CLI::Range(32, 8192))
      ->capture_default_str();
  app.add_option("--step-ms", o.step_ms, "Time of a step while answers run; 0: no limit")
      ->capture_default_str();
  app.add_option("--cpu-variant", o.cpu_variant, "CPU variant of the engine: auto or a name")
      ->capture_default_str();
  app.add_option("--cpu-variant-avoid", o.cpu_variant_avoid,
                 "A CPU variant that auto must not choose; may be repeated");
  app.add_option("--engine-dir", o.engine_dir, "Folder with libggml-cpu-*.so")
      ->capture_default_str();
  app.add_flag(
      "--split-memory", o.split_memory,
      "Give every sequence its own part of the KV memory (prefixes are copied, not shared)");
  app.add_flag("--no-sandbox", no_sandbox,
               "DANGEROUS: parse the model file without Landlock and seccomp");
  app.add_flag("--probe", o.probe,
               "Find the CPU variants that work here, print them as JSON, exit");
  app.add_flag("--settled", o.settled, "")->group("");
  app.add_flag("--self-test", o.self_test, "Load the model, test the engine, exit");
}

void add_serving_flags(CLI::App& app, Options& o, std::vector<std::string>& adapters) {
  app.add_option("--task", o.task, "auto, generate, embed or rerank")
      ->check(CLI::IsMember({"auto", "generate", "embed", "rerank"}));
  app.add_option("--pooling", o.pooling, "Of embeddings: none, mean, cls, last or rank")
      ->check(CLI::IsMember({"", "none", "mean", "cls", "last", "rank"}));
  app.add_option("--layout", o.layout, "Of the KV memory: auto, unified or streams")
      ->check(CLI::IsMember({"auto", "unified", "streams"}));
  app.add_option("--adapter", adapters, "LoRA adapter as NAME=FILE[:SCALE]; may be repeated");
  app.add_option("--public-prefix", o.public_prefixes,
                 "File with a system message whose cached prefix all tenants share; may be "
                 "repeated");
  app.add_option("--spill-mib", o.spill_mib, "Host memory for saved states, MiB; 0: none saved");
  app.add_option("--sliding-window", o.sliding_window,
                 "What layers with a sliding window remember: auto, full or checkpoints")
      ->check(CLI::IsMember({"auto", "full", "checkpoints"}));
  app.add_option("--queue-max", o.queue_max, "Calls that may wait; 0: the default");
  app.add_option("--tenant-queue-max", o.tenant_queue_max,
                 "Calls of one tenant that may wait; 0: as --queue-max");
}

}  // namespace

Parsed parse_options(int argc, const char* const* argv) {
  Parsed parsed;
  Options& options = parsed.options;
  options.engine_dir = engine::default_engine_dir();
  bool no_sandbox = false;
  CLI::App app(
      "deepmoat-worker: runs one model for the gateway, without keys and without a network");
  std::vector<std::string> adapters;
  add_flags(app, options, no_sandbox);
  add_serving_flags(app, options, adapters);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    const int status = app.exit(error, out, out);
    parsed.early = {out.str(), status == 0 ? kExitDone : kExitUsage};
    return parsed;
  }
  options.sandbox = !no_sandbox;
  options.split_memory = options.split_memory || options.layout == "streams";
  for (const std::string& text : adapters) {
    const auto adapter = parse_adapter(text);
    if (!adapter) {
      parsed.early = {adapter.error().message + "\n", kExitUsage};
      return parsed;
    }
    options.adapters.push_back(*adapter);
  }
  if (options.fd < 0 && !options.probe && !options.self_test) {
    parsed.early = {"--fd is missing: the gateway starts workers; alone use --probe\n", kExitUsage};
  }
  return parsed;
}

}  // namespace deepmoat::worker
