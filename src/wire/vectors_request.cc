// /v1/embeddings (OpenAI) and /v1/rerank (the shape of Jina and vLLM).
#include <fmt/format.h>

#include <array>

#include "base/limits.h"
#include "wire/api_readers.h"
#include "wire/call_fields.h"

namespace deepmoat::wire {

namespace {

OrRefusal<> add_input(const Element& element, const std::string& at, Embed& embed) {
  std::string_view text;
  if (element.get(text) == simdjson::SUCCESS) {
    if (text.empty()) {
      return refuse(at, fmt::format("'{}' is empty.", at));
    }
    embed.add_inputs()->set_text(std::string(text));
    return {};
  }
  simdjson::dom::array list;
  if (element.get(list) != simdjson::SUCCESS) {
    return refuse_type(at, "a string or a list of token ids");
  }
  return read_tokens(list, at, *embed.add_inputs()->mutable_tokens());
}

OrRefusal<> read_inputs(const Object& object, Embed& embed) {
  const auto element = find_field(object, "input");
  if (!element) {
    return refuse_missing("input");
  }
  simdjson::dom::array list;
  if (element->get(list) != simdjson::SUCCESS || holds_numbers(list)) {
    return add_input(*element, "input", embed);
  }
  if (list.size() == 0 || list.size() > limits::kEmbedInputsMax) {
    return refuse("input",
                  fmt::format("'input' must hold 1 to {} texts.", limits::kEmbedInputsMax));
  }
  std::size_t index = 0;
  for (const Element item : list) {
    CHECK_OK(add_input(item, fmt::format("input[{}]", index), embed));
    ++index;
  }
  return {};
}

OrRefusal<> read_documents(const Object& object, Rerank& rerank) {
  TRY(const auto list, read_list(object, "documents"));
  if (!list) {
    return refuse_missing("documents");
  }
  if (list->size() == 0 || list->size() > limits::kRerankDocumentsMax) {
    return refuse("documents",
                  fmt::format("'documents' must hold 1 to {} texts.", limits::kRerankDocumentsMax));
  }
  for (const Element item : *list) {
    const std::string at = fmt::format("documents[{}]", rerank.documents_size());
    std::string_view text;
    Object fields;
    if (item.get(fields) == simdjson::SUCCESS) {
      TRY(auto inner, in(at, read_text(fields, "text")));
      if (!inner) {
        return refuse_missing(at + ".text");
      }
      rerank.add_documents(*std::move(inner));
    } else if (item.get(text) == simdjson::SUCCESS) {
      rerank.add_documents(std::string(text));
    } else {
      return refuse_type(at, "a string or {\"text\": ...}");
    }
  }
  return {};
}

}  // namespace

OrRefusal<InferenceCall> read_embeddings(const Object& object) {
  InferenceCall call;
  call.shape = Shape::embeddings;
  CHECK_OK(read_model(object, call));
  CHECK_OK(read_scheduling(object, call.infer));
  Embed& embed = *call.infer.mutable_embed();
  CHECK_OK(read_inputs(object, embed));
  TRY(const auto format, read_text(object, "encoding_format"));
  if (format && *format != "float" && *format != "base64") {
    return refuse("encoding_format", "'encoding_format' must be float or base64.");
  }
  call.options.base64 = format == "base64";
  TRY(const auto dimensions, read_integer(object, "dimensions", 1, 1'000'000));
  embed.set_dimensions(static_cast<std::uint32_t>(dimensions.value_or(0)));
  call.infer.set_n(1);
  return call;
}

OrRefusal<InferenceCall> read_rerank(const Object& object) {
  InferenceCall call;
  call.shape = Shape::rerank;
  CHECK_OK(read_model(object, call));
  CHECK_OK(read_scheduling(object, call.infer));
  Rerank& rerank = *call.infer.mutable_rerank();
  TRY(auto query, read_text(object, "query"));
  if (!query) {
    return refuse_missing("query");
  }
  if (query->empty()) {
    return refuse("query", "'query' is empty.");
  }
  rerank.set_query(*std::move(query));
  CHECK_OK(read_documents(object, rerank));
  TRY(const auto top_n, read_integer(object, "top_n", 1, 1'000'000));
  call.options.top_n = static_cast<std::uint32_t>(top_n.value_or(0));
  TRY(const auto back, read_bool(object, "return_documents"));
  if (back.value_or(true)) {
    call.options.documents.assign(rerank.documents().begin(), rerank.documents().end());
  }
  call.infer.set_n(1);
  return call;
}

}  // namespace deepmoat::wire
