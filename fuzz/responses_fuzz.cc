// links: deepmoat_wire deepmoat_base nlohmann_json::nlohmann_json
// Any bytes as a body of /v1/responses, /v1/embeddings or /v1/rerank: nothing crashes, what is
// refused is the caller's fault and says so, and what an answer repeats of the request is JSON.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/limits.h"
#include "wire/answer.h"
#include "wire/request_reader.h"

namespace {

using deepmoat::wire::Answer;
using deepmoat::wire::AnswerHead;
using deepmoat::wire::InferenceCall;
using deepmoat::wire::make_answer_writer;
using deepmoat::wire::OrRefusal;
using deepmoat::wire::RequestReader;
namespace limits = deepmoat::limits;

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void check(OrRefusal<InferenceCall> call) {
  if (!call) {
    must(call.error().status == 400 && call.error().type == "invalid_request_error");
    must(!call.error().code.empty() && !call.error().message.empty());
    return;
  }
  must(call->infer.n() == 1 && !call->model.value().empty());
  must(call->infer.embed().inputs_size() <= static_cast<int>(limits::kEmbedInputsMax));
  must(call->infer.rerank().documents_size() <= static_cast<int>(limits::kRerankDocumentsMax));
  const AnswerHead head{.shape = call->shape, .id = "x_1", .model = call->model.value()};
  const auto writer = make_answer_writer(head, std::move(call->options));
  must(nlohmann::json::accept(writer->body(Answer())));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static RequestReader reader;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check(reader.response(body));
  check(reader.embeddings(body));
  check(reader.rerank(body));
  return 0;
}
