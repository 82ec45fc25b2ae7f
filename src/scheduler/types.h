// What goes into the scheduler and what comes out: plain data, no clock, no llama.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/limits.h"

namespace deepmoat::scheduler {

using Token = std::int32_t;
using SequenceId = std::int32_t;  // a sequence of the engine's KV memory
using SlotId = std::uint32_t;     // a saved state in host memory
using AdapterId = std::uint32_t;  // an adapter with a scale; 0: none

// What of a sequence in memory another one may take over.
enum class Sharing : std::uint8_t {
  off,
  anywhere,  // any range [0, n): plain and compressed (MLA) attention
  window,    // [0, n) of the global layers; the window's part only at its end or from a checkpoint
  whole,     // its whole state, or a checkpoint: recurrent, hybrid, DeepSeek V4
};

struct Config {
  std::uint32_t cells = 32768;          // tokens that the KV memory holds, over all sequences
  std::uint32_t context_tokens = 8192;  // longest prompt and answer of one call, together
  std::uint32_t sequences = 128;        // sequence ids of the engine; the spare ones hold caches
  std::uint32_t running_max = limits::kRunningCallsMax;      // sequences that compute at once
  std::uint32_t queue_max = limits::kQueuedCallsMax;         // calls that wait, of all tenants
  std::uint32_t tenant_queue_max = limits::kQueuedCallsMax;  // calls that wait, of one tenant
  std::uint32_t step_tokens = 512;        // rows of one batch; at least running_max + 32
  std::uint32_t reserve_tokens = 1024;    // answer tokens a choice reserves at admission at most
  std::uint32_t watermark_cells = 0;      // kept free at admission for answers that grow
  std::uint32_t shared_min = 8;           // a cached prefix shorter than this is not worth a copy
  std::uint32_t wait_min = 32;            // worth waiting while another call computes that many
  std::uint32_t cached_cells_max = 8192;  // cells that only finished sequences may hold
  Sharing sharing = Sharing::anywhere;
  bool share_cells = true;            // a copy refers to the same cells; else it takes its own
  bool partial_checkpoints = true;    // a checkpoint completes a copy; else it stands alone
  std::uint32_t unit_tokens = 512;    // window, whole: a checkpoint at least each so many tokens
  std::uint64_t host_bytes_max = 0;   // of saved states; 0: nothing is spilled or checkpointed
  std::uint64_t cell_bytes = 0;       // of one token in a saved state, to estimate before saving
  std::uint32_t adapter_quantum = 8;  // steps before another adapter gets its turn
  double fairness_slack = 2048;  // service by which a tenant may be ahead and still not "ahead"
};

struct NewCall {
  std::uint64_t call = 0;
  std::string tenant = {};             // fairness and queue bounds go by this
  double weight = 1;                   // of the tenant
  std::uint32_t priority = 0;          // class; 0 goes before 1
  std::uint32_t tenant_queue_max = 0;  // of this tenant; 0: as in the Config
  std::uint64_t deadline_ms = 0;       // on Inputs::now_ms; refused when it waits beyond; 0: none
  std::string salt = {};               // calls of different salts never share a prefix
  std::uint32_t public_tokens = 0;     // so many first tokens are public: shared across salts
  AdapterId adapter = 0;               // calls of different adapters never share a prefix
  std::vector<Token> prompt = {};
  std::vector<std::uint32_t> marks = {};  // positions where messages end, rising; units end there
  std::uint32_t max_tokens = 0;           // 0: as many as the context holds
  std::uint32_t choices = 1;
};

// A token that the engine drew for one choice after the last plan.
struct Sampled {
  std::uint64_t call = 0;
  std::uint32_t choice = 0;
  Token token = 0;
  bool last = false;  // the choice ends here (end of text, stop string, limit)
};

// What became of a save of the last plan.
struct Saved {
  SlotId slot = 0;
  std::uint64_t bytes = 0;  // 0: it failed, the slot is empty
};

struct Inputs {
  std::uint64_t now_ms = 0;  // monotonic; deadlines and rates go by it
  std::vector<std::uint64_t> cancels = {};
  std::vector<Sampled> sampled = {};
  std::vector<NewCall> arrivals = {};
  std::vector<Saved> saved = {};
  // Sequences of the last plan that do not hold what a copy or restore should have given them
  // (the engine looked): their chunks were not computed and their calls start over.
  std::vector<SequenceId> lost = {};
  bool draining = false;          // refuse what arrives
  std::uint32_t step_tokens = 0;  // this step's budget when below Config::step_tokens; 0: no limit
  std::uint32_t solo_tokens = 0;  // the same of a step that has newcomers' prompts alone
};

struct Refusal {
  enum class Kind : std::uint8_t {
    invalid,
    queue_full,
    tenant_queue_full,
    context_exceeded,
    draining,
    deadline
  };
  std::uint64_t call = 0;
  Kind kind = Kind::queue_full;
  std::uint32_t prompt_tokens = 0;  // the numbers of a context_exceeded
  std::uint32_t context_tokens = 0;
  std::uint32_t waiting = 0;         // calls in the queue that was full
  std::uint64_t retry_after_ms = 0;  // from the queue's length and the speed so far; 0: unknown
};

// A call that starts to compute (once a call, also when it is preempted later).
struct Admission {
  std::uint64_t call = 0;
  std::uint32_t cached_tokens = 0;  // of its prompt, found in memory
};

// Changes of memory, to do in order and before the batch.
struct MemoryOp {
  enum class Kind : std::uint8_t {
    copy,     // `to` (empty) gets positions [0, tokens) of `from`
    cut,      // `from` keeps positions [0, tokens)
    drop,     // `from` becomes empty
    save,     // the state of `from`, which holds `tokens`, goes into `slot`
    restore,  // the state in `slot` goes into `to`; `tokens` are there afterwards
    forget,   // `slot` is empty
  };
  Kind kind = Kind::drop;
  SequenceId from = 0;
  SequenceId to = 0;
  std::uint32_t tokens = 0;
  SlotId slot = 0;
  bool partial = false;  // save, restore: only what a copy does not carry (window, recurrent part)
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
  AdapterId adapter = 0;  // of the whole batch
  std::vector<Chunk> batch = {};
};

// From the state's beginning.
struct Counters {
  std::uint64_t preemptions = 0;
  std::uint64_t spills = 0;
  std::uint64_t restores = 0;
  std::uint64_t prefix_queries = 0;  // prompt tokens looked up at admission
  std::uint64_t prefix_hits = 0;     // of these, found
  std::uint64_t evictions = 0;
  std::uint64_t checkpoints = 0;  // saved at ends of units
  std::uint64_t lost = 0;         // branches that began anew
};

}  // namespace deepmoat::scheduler
