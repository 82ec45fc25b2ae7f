#include "worker/startup.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <thread>

#include "base/limits.h"
#include "base/log.h"
#include "engine/embedder.h"
#include "engine/model.h"
#include "worker/gguf_check.h"
#include "worker/link.h"
#include "worker/sandbox.h"
#include "worker/service.h"
#include "worker/vectors.h"

namespace deepmoat::worker {

namespace {

constexpr std::uint32_t kHolderSequences = 64;  // finished sequences that keep their prefix
constexpr std::uint32_t kSplitHolders = 8;      // where each costs memory
constexpr std::uint32_t kReserveTokens = 256;   // of an answer; longer ones ask on the way
constexpr std::uint64_t kMemoryShare = 4;       // the KV memory takes a quarter of what is free
constexpr std::uint64_t kSpillShare = 4;        // and saved states as much of the rest, at most
constexpr std::uint64_t kSpillMibMax = 1024;    // this, when nobody says otherwise
constexpr std::uint64_t kMib = 1024ULL * 1024;
constexpr std::uint32_t kDrawThreadsMax = 7;

// Written before, because a signal handler may not format. One worker is one process.
struct IllegalNote {
  std::array<char, 160> text{};
  std::size_t length = 0;
};
IllegalNote& illegal_note() {
  static IllegalNote note;
  return note;
}

void on_illegal(int) {
  const IllegalNote& note = illegal_note();
  (void)!::write(STDERR_FILENO, note.text.data(), note.length);
  ::_exit(kExitIllegal);
}

std::uint64_t available_memory_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::uint64_t kib = 0;
  std::string unit;
  while (file >> name >> kib) {
    std::getline(file, unit);
    if (name == "MemAvailable:") {
      return kib * 1024;
    }
  }
  return 0;
}

void send_progress(Outbox& outbox, float fraction, const std::string& variant) {
  wire::FromWorker frame;
  frame.mutable_progress()->set_fraction(fraction);
  frame.mutable_progress()->set_cpu_variant(variant);
  outbox.put(frame);
  (void)outbox.flush();
}

}  // namespace

std::uint64_t memory_for_cells() {
  return available_memory_bytes() / kMemoryShare;
}

namespace {

engine::ModelOptions model_options(const Options& options, const scheduler::Config& config) {
  engine::ModelOptions made;
  made.file = options.model;
  made.threads = options.threads;
  made.cells = options.cells;
  made.memory_bytes = memory_for_cells();
  made.sequences = config.sequences;
  made.batch_tokens = config.step_tokens;
  made.unified = !options.split_memory;
  for (const AdapterFile& adapter : options.adapters) {
    made.adapters.push_back({adapter.name, adapter.file, adapter.scale});
  }
  const std::map<std::string, engine::Task> tasks{{"generate", engine::Task::generate},
                                                  {"embed", engine::Task::embed},
                                                  {"rerank", engine::Task::rerank}};
  const auto task = tasks.find(options.task);
  made.task = task == tasks.end() ? engine::Task::automatic : task->second;
  const std::map<std::string, engine::Pooling> poolings{{"mean", engine::Pooling::mean},
                                                        {"cls", engine::Pooling::cls},
                                                        {"last", engine::Pooling::last}};
  const auto pooling = poolings.find(options.pooling);
  made.pooling = pooling == poolings.end() ? engine::Pooling::automatic : pooling->second;
  made.window = options.sliding_window == "full"          ? engine::WindowMemory::full
                : options.sliding_window == "checkpoints" ? engine::WindowMemory::checkpoints
                                                          : engine::WindowMemory::automatic;
  return made;
}

scheduler::Config first_config(const Options& options) {
  scheduler::Config config;
  config.running_max = std::min(limits::kRunningCallsMax, options.max_batch_size);
  config.sequences = config.running_max + (options.split_memory ? kSplitHolders : kHolderSequences);
  config.step_tokens = options.step_tokens;
  config.reserve_tokens = kReserveTokens;
  config.cells = 1;
  config.context_tokens = 1;
  if (options.queue_max > 0) {
    config.queue_max = options.queue_max;
  }
  config.tenant_queue_max =
      options.tenant_queue_max > 0 ? options.tenant_queue_max : config.queue_max;
  return scheduler::State(config).config;
}

// What the scheduler must know of the model that was loaded.
// `free_bytes`: of the machine's memory before the model was loaded; later the sandbox hides it.
void fit_config(const engine::Model& model, const Options& options, std::uint64_t free_bytes,
                scheduler::Config& config) {
  const engine::ModelFacts& facts = model.facts();
  const engine::MemoryShape& shape = model.memory().shape();
  config.cells = facts.cells;
  config.context_tokens = facts.context_tokens;
  if (facts.sequences < config.sequences) {
    config.sequences = facts.sequences;
    config.running_max =
        std::min(config.running_max, std::max(1U, facts.sequences - facts.sequences / 4));
  }
  switch (shape.kind) {
    case engine::MemoryKind::anywhere:
      config.sharing = scheduler::Sharing::anywhere;
      break;
    case engine::MemoryKind::window:
      config.sharing = scheduler::Sharing::window;
      break;
    case engine::MemoryKind::whole:
      config.sharing = scheduler::Sharing::whole;
      break;
  }
  config.share_cells = shape.unified;
  config.partial_checkpoints = shape.partial;
  config.cell_bytes = model.memory().cell_bytes();
  config.host_bytes_max = options.spill_mib
                              ? *options.spill_mib * kMib
                              : std::min(free_bytes / kSpillShare, kSpillMibMax * kMib);
}

std::vector<std::filesystem::path> readable_files(const Options& options) {
  std::vector<std::filesystem::path> files = model_parts(options.model);
  for (const AdapterFile& adapter : options.adapters) {
    files.push_back(adapter.file);
  }
  files.insert(files.end(), options.public_prefixes.begin(), options.public_prefixes.end());
  return files;
}

// The check's error says what is wrong; this one also where.
Result<GgufFacts> check_named(const std::filesystem::path& file,
                              std::vector<std::filesystem::path> parts) {
  Result<GgufFacts> facts = check_model_files(std::move(parts));
  if (!facts) {
    facts.error().message = file.string() + ": " + facts.error().message;
  }
  return facts;
}

// Before llama.cpp opens them.
Result<> check_files(const Options& options) {
  TRY(const GgufFacts model, check_named(options.model, model_parts(options.model)));
  if (model.kind != "model") {
    return fail(Code::invalid_argument,
                options.model.string() + " is no model but a " + model.kind);
  }
  for (const AdapterFile& adapter : options.adapters) {
    TRY(const GgufFacts facts, check_named(adapter.file, {adapter.file}));
    if (facts.kind != "adapter" || facts.architecture != model.architecture) {
      return fail(
          Code::invalid_argument,
          fmt::format("{} is no adapter for a model of architecture {} (kind {}, "
                      "architecture {})",
                      adapter.file.string(), model.architecture, facts.kind, facts.architecture));
    }
  }
  return {};
}

struct Started {
  std::unique_ptr<engine::Model> model;
  scheduler::Config config;
  std::string sandbox;
  std::string variant;
};

Result<Started> start(const Options& options, Outbox* outbox) {
  TRY(const engine::CpuVariant variant, choose_variant(options));
  report_illegal_instructions(variant.name);
  if (outbox != nullptr) {
    send_progress(*outbox, 0, variant.name);
  }
  CHECK_OK(engine::load_backends(options.engine_dir, variant));
  Started started;
  started.variant = variant.name;
  started.config = first_config(options);
  engine::ModelOptions wanted = model_options(options, started.config);
  if (outbox != nullptr) {
    wanted.progress = [outbox, last = 0.0F](float fraction) mutable {
      if (fraction - last >= 0.01F) {
        last = fraction;
        send_progress(*outbox, fraction, {});
      }
    };
  }
  if (options.sandbox) {
    TRY(started.sandbox, enter_sandbox({.readable = readable_files(options),
                                        .accelerators = !engine::accelerators().empty()}));
  } else {
    started.sandbox = "none";
    log::warn("RUNNING WITHOUT A SANDBOX: a crafted model file can take over this machine");
  }
  CHECK_OK(check_files(options));
  TRY(started.model, engine::Model::load(wanted));
  if (started.model->facts().task == engine::Task::generate) {
    CHECK_OK(started.model->self_test());
    fit_config(*started.model, options, wanted.memory_bytes * kMemoryShare, started.config);
  } else {
    CHECK_OK(engine::Embedder(*started.model).self_test());
  }
  return started;
}

const char* name_of(scheduler::Sharing sharing) {
  switch (sharing) {
    case scheduler::Sharing::off:
      return "off";
    case scheduler::Sharing::anywhere:
      return "anywhere";
    case scheduler::Sharing::window:
      return "window";
    case scheduler::Sharing::whole:
      return "whole";
  }
  return "off";
}

wire::FromWorker ready_frame(const Started& started, const Options& options) {
  const engine::ModelFacts& facts = started.model->facts();
  wire::FromWorker frame;
  wire::Ready& ready = *frame.mutable_ready();
  ready.set_description(facts.description);
  ready.set_context_tokens(facts.context_tokens);
  ready.set_cells(facts.cells);
  ready.set_parameters(facts.parameters);
  ready.set_model_bytes(facts.model_bytes);
  ready.set_cpu_variant(started.variant);
  ready.set_threads(options.threads);
  ready.set_sandbox(started.sandbox);
  ready.set_chat(facts.chat);
  ready.set_reasoning(facts.reasoning);
  ready.set_tools(facts.tools);
  ready.set_fill(facts.fill);
  ready.set_task(facts.task == engine::Task::embed    ? "embed"
                 : facts.task == engine::Task::rerank ? "rerank"
                                                      : "generate");
  ready.set_embedding_width(facts.embedding_width);
  for (const engine::AdapterFile& adapter : facts.adapters) {
    ready.add_adapters(adapter.name);
  }
  if (facts.task == engine::Task::generate) {
    ready.set_layout(started.config.share_cells ? "unified" : "streams");
    ready.set_sharing(name_of(started.config.sharing));
  }
  ready.set_memory_bytes(facts.model_bytes + started.config.cell_bytes * facts.cells);
  return frame;
}

int fail_with(Outbox& outbox, const Error& error) {
  if (error.code == Code::cancelled) {
    return kExitDone;  // the gateway is gone; nobody to tell
  }
  log::error("the worker stops", {{"why", error.message}});
  wire::FromWorker frame;
  frame.set_fatal(error.message);
  outbox.put(frame);
  outbox.flush_and_wait();
  return kExitFailed;
}

}  // namespace

void settle_environment(int argc, char** argv) {
  // OpenMP's threads spin between two steps by default; with a busy neighbour that costs up to 20
  // times the speed. ggml runs a debugger on abort() unless told not to. What the environment says
  // already stands.
  ::setenv("OMP_WAIT_POLICY", "passive", 0);
  ::setenv("GOMP_SPINCOUNT", "0", 0);
  ::setenv("GGML_NO_BACKTRACE", "1", 0);
  std::vector<char*> again(argv, argv + argc);
  std::string settled = "--settled";
  again.push_back(settled.data());
  again.push_back(nullptr);
  ::execv("/proc/self/exe", again.data());
}

Result<engine::CpuVariant> choose_variant(const Options& options) {
  TRY(const std::vector<engine::CpuVariant> variants,
      engine::rank_cpu_variants(options.engine_dir));
  for (const engine::CpuVariant& variant : variants) {
    const bool avoided = std::ranges::find(options.cpu_variant_avoid, variant.name) !=
                         options.cpu_variant_avoid.end();
    if (options.cpu_variant == "auto" ? variant.score > 0 && !avoided
                                      : variant.name == options.cpu_variant) {
      return variant;
    }
  }
  return fail(Code::unavailable, "no CPU variant of the engine in " + options.engine_dir.string() +
                                     " fits --cpu-variant and --cpu-variant-avoid");
}

void report_illegal_instructions(std::string_view variant) {
  IllegalNote& note = illegal_note();
  const auto end =
      fmt::format_to_n(note.text.data(), note.text.size(),
                       R"({{"level":"warning","message":"illegal instruction","cpu_variant":"{}"}})"
                       "\n",
                       variant);
  note.length = std::min(end.size, note.text.size());
  struct sigaction action{};
  action.sa_handler = on_illegal;
  ::sigaction(SIGILL, &action, nullptr);
}

int serve(const Options& given) {
  Options options = given;
  if (options.threads == 0) {
    options.threads = std::max(1U, std::thread::hardware_concurrency());
  }
  Outbox outbox(options.fd);
  Result<Started> started = start(options, options.self_test ? nullptr : &outbox);
  if (options.self_test) {
    if (!started) {
      fmt::print(stderr, "{}\n", started.error().message);
    }
    return started ? kExitDone : kExitFailed;
  }
  if (!started) {
    return fail_with(outbox, started.error());
  }
  outbox.put(ready_frame(*started, options));
  const SystemClock clock;
  Inbox inbox;
  engine::Model& model = *started->model;
  Result<std::vector<std::vector<engine::Token>>> prefixes =
      read_public_prefixes(model, options.public_prefixes);
  if (!prefixes) {
    return fail_with(outbox, prefixes.error());
  }
  const Preparer preparer(model, clock, *std::move(prefixes));
  const std::jthread reader([fd = options.fd, &preparer, &inbox] {
    const Error why = read_frames(fd, preparer, inbox);
    if (why.code != Code::cancelled) {
      log::error("the worker stops", {{"why", why.message}});
    }
    ::_exit(why.code == Code::cancelled ? kExitDone : kExitFailed);  // nobody to answer to
  });
  if (model.facts().task != engine::Task::generate) {
    VectorService service(model, started->config.queue_max, clock, inbox, outbox);
    const Result<> ended = service.run();
    ::_exit(ended ? kExitDone : fail_with(outbox, ended.error()));
  }
  const ServiceOptions service_options{
      .step_ms = options.step_ms, .draw_threads = std::min(options.threads - 1, kDrawThreadsMax)};
  Service service(model, started->config, service_options, clock, inbox, outbox);
  const Result<> ended = service.run();
  const int status = ended ? kExitDone : fail_with(outbox, ended.error());
  ::_exit(status);  // the reader waits for the gateway, which may stay
}

}  // namespace deepmoat::worker
