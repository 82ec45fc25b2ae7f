#include "backend/local/quarantine.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <functional>

namespace deepmoat::backend {

namespace {
constexpr int kStrikesMax = 2;
constexpr std::size_t kFingerprintsMax = 4096;  // beyond it the memory of old crashes is dropped
}  // namespace

std::uint64_t Quarantine::fingerprint(const wire::InferRequest& request) {
  wire::InferRequest content = request;
  content.set_call_id(0);
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream sink(&bytes);
    google::protobuf::io::CodedOutputStream stream(&sink);
    stream.SetSerializationDeterministic(true);  // a map's order would change with every call
    content.SerializeToCodedStream(&stream);
  }
  return std::hash<std::string>{}(bytes);
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
