// A call for inference as its body says it, whatever API it came through.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/strong.h"
#include "wire/worker.pb.h"

namespace deepmoat::wire {

// Which answer the caller expects.
enum class Shape : std::uint8_t {
  chat,         // OpenAI, /v1/chat/completions
  completion,   // OpenAI, /v1/completions
  predict,      // /api/predict
  embeddings,   // OpenAI, /v1/embeddings
  rerank,       // Jina and vLLM, /v1/rerank
  message,      // Anthropic, /v1/messages
  token_count,  // Anthropic, /v1/messages/count_tokens
  response,     // OpenAI, /v1/responses
};

// What the answer repeats or obeys, and no backend needs to know.
struct AnswerOptions {
  bool include_usage = false;          // stream_options.include_usage
  bool base64 = false;                 // embeddings
  std::uint32_t top_n = 0;             // rerank; 0: all
  std::vector<std::string> documents;  // rerank, to give back with their scores; empty: do not
  std::string settings;                // responses: members of the answer that repeat the request
};

// A parsed call. Who sent it and what his tenant may is filled in by the pipeline.
struct InferenceCall {
  Shape shape = Shape::chat;
  ModelName model;  // empty: the default model (predict only)
  InferRequest infer;
  // Of a completion of several prompts: those after the first, each with its prompt and nothing
  // else.
  std::vector<InferRequest> further_prompts;
  bool stream = false;
  bool names_temperature = false;  // else the model's default may go over ours
  bool names_top_p = false;
  AnswerOptions options;
};

}  // namespace deepmoat::wire
