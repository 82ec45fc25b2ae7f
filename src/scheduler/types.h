// What goes into the scheduler and what comes out: plain data, no clock, no llama.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/limits.h"

namespace deepmoat::scheduler {

using Token = std::int32_t;
using SequenceId = std::int32_t;  // a sequence of the engine's KV memory

struct Config {
  std::uint32_t cells = 32768;          // tokens that the KV memory holds, over all sequences
  std::uint32_t context_tokens = 8192;  // longest prompt and answer of one call, together
  std::uint32_t sequences = 128;        // sequence ids of the engine; the spare ones hold caches
  std::uint32_t running_max = limits::kRunningCallsMax;  // sequences that compute at once
  std::uint32_t queue_max = limits::kQueuedCallsMax;     // calls that wait
  std::uint32_t step_tokens = 512;        // rows of one batch; at least running_max + 32
  std::uint32_t reserve_tokens = 1024;    // answer tokens a choice reserves at admission at most
  std::uint32_t shared_min = 8;           // a cached prefix shorter than this is not worth a copy
  std::uint32_t wait_min = 32;            // worth waiting while another call computes that many
  std::uint32_t cached_cells_max = 8192;  // cells that only finished sequences may hold
  bool share_prefixes = true;             // off for models whose state cannot be cut (recurrent)
  bool share_cells = true;                // one unified KV memory; else `context_tokens` a sequence
};

struct NewCall {
  std::uint64_t call = 0;
  std::string salt = {};  // calls of different salts never share a prefix
  std::vector<Token> prompt = {};
  std::uint32_t max_tokens = 0;  // 0: as many as the context holds
  std::uint32_t choices = 1;
};

// A token that the engine drew for one choice after the last plan.
struct Sampled {
  std::uint64_t call = 0;
  std::uint32_t choice = 0;
  Token token = 0;
  bool last = false;  // the choice ends here (end of text, stop string, limit)
};

struct Inputs {
  std::vector<std::uint64_t> cancels = {};
  std::vector<Sampled> sampled = {};
  std::vector<NewCall> arrivals = {};
  bool draining = false;          // refuse what arrives
  std::uint32_t step_tokens = 0;  // this step's budget when below Config::step_tokens; 0: no limit
};

struct Refusal {
  enum class Kind : std::uint8_t { invalid, queue_full, context_exceeded, draining };
  std::uint64_t call = 0;
  Kind kind = Kind::queue_full;
  std::uint32_t prompt_tokens = 0;  // the numbers of a context_exceeded
  std::uint32_t context_tokens = 0;
};

// A call that starts to compute (once a call, also when it is preempted later).
struct Admission {
  std::uint64_t call = 0;
  std::uint32_t cached_tokens = 0;  // of its prompt, found in the KV memory
};

// Changes of the KV memory, to do in order and before the batch.
struct MemoryOp {
  enum class Kind : std::uint8_t { copy, cut, drop };
  Kind kind = Kind::drop;
  SequenceId from = 0;       // copy: source; cut: what is shortened; drop: what becomes empty
  SequenceId to = 0;         // copy: an empty sequence
  std::uint32_t tokens = 0;  // copy, cut: positions [0, tokens) are there afterwards
};

// Rows of the batch that continue one sequence.
struct Chunk {
  std::uint64_t call = 0;
  std::uint32_t choice = 0;
  SequenceId sequence = 0;
  std::uint32_t position = 0;  // of the first token
  std::vector<Token> tokens = {};
  std::uint32_t samples =
      0;                // choices to draw from the last row's logits: `choice` and those after
  bool decode = false;  // one row that follows a drawn token
};

struct Plan {
  std::vector<std::uint64_t> cancelled = {};  // calls that were known and are gone now
  std::vector<std::uint64_t> finished = {};   // calls whose every choice has ended
  std::vector<Refusal> refused = {};
  std::vector<Admission> admitted = {};
  std::vector<std::uint64_t> preempted = {};
  std::vector<MemoryOp> memory = {};
  std::vector<Chunk> batch = {};
};

}  // namespace deepmoat::scheduler
