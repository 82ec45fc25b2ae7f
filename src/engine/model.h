// A loaded model with its KV memory. llama.cpp stays behind it. Decoding and memory operations
// belong to one thread; facts(), and the functions of prompt.h, may be used from any.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/sequence_memory.h"

namespace deepmoat::engine {

using Token = std::int32_t;

enum class Task : std::uint8_t { automatic, generate, embed, rerank };

// How an embedding model makes one vector of an input.
enum class Pooling : std::uint8_t { automatic, mean, cls, last };

// What layers with a sliding window remember.
enum class WindowMemory : std::uint8_t {
  automatic,    // everything, where that takes no more memory
  full,         // everything: any prefix can be shared
  checkpoints,  // the window: shared prefixes need a saved state of it
};

struct AdapterFile {
  std::string name;
  std::filesystem::path file;
  float scale = 1;  // when a call names none
};

struct ModelOptions {
  std::filesystem::path file;
  std::vector<AdapterFile> adapters = {};
  Task task = Task::automatic;
  Pooling pooling = Pooling::automatic;
  WindowMemory window = WindowMemory::automatic;
  std::uint32_t threads = 1;
  std::uint32_t cells = 0;              // 0: as many as fit into memory_bytes, 32768 at most
  std::uint64_t memory_bytes = 0;       // what the KV memory may take when `cells` is 0
  std::uint32_t sequences = 128;        // 256 at most
  std::uint32_t batch_tokens = 512;     // rows of one decode() at most
  bool unified = true;                  // one KV memory for all; else an equal part a sequence
  std::function<void(float)> progress;  // 0 to 1, on the loading thread
};

// The tokens that the memory of a model for answers holds: `wanted`, or what fits into
// `memory_bytes` when that is 0.
[[nodiscard]] std::uint32_t choose_cells(std::uint32_t wanted, std::uint64_t memory_bytes,
                                         std::uint64_t cell_bytes);

struct ModelFacts {
  std::string description;  // e.g. "llama 135M Q4_1"
  std::string architecture;
  Task task = Task::generate;
  std::uint32_t context_tokens = 0;  // embed, rerank: of one input
  std::uint32_t cells = 0;
  std::uint32_t sequences = 0;  // may be fewer than asked for, where each costs memory
  std::uint64_t parameters = 0;
  std::uint64_t model_bytes = 0;
  std::uint32_t vocabulary = 0;
  std::uint32_t embedding_width = 0;
  bool chat = false;
  bool reasoning = false;
  bool tools = false;
  bool fill = false;  // has fill-in-the-middle tokens
  std::vector<AdapterFile> adapters;
};

// Rows of a batch that continue one sequence.
struct Rows {
  SequenceId sequence = 0;
  std::uint32_t position = 0;
  std::span<const Token> tokens;
  bool logits = false;  // of the last row
};

struct ModelHandles;  // engine/handles.h

class Model {
 public:
  // Code::not_found, ::invalid_argument (not a usable model) or ::resource_exhausted (memory).
  // llama.cpp may also end the process on a crafted file: load inside the sandbox.
  [[nodiscard]] static Result<std::unique_ptr<Model>> load(const ModelOptions& options);

  Model(std::unique_ptr<ModelHandles> handles, ModelFacts facts);  // for load()
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model();

  [[nodiscard]] const ModelFacts& facts() const { return facts_; }
  [[nodiscard]] const ModelHandles& handles() const { return *handles_; }

  // Runs the kernels of short and long batches on sequence 0 and empties it; learns what a saved
  // token costs. On a processor that does not do what it promises this ends in SIGILL.
  [[nodiscard]] Result<> self_test();

  // REQUIRES: task generate.
  [[nodiscard]] SequenceMemory& memory() { return *memory_; }
  [[nodiscard]] const SequenceMemory& memory() const { return *memory_; }

  // The following batches run with this adapter of facts().adapters; none: the model alone.
  [[nodiscard]] Result<> use_adapter(std::optional<std::size_t> index, float scale);

  // Computes a batch. REQUIRES: at most batch_tokens rows; each group follows what its sequence
  // holds. Code::resource_exhausted: no room for all of it, and the memory is as before. Any other
  // error leaves the memory undefined: give up the process.
  [[nodiscard]] Result<> decode(std::span<const Rows> batch);

  // Logits of the last row of group `index` of the last decode(), valid until the next one.
  // REQUIRES: the group asked for them.
  [[nodiscard]] std::span<const float> logits(std::size_t index) const;

 private:
  std::unique_ptr<ModelHandles> handles_;
  std::unique_ptr<SequenceMemory> memory_;
  ModelFacts facts_;
  std::optional<std::size_t> adapter_;
  float adapter_scale_ = 0;
};

}  // namespace deepmoat::engine
