// What a loaded model is for, and what its memory looks like. For .cc files of this folder only.
#pragma once

#include <llama.h>

#include <optional>
#include <string>

#include "engine/model.h"

namespace deepmoat::engine {

[[nodiscard]] std::string meta_of(const llama_model* model, const std::string& key);
[[nodiscard]] std::string architecture_of(const llama_model* model);

// What the options say, or else the file: a ranking head, a pooling or an encoder alone.
[[nodiscard]] Task task_of(const llama_model* model, Task wanted);

struct MemoryPlan {
  MemoryShape shape;
  llama_context_params params;
};

// Context and memory for answers, as the options say and the model allows.
[[nodiscard]] MemoryPlan plan_answers(const llama_model* model, const ModelOptions& options);
// A context that makes a vector or a score of each input.
[[nodiscard]] llama_context_params plan_vectors(const llama_model* model, Task task,
                                                const ModelOptions& options);

}  // namespace deepmoat::engine
