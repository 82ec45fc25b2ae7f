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

// Null also for a model that the key may not use: for it there is none of this name.
std::shared_ptr<const Model> find_for(const identity::KeyRules& rules, const ModelName& name,
                                      const Services& services) {
  return rules.may_use_model(name.value()) ? services.models.find(name) : nullptr;
}

// "base:adapter" names a LoRA adapter of the model "base", unless a model has that whole name.
void take_adapter(wire::InferenceCall& call, const identity::KeyRules& rules,
                  const Services& services) {
  const std::string whole = call.model.value();
  const std::size_t colon = whole.rfind(':');
  if (colon == std::string::npos || colon + 1 == whole.size() ||
      find_for(rules, call.model, services) != nullptr) {
    return;
  }
  ModelName base(whole.substr(0, colon));
  if (find_for(rules, base, services) != nullptr) {
    call.model = std::move(base);
    call.infer.set_adapter(whole.substr(colon + 1));
  }
}

wire::Refusal other_adapter(const identity::KeyRules& rules, std::string param) {
  return {.status = 403,
          .type = "permission_error",
          .code = "permission_denied",
          .message = fmt::format("This key may use the adapter '{}' alone, at its own scale; leave "
                                 "'{}' out.",
                                 rules.adapter, param),
          .param = std::move(param)};
}

// The key's adapter is that of a call which names none, and may be the only one.
wire::OrRefusal<> bind_adapter(wire::InferRequest& infer, const identity::KeyRules& rules) {
  if (rules.adapter.empty()) {
    return {};
  }
  const bool names_another = !infer.adapter().empty() && infer.adapter() != rules.adapter;
  if (rules.adapter_only && names_another) {
    return std::unexpected(other_adapter(rules, "adapter"));
  }
  if (names_another) {
    return {};
  }
  const float scale = infer.adapter_scale();
  if (rules.adapter_only && scale != 0 && scale != rules.adapter_scale) {
    return std::unexpected(other_adapter(rules, "adapter_scale"));
  }
  infer.set_adapter(rules.adapter);
  infer.set_adapter_scale(scale != 0 ? scale : rules.adapter_scale);
  return {};
}

wire::OrRefusal<> check_adapter(const wire::InferenceCall& call, const Model& model,
                                const identity::KeyRules& rules) {
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
      .message = fmt::format(
          "The model '{}' has no adapter '{}'{}.", model.name.value(), adapter,
          adapter == rules.adapter ? ", which this key is bound to; use another model or key" : ""),
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
  const identity::KeyRules& rules = *call.admitted.authenticated.principal.rules;
  take_adapter(call.admitted.inference, rules, services);
  const ModelName& name = call.admitted.inference.model;
  auto chosen = services.models.route(name, call.data_class);
  const auto model = find_for(rules, name, services);
  if (!chosen || model == nullptr) {
    return std::unexpected(unknown_model(name));
  }
  CHECK_OK(bind_adapter(call.admitted.inference.infer, rules));
  CHECK_OK(check_adapter(call.admitted.inference, *model, rules));
  apply_defaults(call.admitted.inference, *services.config.get());
  trail.record.route = chosen->local ? "local" : chosen->backend;
  trail.record.model = name.value();
  trail.record.adapter = call.admitted.inference.infer.adapter();
  trail.note_model(model->backend->identity());
  wire::AnswerHead head = make_head(call.admitted, std::move(asked), services);
  return RoutedCall(std::move(call), *std::move(chosen), model->backend, std::move(head));
}

}  // namespace deepmoat::gateway
