// One reader an API, on the JSON object of a body; for RequestReader alone.
#pragma once

#include "wire/inference_call.h"
#include "wire/json_reader.h"
#include "wire/key_request.h"

namespace deepmoat::wire {

// openai_request.cc
[[nodiscard]] OrRefusal<InferenceCall> read_chat_completion(const Object& object);
[[nodiscard]] OrRefusal<InferenceCall> read_completion(const Object& object);
[[nodiscard]] OrRefusal<InferenceCall> read_predict(const Object& object);
// vectors_request.cc
[[nodiscard]] OrRefusal<InferenceCall> read_embeddings(const Object& object);
[[nodiscard]] OrRefusal<InferenceCall> read_rerank(const Object& object);
// anthropic_request.cc
[[nodiscard]] OrRefusal<InferenceCall> read_message_call(const Object& object);
[[nodiscard]] OrRefusal<InferenceCall> read_token_count(const Object& object);
// responses_request.cc
[[nodiscard]] OrRefusal<InferenceCall> read_response_call(const Object& object);
// key_request.cc
[[nodiscard]] OrRefusal<CreateKeyRequest> read_create_key(const Object& object);
[[nodiscard]] OrRefusal<KeyFields> read_change_key(const Object& object);
[[nodiscard]] OrRefusal<TenantRequest> read_create_tenant(const Object& object);
[[nodiscard]] OrRefusal<TenantRequest> read_change_tenant(const Object& object);

}  // namespace deepmoat::wire
