// A gateway in this process over an audit log, with a backend that answers at once: what remains of
// a call is what the gateway and the log cost.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "audit/disk.h"
#include "base/result.h"

namespace deepmoat::bench {

struct GatewayOptions {
  std::filesystem::path folder;  // a new one
  audit::Disk* disk = nullptr;
  bool checkpoints = true;
  int threads = 1;
};

class ScratchGateway {
 public:
  static Result<std::unique_ptr<ScratchGateway>> start(const GatewayOptions& options);
  ~ScratchGateway();
  ScratchGateway(const ScratchGateway&) = delete;
  ScratchGateway& operator=(const ScratchGateway&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] const std::string& key() const;  // an API key as a client sends it

 private:
  class Parts;
  explicit ScratchGateway(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace deepmoat::bench
