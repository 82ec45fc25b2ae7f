// Another Deepmoat server as the second place of our checkpoints: it is a witness, and takes one
// only with a proof that our log has grown and nothing else (transparency/witness.h).
#pragma once

#include <memory>
#include <string>

#include "audit/checkpoint_place.h"
#include "base/clock.h"
#include "base/result.h"

namespace deepmoat::cli {

struct NodePlaceOptions {
  std::string url;       // "https://other.example:8443"
  std::string origin;    // of our log
  std::string key_file;  // with an API key of the other server; read each time, so that the key can
                         // be replaced while we run
  std::string ca_file;   // authorities that it is checked against; empty: the system's
};

inline constexpr const char* kNodePlace = "node:";

// Asked once a minute at most, and when the server ends; each request ends after five seconds.
// Code::invalid_argument for anything but an https address.
[[nodiscard]] Result<std::unique_ptr<audit::CheckpointPlace>> node_place(NodePlaceOptions options,
                                                                         const Clock& clock);

}  // namespace deepmoat::cli
