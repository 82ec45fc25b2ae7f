// Which backend may and can answer this call?
#include <fmt/format.h>

#include <algorithm>

#include "gateway/audit_trail.h"
#include "gateway/call.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

namespace {

// `model` as the caller wrote it.
wire::AnswerHead make_head(const AdmittedCall& call, std::string model, const Services& services) {
  const std::string& request_id = call.authenticated.received.request_id.value();
  return {.shape = call.inference.shape,
          .id = fmt::format("{}{}", wire::id_prefix(call.inference.shape), request_id),
          .created_s = services.clock.unix_ms() / 1000,
          .model = std::move(model)};
}

// "base:adapter" names a LoRA adapter of the model "base", unless a model has that whole name.
void take_adapter(wire::InferenceCall& call, const Services& services) {
  const std::string whole = call.model.value();
  const std::size_t colon = whole.rfind(':');
  if (colon == std::string::npos || colon + 1 == whole.size() ||
      services.models.find(call.model) != nullptr) {
    return;
  }
  ModelName base(whole.substr(0, colon));
  if (services.models.find(base) != nullptr) {
    call.model = std::move(base);
    call.infer.set_adapter(whole.substr(colon + 1));
  }
}

wire::OrRefusal<> check_adapter(const wire::InferenceCall& call, const Model& model) {
  const std::string& adapter = call.infer.adapter();
  if (adapter.empty()) {
    return {};
  }
  const backend::BackendStatus status = model.backend->status();
  if (status.health != backend::Health::ready ||
      std::ranges::find(status.facts.adapters(), adapter) != status.facts.adapters().end()) {
    return {};  // one that is not ready refuses by itself
  }
  return std::unexpected(wire::Refusal{
      .status = 404,
      .type = "invalid_request_error",
      .code = "model_not_found",
      .message = fmt::format("The model '{}' has no adapter '{}'.", model.name.value(), adapter),
      .param = "adapter"});
}

// What the model's configuration says of calls that say nothing.
void apply_defaults(wire::InferenceCall& call, const Config& config) {
  const auto model = std::ranges::find(config.models, call.model.value(), &ModelConfig::name);
  if (model == config.models.end()) {
    return;
  }
  wire::Sampling& sampling = *call.infer.mutable_sampling();
  if (!call.names_temperature && model->default_temperature >= 0) {
    sampling.set_temperature(static_cast<float>(model->default_temperature));
  }
  if (!call.names_top_p && model->default_top_p >= 0) {
    sampling.set_top_p(static_cast<float>(model->default_top_p));
  }
  const bool writes = !call.infer.has_embed() && !call.infer.has_rerank();
  if (writes && call.infer.max_tokens() == 0) {
    call.infer.set_max_tokens(static_cast<std::uint32_t>(model->default_max_tokens));
  }
}

wire::Refusal unknown_model(const ModelName& name) {
  wire::Refusal refusal{.status = 404,
                        .type = "invalid_request_error",
                        .code = "model_not_found",
                        .message = "This server has no model.",
                        .param = "model"};
  if (!name.value().empty()) {
    refusal.message = fmt::format(
        "The model '{}' does not exist, or this key may not use it; GET /v1/models lists the "
        "names.",
        name.value());
  }
  return refusal;
}

}  // namespace

wire::OrRefusal<RoutedCall> route(ClassifiedCall call, const Services& services,
                                  AuditTrail& trail) {
  std::string asked = call.admitted.inference.model.value();
  take_adapter(call.admitted.inference, services);
  const ModelName& name = call.admitted.inference.model;
  auto chosen = services.models.route(name, call.data_class);
  const auto model = services.models.find(name);
  if (!chosen || model == nullptr) {
    return std::unexpected(unknown_model(name));
  }
  CHECK_OK(check_adapter(call.admitted.inference, *model));
  apply_defaults(call.admitted.inference, *services.config.get());
  trail.record.route = chosen->local ? "local" : chosen->backend;
  trail.record.model = name.value();
  trail.record.model_version = model->version();
  wire::AnswerHead head = make_head(call.admitted, std::move(asked), services);
  return RoutedCall(std::move(call), *std::move(chosen), model->backend, std::move(head));
}

}  // namespace deepmoat::gateway
