#include "backend/affinity.h"

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>

namespace deepmoat::backend {

namespace {

constexpr std::size_t kBlockBytes = 256;  // about 64 tokens of English
constexpr std::size_t kBlocksMax = 256;   // beyond 64 KiB prompts count as equal

// FNV-1a would do; the standard's hash is faster on blocks of this size.
std::uint64_t chain(std::uint64_t hash, std::string_view block) {
  return (hash ^ std::hash<std::string_view>{}(block)) * 0x9E3779B97F4A7C15ULL;
}

// Cuts text that comes in pieces into blocks.
class Blocks {
 public:
  explicit Blocks(std::uint64_t seed) : hash_(seed) {}

  void add(std::string_view piece) {
    while (!piece.empty() && hashes_.size() < kBlocksMax) {
      const std::size_t taken = std::min(kBlockBytes - block_.size(), piece.size());
      block_ += piece.substr(0, taken);
      piece.remove_prefix(taken);
      if (block_.size() == kBlockBytes) {
        close();
      }
    }
  }

  // The last block may be short.
  std::vector<std::uint64_t> finish() {
    if (!block_.empty() && hashes_.size() < kBlocksMax) {
      close();
    }
    return std::move(hashes_);
  }

 private:
  void close() {
    hash_ = chain(hash_, block_);
    hashes_.push_back(hash_);
    block_.clear();
  }

  std::uint64_t hash_;
  std::string block_;
  std::vector<std::uint64_t> hashes_;
};

void add_chat(const wire::ChatPrompt& chat, Blocks& blocks) {
  for (const wire::Tool& tool : chat.tools()) {
    blocks.add(tool.name());
    blocks.add(tool.description());
    blocks.add(tool.parameters());
  }
  for (const wire::ChatMessage& message : chat.messages()) {
    blocks.add(message.role());
    blocks.add(message.content());
    for (const wire::ToolCall& call : message.tool_calls()) {
      blocks.add(call.arguments());
    }
  }
}

void add_tokens(const wire::Tokens& tokens, Blocks& blocks) {
  for (const std::int32_t id : tokens.ids()) {
    blocks.add({reinterpret_cast<const char*>(&id), sizeof id});
  }
}

}  // namespace

std::vector<std::uint64_t> prompt_blocks(const wire::InferRequest& request) {
  Blocks blocks(chain(chain(1, request.tenant_salt()), request.adapter()));
  switch (request.prompt_case()) {
    case wire::InferRequest::kChat:
      add_chat(request.chat(), blocks);
      break;
    case wire::InferRequest::kText:
      blocks.add(request.text());
      break;
    case wire::InferRequest::kFill:
      blocks.add(request.fill().prefix());
      break;
    case wire::InferRequest::kTokens:
      add_tokens(request.tokens(), blocks);
      break;
    default:
      break;  // vectors and scores have no prefix cache
  }
  return blocks.finish();
}

std::optional<Affinity::Match> Affinity::find(const std::vector<std::uint64_t>& blocks) {
  for (std::size_t count = blocks.size(); count > 0; --count) {
    const std::uint64_t hash = blocks[count - 1];
    for (const auto* table : {&young_, &old_}) {
      const auto found = table->find(hash);
      if (found != table->end()) {
        return Match{.replica = found->second, .blocks = count};
      }
    }
  }
  return std::nullopt;
}

void Affinity::note(const std::vector<std::uint64_t>& blocks, std::size_t replica) {
  for (const std::uint64_t hash : blocks) {
    if (young_.size() >= blocks_max_ / 2) {
      old_ = std::exchange(young_, {});
    }
    young_[hash] = replica;
  }
}

}  // namespace deepmoat::backend
