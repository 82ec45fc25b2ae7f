// Requests that have crashed a worker twice are refused from then on.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "wire/worker.pb.h"

namespace deepmoat::backend {

// Counts crashes by fingerprint of a request. A call that merely ran beside the guilty one gets
// a strike too, and loses it when it later succeeds. Used by one thread.
class Quarantine {
 public:
  // Hash of what the engine would compute: prompt, sampling, limits; not the call id.
  [[nodiscard]] static std::uint64_t fingerprint(const wire::InferRequest& request);

  void strike(std::uint64_t fingerprint);
  void clear(std::uint64_t fingerprint) { strikes_.erase(fingerprint); }
  [[nodiscard]] bool holds(std::uint64_t fingerprint) const;

 private:
  std::unordered_map<std::uint64_t, int> strikes_;
};

}  // namespace deepmoat::backend
