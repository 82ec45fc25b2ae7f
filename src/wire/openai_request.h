// Request bodies of the OpenAI API, and of the promised POST /api/predict, to types.
// Unknown fields are ignored, as OpenAI's own clients send new ones; a field that would change
// the answer and that we do not serve yet is refused by name, never ignored.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/strong.h"
#include "wire/refusal.h"
#include "wire/worker.pb.h"

namespace deepmoat::wire {

enum class Shape : std::uint8_t { chat, completion, predict };  // which answer the caller expects

// A parsed call for inference. `infer.call_id` and `infer.tenant_salt` are still empty.
struct InferenceCall {
  Shape shape = Shape::chat;
  ModelName model;  // empty: the default model (predict only)
  InferRequest infer;
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
};

// POST /admin/v1/keys
struct CreateKeyRequest {
  std::string client_id;
  std::string role;
  std::string tenant;
  std::string label;
  std::int64_t lifetime_s = 0;  // 0: the configured lifetime
};

// Parses JSON bodies. Holds the parser's memory, so one a thread is enough; not thread-safe.
class RequestReader {
 public:
  RequestReader();
  ~RequestReader();
  RequestReader(RequestReader&&) noexcept;
  RequestReader& operator=(RequestReader&&) noexcept;

  [[nodiscard]] OrRefusal<InferenceCall> chat_completion(std::string_view body);
  [[nodiscard]] OrRefusal<InferenceCall> completion(std::string_view body);
  [[nodiscard]] OrRefusal<InferenceCall> predict(std::string_view body);
  [[nodiscard]] OrRefusal<CreateKeyRequest> create_key(std::string_view body);
  // {"reason": "..."}; an empty body gives an empty reason.
  [[nodiscard]] OrRefusal<std::string> reason(std::string_view body);
  // {"expires_at": unix seconds}
  [[nodiscard]] OrRefusal<std::int64_t> expires_at(std::string_view body);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace deepmoat::wire
