// For tests: the flags that a worker needs on this machine.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "models/tiny_models.h"
#include "worker/options.h"
#include "worker/worker_process.h"

namespace deepmoat::worker {

// Flags that avoid CPU variants which die here, found once.
inline const std::vector<std::string>& safe_variant_flags() {
  static const std::vector<std::string> flags = [] {
    std::vector<std::string> found;
    for (int tries = 0; tries < 16; ++tries) {
      std::vector<std::string> all{"--model", tests::demo_model(), "--cells", "512"};
      all.insert(all.end(), found.begin(), found.end());
      WorkerProcess worker(all);
      if (worker.wait_until_ready() || worker.wait_for_exit() != kExitIllegal) {
        break;
      }
      found.insert(found.end(), {"--cpu-variant-avoid", worker.tried_variant});
    }
    return found;
  }();
  return flags;
}

inline std::vector<std::string> flags_of(const std::string& model,
                                         const std::vector<std::string>& more = {}) {
  std::vector<std::string> flags{"--model", model};
  flags.insert(flags.end(), safe_variant_flags().begin(), safe_variant_flags().end());
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

// Of a tiny model of tests/models; empty: it could not be made.
inline std::string tiny(const std::string& name) {
  static std::map<std::string, std::string> made;
  const auto [entry, fresh] = made.try_emplace(name);
  if (fresh) {
    entry->second = tests::tiny_model(name);
  }
  return entry->second;
}

}  // namespace deepmoat::worker
