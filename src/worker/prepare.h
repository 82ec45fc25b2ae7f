// From a request to what the decode thread needs: tokens, marks, the answer's format. Runs on the
// reader thread, so that no prompt holds up the answers that run.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/prompt.h"
#include "wire/worker.pb.h"

namespace deepmoat::worker {

// A call whose prompt is tokenised. An Embed or Rerank keeps its inputs in the request and has no
// prompt.
struct PreparedCall {
  wire::InferRequest request;  // its prompt is cleared
  engine::Prompt prompt;
  MonoNanos arrived_ns = 0;
  std::uint32_t public_tokens = 0;  // so many first tokens are an administrator's public prefix
  std::string echo;                 // of a call that wants its prompt back: that text
};

// The public prefixes: each file holds the text of a system message that callers of all tenants
// begin with. Code::not_found, ::io or ::invalid_argument, naming the file.
[[nodiscard]] Result<std::vector<std::vector<engine::Token>>> read_public_prefixes(
    const engine::Model& model, const std::vector<std::filesystem::path>& files);

// Thread-safe.
class Preparer {
 public:
  Preparer(const engine::Model& model, const Clock& clock,
           std::vector<std::vector<engine::Token>> public_prefixes = {});

  // Refused::INVALID or ::UNSUPPORTED with the field's name when no prompt can be made.
  [[nodiscard]] std::expected<PreparedCall, wire::Refused> prepare(
      wire::InferRequest request) const;

 private:
  [[nodiscard]] std::uint32_t public_tokens(const std::vector<engine::Token>& prompt) const;

  const engine::Model& model_;
  const Clock& clock_;
  std::vector<std::vector<engine::Token>> public_prefixes_;
};

}  // namespace deepmoat::worker
