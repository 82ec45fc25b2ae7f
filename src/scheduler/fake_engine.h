// An engine for the simulation: it remembers which token, of whom, lies at each place of its
// memory, and draws the next token from a hash of that. A scheduler that shares the wrong thing, or
// in a way that the kind of model does not allow, is found out. For tests.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/types.h"

namespace deepmoat::scheduler {

inline constexpr Token kEnd = 0;

[[nodiscard]] inline std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash ^= value + 0x9E3779B97F4A7C15ULL + (hash << 6U) + (hash >> 2U);
  return hash * 0xBF58476D1CE4E5B9ULL;
}

// One computed token. Equal ids: the same cell.
struct FakeRow {
  std::uint64_t id = 0;
  Token token = 0;
  AdapterId adapter = 0;
  std::string salt = {};
  bool is_public = false;
};

struct FakeSequence {
  std::vector<FakeRow> rows = {};
  // Of the layers with a window: what lies from here to the end is there. Of the recurrent ones:
  // the state is there when this is 0. More than all rows: nothing is there.
  std::size_t complete_from = 0;
};

class FakeEngine {
 public:
  FakeEngine(const Config& config, std::size_t window) : config_(config), window_(window) {}

  // Carries out the plan's memory operations. `fails` says whether a save comes to nothing.
  template <class Fails>
  void carry_out(const Plan& plan, Inputs& next, Fails fails) {
    given_.clear();
    for (const MemoryOp& op : plan.memory) {
      run(op, next, fails);
    }
    for (const SequenceId id : given_) {
      expect(holds(memory_[id]), "a copy of what cannot be copied");
    }
  }

  // Sequences that the last plan's copies and restores went to.
  [[nodiscard]] const std::set<SequenceId>& given() const { return given_; }

  void drop(SequenceId id) { memory_[id] = {}; }

  // Computes the rows and draws. The call is who it is computed for.
  [[nodiscard]] std::vector<Token> compute(const Chunk& chunk, const NewCall& call) {
    FakeSequence& sequence = memory_[chunk.sequence];
    expect(sequence.rows.size() == chunk.position, "a chunk does not follow what is in memory");
    expect(holds(sequence), "a chunk follows a state that is not there");
    for (const Token token : chunk.tokens) {
      sequence.rows.push_back({.id = ++ids_,
                               .token = token,
                               .adapter = call.adapter,
                               .salt = call.salt,
                               .is_public = sequence.rows.size() < call.public_tokens});
    }
    if (config_.sharing == Sharing::window && sequence.rows.size() > window_) {
      sequence.complete_from = std::max(sequence.complete_from, sequence.rows.size() - window_);
    }
    std::vector<Token> tokens;
    for (std::size_t i = 0; i < sequence.rows.size(); ++i) {
      const FakeRow& row = sequence.rows[i];
      tokens.push_back(row.token);
      expect(row.adapter == call.adapter, "a prefix of another adapter");
      expect(row.salt == call.salt || (row.is_public && i < call.public_tokens),
             "a prefix of another salt");
    }
    std::vector<Token> drawn;
    for (std::uint32_t i = 0; i < chunk.samples; ++i) {
      drawn.push_back(next_token(tokens, call.adapter, chunk.choice + i));
    }
    return drawn;
  }

  [[nodiscard]] static Token next_token(const std::vector<Token>& prefix, AdapterId adapter,
                                        std::uint32_t choice) {
    std::uint64_t hash = mix(choice, adapter);
    for (const Token token : prefix) {
      hash = mix(hash, static_cast<std::uint64_t>(token));
    }
    return static_cast<Token>((hash >> 20U) % 29);
  }

  // Whether all fits into the memory that there is.
  void check_cells() {
    std::vector<std::uint64_t> cells;
    for (const auto& [id, sequence] : memory_) {
      for (const FakeRow& row : sequence.rows) {
        cells.push_back(row.id);
      }
      expect(sequence.rows.size() <= config_.context_tokens, "a sequence is too long");
    }
    std::ranges::sort(cells);
    const auto used = std::unique(cells.begin(), cells.end()) - cells.begin();
    expect(!config_.share_cells || used <= static_cast<std::ptrdiff_t>(config_.cells),
           fmt::format("{} cells of {} are in use", used, config_.cells));
  }

  // The first thing that was wrong.
  [[nodiscard]] const std::string& wrong() const { return wrong_; }
  void expect(bool held, const std::string& what) {
    if (!held && wrong_.empty()) {
      wrong_ = what;
    }
  }

 private:
  struct Slot {
    FakeSequence state = {};
    bool partial = false;
  };

  template <class Fails>
  void run(const MemoryOp& op, Inputs& next, Fails& fails) {
    FakeSequence& from = memory_[op.from];
    switch (op.kind) {
      case MemoryOp::Kind::drop:
        from = {};
        given_.erase(op.from);
        break;
      case MemoryOp::Kind::cut:
        expect(from.rows.size() >= op.tokens, "a cut makes a sequence longer");
        expect(config_.sharing == Sharing::anywhere, "a cut of what cannot be cut");
        from.rows.resize(op.tokens);
        break;
      case MemoryOp::Kind::copy:
        copy(from, op);
        break;
      case MemoryOp::Kind::save: {
        expect(from.rows.size() == op.tokens && holds(from), "a save of what is not there");
        expect(!slots_.contains(op.slot), "a save into a slot in use");
        const bool saved = !fails();
        next.saved.push_back({.slot = op.slot, .bytes = saved ? bytes_of(op) : 0});
        if (saved) {
          slots_[op.slot] = {.state = from, .partial = op.partial};
        }
        break;
      }
      case MemoryOp::Kind::restore:
        restore(op);
        break;
      case MemoryOp::Kind::forget:
        expect(slots_.erase(op.slot) == 1, "an empty slot is forgotten");
        break;
    }
  }

  void copy(const FakeSequence& from, const MemoryOp& op) {
    FakeSequence& to = memory_[op.to];
    expect(from.rows.size() >= op.tokens, "a copy takes more than is computed");
    expect(to.rows.empty() && op.from != op.to, "a copy goes over a sequence in use");
    const bool all = from.rows.size() == op.tokens;
    expect(all || config_.sharing != Sharing::whole || config_.partial_checkpoints,
           "a copy of a part of what has no parts");
    to.rows.assign(from.rows.begin(), from.rows.begin() + op.tokens);
    to.complete_from = from.complete_from;
    if (config_.sharing == Sharing::whole && !all) {
      to.complete_from = op.tokens + 1;
    }
    if (!config_.share_cells) {
      for (FakeRow& row : to.rows) {
        row.id = ++ids_;
      }
    }
    given_.insert(op.to);
  }

  void restore(const MemoryOp& op) {
    FakeSequence& to = memory_[op.to];
    const auto slot = slots_.find(op.slot);
    if (slot == slots_.end()) {
      expect(false, "an empty slot is restored");
      return;
    }
    const Slot& saved = slot->second;
    expect(saved.partial == op.partial, "a part is restored as a whole");
    expect(saved.state.rows.size() == op.tokens, "a slot holds another number of tokens");
    given_.insert(op.to);
    if (saved.partial) {
      expect(std::ranges::equal(to.rows, saved.state.rows, {}, &FakeRow::token, &FakeRow::token),
             "a checkpoint is put on another prefix");
      to.complete_from = saved.state.complete_from;
      return;
    }
    expect(to.rows.empty(), "a restore goes over a sequence in use");
    to = saved.state;
    for (FakeRow& row : to.rows) {
      row.id = ++ids_;
    }
    check_cells();
  }

  [[nodiscard]] bool holds(const FakeSequence& sequence) const {
    const std::size_t size = sequence.rows.size();
    if (config_.sharing == Sharing::window) {
      return sequence.complete_from <= (size > window_ ? size - window_ : 0);
    }
    return sequence.complete_from == 0;
  }

  [[nodiscard]] std::uint64_t bytes_of(const MemoryOp& op) const {
    return op.partial ? 40 + op.tokens % 7 : op.tokens * 10ULL + 5;
  }

  Config config_;
  std::size_t window_;
  std::map<SequenceId, FakeSequence> memory_;
  std::map<SlotId, Slot> slots_;
  std::set<SequenceId> given_;
  std::uint64_t ids_ = 0;
  std::string wrong_;
};

}  // namespace deepmoat::scheduler
