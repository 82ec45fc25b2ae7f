#include "backend/local/quarantine.h"

#include <functional>

namespace deepmoat::backend {

namespace {
constexpr int kStrikesMax = 2;
constexpr std::size_t kFingerprintsMax = 4096;  // beyond it the memory of old crashes is dropped
}  // namespace

std::uint64_t Quarantine::fingerprint(const wire::InferRequest& request) {
  wire::InferRequest content = request;
  content.set_call_id(0);
  return std::hash<std::string>{}(content.SerializeAsString());
}

void Quarantine::strike(std::uint64_t fingerprint) {
  if (strikes_.size() >= kFingerprintsMax) {
    strikes_.clear();
  }
  ++strikes_[fingerprint];
}

bool Quarantine::holds(std::uint64_t fingerprint) const {
  const auto found = strikes_.find(fingerprint);
  return found != strikes_.end() && found->second >= kStrikesMax;
}

}  // namespace deepmoat::backend
