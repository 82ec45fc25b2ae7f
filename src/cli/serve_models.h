// The models of a running server, as its configuration wants them.
#pragma once

#include <boost/asio/thread_pool.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "backend/model_fleet.h"
#include "base/config.h"
#include "catalog/catalog.h"
#include "cli/data_folder.h"
#include "cli/model_version.h"
#include "gateway/models.h"
#include "store/database.h"

namespace deepmoat::cli {

// Used by the main thread; the fleet's thread comes back for files and versions.
class ServedModels {
 public:
  // `blocking`: the database's thread. Both outlive this, and the thread runs until this is gone.
  ServedModels(store::Database& database, boost::asio::thread_pool& blocking,
               const DataFolder& folder, const Config& config, const Clock& clock);
  ~ServedModels();
  ServedModels(const ServedModels&) = delete;
  ServedModels& operator=(const ServedModels&) = delete;

  // Adds, changes and removes models until they are those of `config`. Running calls finish with
  // what they began with.
  Result<> apply(const Config& config);

  [[nodiscard]] const gateway::Models& models() const { return models_; }
  [[nodiscard]] backend::ModelFleet& fleet() { return fleet_; }
  // To be used on the database's thread.
  [[nodiscard]] catalog::Catalog& catalog() { return catalog_; }

 private:
  // What a worker of it is started with.
  struct Wanted {
    ModelConfig model;
    std::int64_t queue_max = 0;
    std::int64_t tenant_queue_max = 0;
    bool operator==(const Wanted&) const = default;
  };
  struct Found;  // file and version

  [[nodiscard]] backend::ModelPlan plan(const Wanted& wanted);
  Result<backend::ModelBuild> find(const Wanted& wanted);
  Result<Found> find_file(const ModelConfig& model);
  [[nodiscard]] Settings remembered_hashes();
  struct FoundAdapters;
  Result<FoundAdapters> find_adapters(const ModelConfig& model);
  Result<catalog::Entry> find_entry(const std::string& name);
  [[nodiscard]] std::uint64_t memory_of_worker(const Wanted& wanted, const Found& found);
  [[nodiscard]] static std::uint64_t likely_memory(const ModelConfig& model, const Found& found);
  void remember_memory(const Wanted& wanted, const std::string& version, std::uint64_t bytes);
  void avoid(const std::string& variant);
  [[nodiscard]] std::vector<std::string> avoided();

  store::Database& database_;
  boost::asio::thread_pool& blocking_;
  const Clock& clock_;
  catalog::Catalog catalog_;  // on the database's thread only
  std::mutex mutex_;
  std::vector<std::string> avoided_;
  std::map<std::string, Wanted> served_;  // by name
  gateway::Models models_;
  std::stop_source leaving_;
  backend::ModelFleet fleet_;  // goes first: its thread uses the others
};

}  // namespace deepmoat::cli
