#include "cli/serve_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <thread>

#include "backend/local/local_backend.h"
#include "backend/replica_set.h"
#include "base/adapter_file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/cpu_variants.h"
#include "cli/database_thread.h"
#include "cli/model_job.h"
#include "cli/model_version.h"

namespace deepmoat::cli {

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;
// What a worker takes beside weights and KV memory when nothing better is known.
constexpr std::uint64_t kOverheadBytes = 64 * kMib;

std::uint64_t budget_of(const Config& config) {
  return config.memory.budget_mib > 0 ? static_cast<std::uint64_t>(config.memory.budget_mib) * kMib
                                      : backend::usual_budget_bytes();
}

std::int64_t threads_of(const ModelConfig& model) {
  const auto cores = static_cast<std::int64_t>(std::thread::hardware_concurrency());
  // The replicas of one model share the machine, unless told otherwise.
  return model.threads == 0 && model.replicas > 1
             ? std::max<std::int64_t>(cores / model.replicas, 1)
             : model.threads;
}

backend::WorkerCommand worker_command(const ModelConfig& model) {
  backend::WorkerCommand command;
  command.program = sibling_program("deepmoat-worker");
  command.threads = threads_of(model);
  command.cells = model.cells;
  command.max_batch_size = model.max_batch_size;
  command.step_tokens = model.step_tokens;
  command.step_ms = model.inter_token_ms;
  command.spill_mib = model.spill_mib;
  command.task = model.task;
  command.pooling = model.pooling;
  command.layout = model.layout;
  command.public_prefixes = model.public_prefixes;
  command.cpu_variant = model.cpu_variant;
  return command;
}

}  // namespace

struct ServedModels::Found {
  std::filesystem::path file;
  std::uint64_t bytes = 0;
  backend::ModelIdentity identity;
};

struct ServedModels::FoundAdapters {
  std::vector<std::string> arguments;           // as the worker takes them: NAME=FILE[:SCALE]
  std::map<std::string, std::string> versions;  // by name
};

ServedModels::ServedModels(store::Database& database, boost::asio::thread_pool& blocking,
                           const DataFolder& folder, const Config& config, const Clock& clock)
    : database_(database),
      blocking_(blocking),
      clock_(clock),
      catalog_(database, folder.models()),
      fleet_(budget_of(config), clock) {
  auto known = on_database_thread<std::vector<std::string>>(
      blocking_, [&database] { return avoided_cpu_variants(database); });
  avoided_ = known.value_or(std::vector<std::string>());
}

// What the fleet's thread is at must not keep the process, and with it the lock of the data folder,
// for as long as a large file takes to be read.
ServedModels::~ServedModels() {
  leaving_.request_stop();
}

Result<> ServedModels::apply(const Config& config) {
  fleet_.set_budget(budget_of(config));
  std::map<std::string, Wanted> wanted;
  for (const ModelConfig& model : config.models) {
    wanted[model.name] = {.model = model,
                          .queue_max = config.limits.queue_total,
                          .tenant_queue_max = config.limits.queue_per_tenant};
  }
  std::vector<gateway::Model> list;
  for (const ModelConfig& model : config.models) {
    const Wanted& now = wanted[model.name];
    const auto before = served_.find(model.name);
    auto host = fleet_.find(model.name);
    if (!host) {
      host = fleet_.add(plan(now));
    } else if (before != served_.end() && !(before->second == now)) {
      host->change_plan(plan(now));
    }
    list.push_back({.name = ModelName(model.name), .backend = std::move(host)});
  }
  CHECK_OK(models_.publish(std::move(list)));
  for (const auto& [name, old] : served_) {
    if (!wanted.contains(name)) {
      fleet_.remove(name);
    }
  }
  served_ = std::move(wanted);
  return {};
}

backend::ModelPlan ServedModels::plan(const Wanted& wanted) {
  return {.name = wanted.model.name,
          .on_demand = wanted.model.load == "demand",
          .idle_unload_s = wanted.model.idle_unload_s,
          .find = [this, wanted] { return find(wanted); },
          .on_measured =
              [this, wanted](const backend::ModelIdentity& identity, std::uint64_t bytes) {
                remember_memory(wanted, identity.version,
                                bytes / static_cast<std::uint64_t>(wanted.model.replicas));
              }};
}

// --- on the fleet's thread ---

Result<backend::ModelBuild> ServedModels::find(const Wanted& wanted) {
  TRY(Found found, find_file(wanted.model));
  TRY(FoundAdapters adapters, find_adapters(wanted.model));
  found.identity.adapter_versions = std::move(adapters.versions);
  backend::LocalBackendOptions options;
  options.name = wanted.model.name;
  options.command = worker_command(wanted.model);
  options.command.model_path = found.file.string();
  options.command.queue_max = wanted.queue_max;
  options.command.tenant_queue_max = wanted.tenant_queue_max;
  options.command.avoided_variants = avoided();
  options.command.adapters = std::move(adapters.arguments);
  options.on_variant_avoided = [this](const std::string& variant) { avoid(variant); };
  const auto replicas = static_cast<std::size_t>(wanted.model.replicas);
  return backend::ModelBuild{
      .identity = found.identity,
      .memory_bytes = replicas * memory_of_worker(wanted, found),
      .start = [this, options, replicas]() -> std::unique_ptr<backend::Backend> {
        if (replicas == 1) {
          return std::make_unique<backend::LocalBackend>(options, clock_);
        }
        std::vector<std::unique_ptr<backend::Backend>> list;
        for (std::size_t i = 0; i < replicas; ++i) {
          list.push_back(std::make_unique<backend::LocalBackend>(options, clock_));
        }
        return std::make_unique<backend::ReplicaSet>(std::move(list));
      }};
}

Result<ServedModels::Found> ServedModels::find_file(const ModelConfig& model) {
  const Settings settings = remembered_hashes();
  if (!model.path.empty()) {
    TRY(const ModelFile file, identify_model(model.path, settings, leaving_.get_token()));
    return Found{.file = model.path,
                 .bytes = file.bytes,
                 .identity = {.version = file.version, .created_s = file.created_s}};
  }
  TRY(const catalog::Entry entry, find_entry(model.name));
  if (entry.kind != catalog::Kind::model) {
    return fail(Code::invalid_argument, "\"" + model.name + "\" is an adapter, not a model");
  }
  TRY(const ModelFile file, identify_imported(entry, settings, leaving_.get_token()));
  return Found{.file = entry.file,
               .bytes = file.bytes,
               .identity = {.version = file.version, .created_s = entry.created_ms / 1000}};
}

// Files are read on this thread; only the database's part is done on the database's.
Settings ServedModels::remembered_hashes() {
  return {.get =
              [this](const std::string& name) {
                return on_database_thread<std::optional<std::string>>(
                    blocking_, [this, name] { return database_.setting(name); });
              },
          .set =
              [this](const std::string& name, const std::string& value) {
                return on_database_thread<void>(
                    blocking_, [this, name, value] { return database_.set_setting(name, value); });
              }};
}

Result<ServedModels::FoundAdapters> ServedModels::find_adapters(const ModelConfig& model) {
  const Settings settings = remembered_hashes();
  FoundAdapters found;
  for (const std::string& text : model.adapters) {
    if (text.contains('=')) {
      TRY(const AdapterFile adapter, parse_adapter(text));
      TRY(const ModelFile file, identify_model(adapter.file, settings, leaving_.get_token()));
      found.versions[adapter.name] = file.version;
      found.arguments.push_back(text);
      continue;
    }
    TRY(const catalog::Entry entry, find_entry(text));
    if (entry.kind != catalog::Kind::adapter) {
      return fail(Code::invalid_argument, "\"" + text + "\" is a model, not an adapter");
    }
    TRY(const ModelFile file, identify_imported(entry, settings, leaving_.get_token()));
    found.versions[text] = file.version;
    found.arguments.push_back(text + "=" + entry.file.string());
  }
  return found;
}

Result<catalog::Entry> ServedModels::find_entry(const std::string& name) {
  return on_database_thread<catalog::Entry>(blocking_,
                                            [this, name] { return catalog_.find(name); });
}

// --- what was learned, for the next start ---

namespace {

// All that changes what a worker takes.
std::string memory_setting(const ModelConfig& model, const std::string& version) {
  return fmt::format("model_memory:{}:{}:{}:{}:{}:{}:{}", version, model.cells,
                     model.max_batch_size, model.step_tokens, model.layout, model.task,
                     model.adapters.size());
}

}  // namespace

std::uint64_t ServedModels::memory_of_worker(const Wanted& wanted, const Found& found) {
  const std::string name = memory_setting(wanted.model, found.identity.version);
  const auto known = on_database_thread<std::optional<std::string>>(
      blocking_, [this, name] { return database_.setting(name); });
  std::uint64_t bytes = 0;
  if (known && *known) {
    std::from_chars((*known)->data(), (*known)->data() + (*known)->size(), bytes);
  }
  return bytes > 0 ? bytes : likely_memory(wanted.model, found) + kOverheadBytes;
}

// Weights and KV memory, as the worker reads them from the file's head. A file that it refuses
// will be refused again, with the reason, when it is loaded.
std::uint64_t ServedModels::likely_memory(const ModelConfig& model, const Found& found) {
  const auto told = run_job({sibling_program("deepmoat-worker"), "--inspect", found.file.string(),
                             "--cells", std::to_string(model.cells), "--task", model.task},
                            "");
  return told ? std::max(told->value("memory_bytes", std::uint64_t{0}), found.bytes) : found.bytes;
}

void ServedModels::remember_memory(const Wanted& wanted, const std::string& version,
                                   std::uint64_t bytes) {
  boost::asio::post(blocking_, [this, name = memory_setting(wanted.model, version), bytes] {
    // Lost, it costs only a worse guess at the next start.
    (void)database_.set_setting(name, std::to_string(bytes));
  });
}

void ServedModels::avoid(const std::string& variant) {
  {
    const std::lock_guard lock(mutex_);
    avoided_.push_back(variant);
  }
  boost::asio::post(blocking_,
                    [&database = database_, variant] { avoid_cpu_variant(database, variant); });
}

std::vector<std::string> ServedModels::avoided() {
  const std::lock_guard lock(mutex_);
  return avoided_;
}

}  // namespace deepmoat::cli
