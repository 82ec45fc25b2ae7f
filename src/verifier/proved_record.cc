// Pure but for the hasher's context.
#include "verifier/proved_record.h"

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "verifier/base64.h"
#include "verifier/segment.h"

namespace deepmoat::verifier {

namespace {

constexpr std::size_t kProofHashesMax = 64;

std::optional<Digest> read_hash(const std::string* text) {
  const auto bytes = text == nullptr ? std::nullopt : from_base64(*text);
  Digest hash;
  if (!bytes || bytes->size() != hash.size()) {
    return std::nullopt;
  }
  std::memcpy(hash.data(), bytes->data(), hash.size());
  return hash;
}

std::optional<std::vector<Digest>> read_proof(const Json& entry) {
  const auto found = entry.find("proof");
  if (found == entry.end() || !found->is_array() || found->size() > kProofHashesMax) {
    return std::nullopt;
  }
  std::vector<Digest> proof;
  for (const Json& item : *found) {
    const auto hash = read_hash(item.get_ptr<const std::string*>());
    if (!hash) {
      return std::nullopt;
    }
    proof.push_back(*hash);
  }
  return proof;
}

}  // namespace

const char* check_entry(const Json& entry, const Checkpoint& checkpoint, const TreeHasher& hasher,
                        ProvedRecord& record) {
  if (!entry.is_object() || !has_exactly(entry, {"sequence", "leaf", "proof"}, "record")) {
    return "an entry must have sequence, leaf and proof, and nothing unknown";
  }
  const std::string* leaf = text_of(entry, "leaf");
  auto leaf_data = leaf == nullptr ? std::nullopt : from_base64(*leaf);
  const auto proof = read_proof(entry);
  if (!number_of(entry, "sequence", record.sequence) || record.sequence == 0 || !leaf_data ||
      !proof) {
    return "an entry's sequence, leaf or proof is malformed";
  }
  record.leaf_data = *std::move(leaf_data);
  Frame frame;
  if (const char* why = parse_leaf_data(record.leaf_data, frame); why != nullptr) {
    return why;
  }
  if (frame.sequence != record.sequence) {
    return "the leaf data is of another sequence";
  }
  if (!included(hasher, record.sequence - 1, checkpoint.size, hasher.leaf(record.leaf_data), *proof,
                checkpoint.root)) {
    return "the proof does not show that the record is in the checkpoint's tree";
  }
  record.unix_ms = frame.unix_ms;
  if (const char* why = read_body(frame.body(), frame.version, record.facts); why != nullptr) {
    return why;
  }
  auto body = parse_object(frame.body());
  if (!body) {
    return "the record's body is not a JSON object";
  }
  if (const auto shown = entry.find("record"); shown != entry.end() && *shown != *body) {
    return "the record that is shown is not the one that was proved";
  }
  record.body = *std::move(body);
  return nullptr;
}

const char* check_deleted_entry(const Json& entry, const Checkpoint& checkpoint,
                                const TreeHasher& hasher, std::uint64_t& sequence) {
  if (!has_exactly(entry, {"sequence", "leaf_hash", "proof"})) {
    return "an entry without text must have sequence, leaf_hash and proof, and nothing else";
  }
  const auto leaf = read_hash(text_of(entry, "leaf_hash"));
  const auto proof = read_proof(entry);
  if (!number_of(entry, "sequence", sequence) || sequence == 0 || !leaf || !proof) {
    return "an entry's sequence, leaf_hash or proof is malformed";
  }
  return included(hasher, sequence - 1, checkpoint.size, *leaf, *proof, checkpoint.root)
             ? nullptr
             : "the proof does not show that the record is in the checkpoint's tree";
}

const char* check_signed_checkpoint(const Json& object, std::span<const VerifierKey> keys,
                                    Checkpoint& checkpoint, SignatureFacts& facts) {
  if (keys.empty()) {
    return "no key was given, and without one it proves nothing";
  }
  const std::string* text = text_of(object, "checkpoint");
  const auto note = parse_note(text == nullptr ? "" : *text);
  if (!note) {
    return "its checkpoint is no signed note";
  }
  auto content = parse_checkpoint(note->text);
  if (!content) {
    return "its checkpoint is none";
  }
  checkpoint = *std::move(content);
  facts = check_signatures(*note, keys, checkpoint.origin);
  return missing_signature(facts, keys);
}

}  // namespace deepmoat::verifier
