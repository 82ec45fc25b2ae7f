#include "engine/sequence_memory.h"

#include <llama.h>

#include <algorithm>
#include <exception>

namespace deepmoat::engine {

namespace {

llama_state_seq_flags flags_of(bool partial) {
  return partial ? LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY : LLAMA_STATE_SEQ_FLAGS_NONE;
}

}  // namespace

SequenceMemory::SequenceMemory(llama_context* context, const MemoryShape& shape)
    : context_(context), shape_(shape) {}

void SequenceMemory::copy(SequenceId from, SequenceId to, std::uint32_t tokens) {
  llama_memory_t memory = llama_get_memory(context_);
  const auto end = static_cast<llama_pos>(tokens);
  if (shape_.unified && shape_.ranges) {
    llama_memory_seq_cp(memory, from, to, 0, end);
    return;
  }
  llama_memory_seq_cp(memory, from, to, -1, -1);  // these are copied as a whole
  if (!shape_.unified) {
    pending_.emplace_back(from, to);
  }
  if (shape_.ranges && !llama_memory_seq_rm(memory, to, end, -1)) {
    drop(to);
  }
}

void SequenceMemory::cut(SequenceId sequence, std::uint32_t tokens) {
  if (!llama_memory_seq_rm(llama_get_memory(context_), sequence, static_cast<llama_pos>(tokens),
                           -1)) {
    drop(sequence);
  }
}

void SequenceMemory::drop(SequenceId sequence) {
  llama_memory_seq_rm(llama_get_memory(context_), sequence, -1, -1);
}

bool SequenceMemory::holds(SequenceId sequence, std::uint32_t tokens) const {
  llama_memory_t memory = llama_get_memory(context_);
  const auto last = static_cast<llama_pos>(tokens) - 1;
  if (llama_memory_seq_pos_max(memory, sequence) != last) {
    return false;
  }
  switch (shape_.kind) {
    case MemoryKind::anywhere:
      return tokens == 0 || llama_memory_seq_pos_min(memory, sequence) == 0;
    case MemoryKind::window:
      return tokens == 0 || window_is_whole(sequence, tokens);
    case MemoryKind::whole:
      // The state is that of one position, which stands for both ends.
      return tokens == 0 || llama_memory_seq_pos_min(memory, sequence) == last;
  }
  return false;
}

// llama.cpp recycles cells that have left a sequence's window, in any order; after a cut the window
// may have holes where it stood before. The size of a partial state tells how many cells of the
// window are there.
bool SequenceMemory::window_is_whole(SequenceId sequence, std::uint32_t tokens) const {
  const auto first =
      static_cast<std::int64_t>(llama_memory_seq_pos_min(llama_get_memory(context_), sequence));
  const std::int64_t needed = static_cast<std::int64_t>(tokens) + 1 - shape_.window;
  if (first < 0 || first > std::max<std::int64_t>(needed, 0)) {
    return false;
  }
  if (window_cell_bytes_ == 0) {
    return true;
  }
  const std::uint64_t size =
      llama_state_seq_get_size_ext(context_, sequence, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY);
  const std::uint64_t cells =
      size < window_base_bytes_ ? 0 : (size - window_base_bytes_) / window_cell_bytes_;
  // The state counts from one token further back than the next token sees.
  const std::uint64_t counted = std::min<std::uint64_t>(tokens, shape_.window);
  return cells >= counted || (cells + 1 == counted && first == needed);
}

std::uint64_t SequenceMemory::save(std::uint32_t slot, SequenceId sequence, bool partial) {
  forget(slot);
  for (auto copied = pending_.rbegin(); copied != pending_.rend(); ++copied) {
    if (copied->second == sequence) {
      return 0;  // its values arrive with the next batch only
    }
  }
  if (llama_memory_seq_pos_max(llama_get_memory(context_), sequence) < 0) {
    return 0;
  }
  try {
    SavedState state{.bytes = {}, .partial = partial};
    state.bytes.resize(llama_state_seq_get_size_ext(context_, sequence, flags_of(partial)));
    const std::size_t written =
        llama_state_seq_get_data_ext(context_, reinterpret_cast<std::uint8_t*>(state.bytes.data()),
                                     state.bytes.size(), sequence, flags_of(partial));
    if (written == 0 || written != state.bytes.size()) {
      return 0;
    }
    saved_bytes_ += written;
    slots_.insert_or_assign(slot, std::move(state));
    return written;
  } catch (const std::exception&) {
    return 0;
  }
}

void SequenceMemory::restore(std::uint32_t slot, SequenceId sequence) {
  for (const auto& [from, to] : pending_) {
    if (from == sequence) {
      drop(to);  // it would get what is restored now
    }
  }
  const auto state = slots_.find(slot);
  if (state == slots_.end()) {
    drop(sequence);
    return;
  }
  try {
    const std::size_t read = llama_state_seq_set_data_ext(
        context_, reinterpret_cast<const std::uint8_t*>(state->second.bytes.data()),
        state->second.bytes.size(), sequence, flags_of(state->second.partial));
    if (read != state->second.bytes.size()) {
      drop(sequence);
    }
  } catch (const std::exception&) {
    drop(sequence);
  }
}

void SequenceMemory::forget(std::uint32_t slot) {
  const auto state = slots_.find(slot);
  if (state != slots_.end()) {
    saved_bytes_ -= state->second.bytes.size();
    slots_.erase(state);
  }
}

SequenceMemory::Sizes SequenceMemory::sizes(SequenceId sequence) const {
  return {llama_state_seq_get_size_ext(context_, sequence, LLAMA_STATE_SEQ_FLAGS_NONE),
          llama_state_seq_get_size_ext(context_, sequence, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY)};
}

void SequenceMemory::calibrate(const Sizes& few, std::uint32_t few_tokens, const Sizes& many,
                               std::uint32_t many_tokens) {
  const std::uint64_t tokens = many_tokens - few_tokens;
  if (many_tokens <= few_tokens || many.whole < few.whole) {
    return;
  }
  cell_bytes_ = (many.whole - few.whole) / tokens;
  if (shape_.kind != MemoryKind::window || many_tokens > shape_.window) {
    return;
  }
  window_cell_bytes_ = (many.partial - few.partial) / tokens;
  window_base_bytes_ = few.partial - few_tokens * window_cell_bytes_;
}

}  // namespace deepmoat::engine
