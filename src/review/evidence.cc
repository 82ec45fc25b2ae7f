// Trees, proofs and receipts; the export has a file of its own.
#include "review/evidence.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "audit/checkpointer.h"
#include "base/file.h"
#include "crypto/base64.h"

namespace deepmoat::review {

namespace {

using transparency::Digest;
using transparency::TreeHash;
using Json = nlohmann::ordered_json;

constexpr std::size_t kNoteBytesMax = 64 * 1024;
constexpr const char* kTiles = "tile";
constexpr std::size_t kNodesMax = 1 << 16;
// The server may make a new checkpoint while we read, and removes the right edge of the old one.
constexpr int kTries = 20;

Result<transparency::Checkpoint> checkpoint_in(const std::string& note) {
  TRY(const transparency::Note parsed, transparency::parse_note(note));
  return transparency::parse_checkpoint(parsed.text);
}

}  // namespace

Result<SignedTree> signed_tree(std::string note, transparency::TreeView tree) {
  TRY(transparency::Checkpoint checkpoint, checkpoint_in(note));
  if (checkpoint.size > tree.size()) {
    return fail(Code::corrupt, fmt::format("the checkpoint is of {} records, the tree has {}",
                                           checkpoint.size, tree.size()));
  }
  return SignedTree{std::move(note), std::move(checkpoint), std::move(tree)};
}

StoredTree::StoredTree(const std::filesystem::path& log_folder) : tiles_(log_folder / kTiles) {}

Result<std::unique_ptr<StoredTree>> StoredTree::open(const std::filesystem::path& log_folder) {
  std::unique_ptr<StoredTree> stored(new StoredTree(log_folder));
  for (int tries = 1;; ++tries) {
    TRY(std::string note, read_file(log_folder / audit::kCheckpointFile, kNoteBytesMax));
    TRY(const transparency::Checkpoint checkpoint, checkpoint_in(note));
    auto edge = stored->tiles_.read_edge(checkpoint.size);
    if (edge) {
      TRY(SignedTree tree,
          signed_tree(std::move(note), transparency::TreeView(TreeHash::sha256, checkpoint.size,
                                                              *std::move(edge), stored->tiles_)));
      stored->tree_ = std::make_unique<SignedTree>(std::move(tree));
      return stored;
    }
    if (tries == kTries) {
      return std::unexpected(std::move(edge).error());
    }
  }
}

// Nodes of whole tile levels come from the tiles, those between them are hashed once.
Result<Digest> Prover::node(unsigned level, std::uint64_t index) {
  if (level % transparency::kTileHeight == 0) {
    return tree_.tree.node(level, index);
  }
  // Distinct for all nodes: the leaves of a node end where no other's of another level do but for
  // its own children, and 2 x index + 1 at its level is its middle.
  const std::uint64_t middle = ((2 * index) + 1) << (level - 1);
  if (const auto found = nodes_.find(middle); found != nodes_.end()) {
    return found->second;
  }
  TRY(const Digest left, node(level - 1, 2 * index));
  TRY(const Digest right, node(level - 1, (2 * index) + 1));
  if (nodes_.size() >= kNodesMax) {
    nodes_.clear();
  }
  return nodes_[middle] = transparency::node_hash(TreeHash::sha256, left, right);
}

Result<std::vector<Digest>> Prover::prove(std::uint64_t sequence, std::string_view leaf) {
  const transparency::Checkpoint& checkpoint = tree_.checkpoint;
  if (sequence == 0 || sequence > checkpoint.size) {
    return fail(Code::invalid_argument,
                fmt::format("the checkpoint of {} records does not hold record {}", checkpoint.size,
                            sequence));
  }
  TRY(std::vector<Digest> proof,
      transparency::inclusion_proof(
          TreeHash::sha256, sequence - 1, checkpoint.size,
          [this](unsigned level, std::uint64_t index) { return node(level, index); }));
  if (!transparency::inclusion_holds(TreeHash::sha256,
                                     transparency::leaf_hash(TreeHash::sha256, leaf), sequence - 1,
                                     checkpoint.size, proof, checkpoint.root)) {
    return fail(Code::corrupt,
                fmt::format("record {} is not the one that the checkpoint holds: verify the log",
                            sequence));
  }
  return proof;
}

Result<std::string> receipt_json(const std::filesystem::path& log_folder,
                                 std::string_view request_id,
                                 const std::vector<RequestRecord>& records, SignedTree tree,
                                 std::string_view keys) {
  LeafReader leaves(log_folder);
  Prover prover(std::move(tree));
  Json list = Json::array();
  for (const RequestRecord& record : records) {
    TRY(const std::string leaf, leaves.read(record.sequence, record.segment, record.frame_offset));
    TRY(const std::vector<Digest> proof, prover.prove(record.sequence, leaf));
    Json hashes = Json::array();
    for (const Digest& hash : proof) {
      hashes.push_back(crypto::to_base64(crypto::view(hash)));
    }
    list.push_back({{"sequence", record.sequence},
                    {"leaf", crypto::to_base64(leaf)},
                    {"proof", std::move(hashes)},
                    {"record", Json::parse(body_of_leaf(leaf), nullptr, false)}});
  }
  const Json receipt = {{"object", "audit.receipt"},
                        {"request_id", request_id},
                        {"checkpoint", prover.tree().note},
                        {"key", keys},
                        {"records", std::move(list)}};
  return receipt.dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace deepmoat::review
