#include "wire/request_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "wire/api_readers.h"
#include "wire/key_request.h"

namespace deepmoat::wire {

constexpr std::int64_t kDaysMax = 1'000'000;

struct RequestReader::Parser {
  simdjson::dom::parser parser;

  OrRefusal<Object> parse(std::string_view body);
};

RequestReader::RequestReader() : parser_(std::make_unique<Parser>()) {}
RequestReader::~RequestReader() = default;
RequestReader::RequestReader(RequestReader&&) noexcept = default;
RequestReader& RequestReader::operator=(RequestReader&&) noexcept = default;

OrRefusal<Object> RequestReader::Parser::parse(std::string_view body) {
  if (parser.capacity() < body.size() || parser.max_depth() != limits::kJsonDepthMax) {
    if (parser.allocate(std::max<std::size_t>(body.size(), 4096), limits::kJsonDepthMax) !=
        simdjson::SUCCESS) {
      return std::unexpected(to_refusal({Code::unavailable, "No memory for this request body."}));
    }
  }
  if (body.data() == nullptr) {
    body = "";  // simdjson copies from where it points, even nothing
  }
  Element root;
  // `true`: copied with the padding that the parser reads past the end.
  const auto error = parser.parse(body.data(), body.size(), true).get(root);
  if (error == simdjson::DEPTH_ERROR) {
    return refuse(
        "", fmt::format("The request body nests deeper than {} levels.", limits::kJsonDepthMax),
        "json_too_deep");
  }
  if (error != simdjson::SUCCESS) {
    return refuse(
        "", fmt::format("The request body is not valid JSON: {}", simdjson::error_message(error)),
        "invalid_json");
  }
  Object object;
  if (root.get(object) != simdjson::SUCCESS) {
    return refuse("", "The request body must be a JSON object.", "invalid_json");
  }
  return object;
}

OrRefusal<nlohmann::ordered_json> RequestReader::object(std::string_view body) {
  TRY([[maybe_unused]] const Object checked, parser_->parse(body));
  auto tree = nlohmann::ordered_json::parse(body, nullptr, false);
  if (!tree.is_object()) {  // a number that no type of it holds, and the like
    return refuse("", "The request body is not valid JSON.", "invalid_json");
  }
  return tree;
}

OrRefusal<InferenceCall> RequestReader::chat_completion(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_chat_completion(object);
}

OrRefusal<InferenceCall> RequestReader::completion(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_completion(object);
}

OrRefusal<InferenceCall> RequestReader::predict(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_predict(object);
}

OrRefusal<InferenceCall> RequestReader::embeddings(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_embeddings(object);
}

OrRefusal<InferenceCall> RequestReader::rerank(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_rerank(object);
}

OrRefusal<InferenceCall> RequestReader::message(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_message_call(object);
}

OrRefusal<InferenceCall> RequestReader::token_count(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_token_count(object);
}

OrRefusal<InferenceCall> RequestReader::response(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_response_call(object);
}

OrRefusal<CreateKeyRequest> RequestReader::create_key(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_create_key(object);
}

OrRefusal<KeyFields> RequestReader::change_key(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_change_key(object);
}

OrRefusal<TenantRequest> RequestReader::create_tenant(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_create_tenant(object);
}

OrRefusal<TenantRequest> RequestReader::change_tenant(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  return read_change_tenant(object);
}

OrRefusal<std::string> RequestReader::reason(std::string_view body) {
  if (body.empty()) {
    return std::string();
  }
  TRY(const Object object, parser_->parse(body));
  TRY(auto reason, read_text(object, "reason"));
  return std::move(reason).value_or("");
}

OrRefusal<SecondFactorRequest> RequestReader::second_factor(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  SecondFactorRequest request;
  TRY(auto client_id, read_text(object, "client_id"));
  if (!client_id) {
    return refuse_missing("client_id");
  }
  request.client_id = *std::move(client_id);
  TRY(auto tenant, read_text(object, "tenant"));
  request.tenant = std::move(tenant).value_or("default");
  TRY(auto algorithm, read_text(object, "algorithm"));
  request.algorithm = std::move(algorithm).value_or("totp-sha1");
  TRY(auto code, read_text(object, "one_time_password"));
  request.one_time_password = std::move(code).value_or("");
  return request;
}

OrRefusal<SignInRequest> RequestReader::sign_in(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  SignInRequest request;
  TRY(auto name, read_text(object, "name"));
  if (!name) {
    return refuse_missing("name");
  }
  request.name = *std::move(name);
  TRY(auto tenant, read_text(object, "tenant"));
  request.tenant = std::move(tenant).value_or("default");
  TRY(auto password, read_text(object, "password"));
  request.password = Secret(std::move(password).value_or(""));
  TRY(auto code, read_text(object, "one_time_password"));
  request.one_time_password = std::move(code).value_or("");
  TRY(auto new_password, read_text(object, "new_password"));
  request.new_password = Secret(std::move(new_password).value_or(""));
  return request;
}

OrRefusal<std::string> RequestReader::one_time_password(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  TRY(auto code, read_text(object, "one_time_password"));
  if (!code) {
    return refuse_missing("one_time_password");
  }
  return *std::move(code);
}

OrRefusal<WebhookRequest> RequestReader::webhook(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  WebhookRequest request;
  TRY(auto url, read_text(object, "url"));
  request.url = std::move(url).value_or("");
  TRY(request.tenant, read_text(object, "tenant"));
  TRY(auto events, read_texts(object, "events"));
  request.events = std::move(events).value_or(std::vector<std::string>());
  return request;
}

OrRefusal<CertificateRequest> RequestReader::certificate(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  CertificateRequest request;
  TRY(auto client_id, read_text(object, "client_id"));
  request.client_id = std::move(client_id).value_or("");
  TRY(request.tenant, read_text(object, "tenant"));
  TRY(const auto days, read_integer(object, "days", -kDaysMax, kDaysMax));
  request.days = days.value_or(request.days);
  return request;
}

OrRefusal<std::int64_t> RequestReader::expires_at(std::string_view body) {
  TRY(const Object object, parser_->parse(body));
  TRY(const auto at, read_integer(object, "expires_at", 0, 100'000'000'000));
  if (!at) {
    return refuse("expires_at", "'expires_at' (Unix seconds) is missing.",
                  "missing_required_parameter");
  }
  return *at;
}

}  // namespace deepmoat::wire
