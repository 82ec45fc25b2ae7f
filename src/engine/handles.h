// llama.cpp's objects behind Model. For .cc files of this folder only.
#pragma once

#include <chat.h>
#include <llama.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/chat_format.h"
#include "engine/model.h"

namespace deepmoat::engine {

struct FreeModel {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct FreeContext {
  void operator()(llama_context* context) const { llama_free(context); }
};

struct ModelHandles {
  std::unique_ptr<llama_model, FreeModel> model;
  std::unique_ptr<llama_context, FreeContext> context;
  common_chat_templates_ptr templates;
  std::unique_ptr<ChatFormats> chat_formats;
  const llama_vocab* vocab = nullptr;
  std::vector<std::string> control_texts;  // of the tokens that no user may type, longest first
  llama_batch batch{};                     // room for batch_tokens rows, a sequence id each
  std::int32_t batch_tokens = 0;
  std::vector<std::int32_t> logit_rows;       // group of the last batch -> its last row
  std::vector<llama_adapter_lora*> adapters;  // the model frees them
  MemoryShape shape;

  ModelHandles() = default;
  ModelHandles(const ModelHandles&) = delete;
  ModelHandles& operator=(const ModelHandles&) = delete;
  ~ModelHandles() {
    if (batch.token != nullptr) {
      llama_batch_free(batch);
    }
  }
};

}  // namespace deepmoat::engine
