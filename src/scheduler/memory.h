// Sequences, cells and saved states within one step: changes the state's account of them and writes
// down the operations that make the engine's memory follow.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "scheduler/state.h"
#include "scheduler/types.h"

namespace deepmoat::scheduler {

// What of a prompt is in memory, and how to get it: copy `tokens` of `sequence`, or restore `slot`,
// or both (the slot completes the copy).
struct Match {
  std::uint32_t tokens = 0;
  SequenceId sequence = -1;
  std::optional<SlotId> slot = {};
  std::uint32_t coming = 0;  // tokens that a running prompt will have computed
  SequenceId coming_from = -1;
};

class Memory {
 public:
  Memory(State& state, Plan& plan) : s_(state), plan_(plan) {}

  // --- for the branch ---

  // REQUIRES: the branch waits.
  [[nodiscard]] Match match(const Branch& branch) const;
  // Cells that memory must give besides what running branches hold already, when the branch starts
  // from `found`: for its tokens; not for its answer.
  [[nodiscard]] std::uint32_t cells_needed(const Branch& branch, const Match& found) const;
  // The branch gets a sequence with what was found in it.
  void start(Branch& branch, const Match& found);
  // Cells for the next `count` tokens. REQUIRES: so many are free.
  void grow(Branch& branch, std::uint32_t count);
  // The branch leaves memory; with `keep`, what it computed stays for others (and for itself, when
  // it comes back) until the room is needed.
  void release(Branch& branch, bool keep);
  // The branch's sequence does not hold what it should: it begins anew.
  void start_over(Branch& branch);
  // Gives `to` a sequence with all that `from` has computed.
  void fork(const Branch& from, Branch& to);

  // The branch is in the tree as one that waits, with all of its tokens. It leaves it.
  void want(Branch& branch);
  void forget_want(Branch& branch);

  // --- room ---

  // Lets go of kept sequences until so many cells are free; false: not possible.
  bool free_cells(std::uint32_t count);
  // These stay free whatever else needs cells.
  void hold_back(std::uint32_t cells) { held_back_ = cells; }

  // --- units, for models of which only a whole state can be taken over ---

  // Where the chunk of `branch` that would end at `end` should end.
  [[nodiscard]] std::uint32_t chunk_end(const Branch& branch, std::uint32_t end) const;
  // Notes that a chunk ends at `end`; save_units() saves it when that is worth it.
  void note_chunk(Branch& branch, std::uint32_t end) const;
  void save_units();

  // What became of the last plan's saves.
  void settle_saves(std::span<const Saved> saved);

 private:
  [[nodiscard]] bool shares_any_range() const { return s_.config.sharing == Sharing::anywhere; }
  [[nodiscard]] bool shares_whole() const {
    return s_.config.sharing == Sharing::window || s_.config.sharing == Sharing::whole;
  }
  [[nodiscard]] Sequence& at(SequenceId id) { return s_.sequences[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Sequence& at(SequenceId id) const {
    return s_.sequences[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] std::vector<Token> path(const Branch& branch, std::size_t tokens) const;

  // Matching.
  struct Found;
  [[nodiscard]] std::optional<SlotId> slot_of(SourceId source) const;
  void note_coming(SequenceId id, std::uint32_t shared, Match& best) const;
  void look_for_range(const PrefixTree::Point& point, std::uint32_t shared, Found& found) const;
  void look_for_whole(const PrefixTree::Point& point, std::uint32_t usable, Found& found) const;
  [[nodiscard]] SequenceId holder_of(const PrefixTree::Point& point, std::uint32_t tokens) const;
  [[nodiscard]] std::uint32_t wanted_stop(const Branch& branch, std::uint32_t from) const;

  // Starting.
  bool take(Branch& branch, const Match& found);
  [[nodiscard]] bool should_take_over(SequenceId kept, std::uint32_t tokens) const;
  void take_over(Branch& branch, SequenceId kept, std::uint32_t tokens);
  void copy(SequenceId from, SequenceId to, std::uint32_t tokens);
  bool restore(Branch& branch, const Match& found);
  void distrust_sources(Branch& branch);

  // Letting go.
  void drop_redundant(SequenceId kept);
  bool let_go_least();
  void let_go(SequenceId kept);

  // Sequences and cells.
  [[nodiscard]] bool has_spare_sequence() const;
  SequenceId take_sequence();
  void free_sequence(SequenceId id);
  void take_cells(Sequence& sequence, std::uint32_t count);
  void drop_cells(Sequence& sequence, std::size_t keep);

  // Saved states.
  void spill(SequenceId kept);
  void forget_shorter(SlotId slot);
  [[nodiscard]] bool is_saved(PrefixTree::Line line, std::uint32_t tokens, bool partial) const;
  std::optional<SlotId> save(SequenceId from, std::uint32_t tokens, bool partial);
  bool make_host_room(std::uint64_t bytes);
  void forget(SlotId slot);
  void close(SlotId slot);

  State& s_;
  Plan& plan_;
  std::uint32_t held_back_ = 0;
  std::uint32_t saves_ = 0;  // of this step
  SequenceId in_use_ = -1;   // a kept one that must stay for now
  std::optional<SlotId> slot_in_use_ = {};
};

}  // namespace deepmoat::scheduler
