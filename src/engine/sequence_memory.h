// Sequences in a model's KV memory, and states of them saved in host memory. What a sequence may
// give to another depends on the kind of the model; nothing tells when it gave too little, so the
// caller must ask holds() after a copy or a restore. Decode thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

struct llama_context;

namespace deepmoat::engine {

using SequenceId = std::int32_t;

// What of a sequence another one may take over.
enum class MemoryKind : std::uint8_t {
  anywhere,  // any range [0, n): plain and compressed (MLA) attention
  window,    // [0, n) of the layers that see everything; the others keep a window at the end
  whole,     // the state at its last position: recurrent, hybrid, DeepSeek V4
};

struct MemoryShape {
  MemoryKind kind = MemoryKind::anywhere;
  bool unified = true;       // a copy refers to the same cells; else it takes its own
  bool ranges = true;        // a copy of [0, n) is possible; else of the whole sequence
  bool partial = false;      // a partial state completes a copy of a range; else it stands alone
  std::uint32_t window = 0;  // tokens that a layer with a window sees
};

class SequenceMemory {
 public:
  SequenceMemory(llama_context* context, const MemoryShape& shape);

  [[nodiscard]] const MemoryShape& shape() const { return shape_; }

  // `to` (empty) gets positions [0, tokens) of `from`, as far as the kind allows.
  void copy(SequenceId from, SequenceId to, std::uint32_t tokens);
  // `sequence` keeps [0, tokens). When the kind cannot cut there, the sequence becomes empty.
  void cut(SequenceId sequence, std::uint32_t tokens);
  void drop(SequenceId sequence);

  // Whether a next token at position `tokens` would see all that it must see.
  [[nodiscard]] bool holds(SequenceId sequence, std::uint32_t tokens) const;

  // Puts a sequence's state into a slot; `partial`: only what a copy of the range does not carry.
  // Returns its bytes; 0: there is no state or no memory for it, and the slot is empty.
  std::uint64_t save(std::uint32_t slot, SequenceId sequence, bool partial);
  // Puts a slot's state into `sequence`; the slot keeps it. When that fails the sequence is empty.
  void restore(std::uint32_t slot, SequenceId sequence);
  void forget(std::uint32_t slot);

  [[nodiscard]] std::uint64_t saved_bytes() const { return saved_bytes_; }

  // The copies so far are carried out: the engine does those between separate parts of the memory
  // with its next batch.
  void note_decoded() { pending_.clear(); }

  // Learns what a saved token costs from a sequence that held `few` and then `many` tokens.
  struct Sizes {
    std::uint64_t whole = 0;
    std::uint64_t partial = 0;
  };
  [[nodiscard]] Sizes sizes(SequenceId sequence) const;
  void calibrate(const Sizes& few, std::uint32_t few_tokens, const Sizes& many,
                 std::uint32_t many_tokens);
  // Of one token in a saved state; 0 before calibrate().
  [[nodiscard]] std::uint64_t cell_bytes() const { return cell_bytes_; }

 private:
  struct SavedState {
    std::vector<std::byte> bytes;
    bool partial = false;
  };
  [[nodiscard]] bool window_is_whole(SequenceId sequence, std::uint32_t tokens) const;

  llama_context* context_;
  MemoryShape shape_;
  std::map<std::uint32_t, SavedState> slots_;
  std::uint64_t saved_bytes_ = 0;
  std::vector<std::pair<SequenceId, SequenceId>> pending_;  // copies: from, to
  std::uint64_t cell_bytes_ = 0;
  std::uint64_t window_cell_bytes_ = 0;
  std::uint64_t window_base_bytes_ = 0;  // of a partial state beside its cells
};

}  // namespace deepmoat::engine
