// Which backend may and can answer this call?
#include <fmt/format.h>

#include "gateway/audit_trail.h"
#include "gateway/call.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

namespace {

std::string_view id_prefix(wire::Shape shape) {
  switch (shape) {
    case wire::Shape::chat:
      return "chatcmpl-";
    case wire::Shape::completion:
      return "cmpl-";
    case wire::Shape::predict:
      return "pred-";
  }
  return "";
}

wire::AnswerHead make_head(const AdmittedCall& call, const Services& services) {
  const std::string& request_id = call.authenticated.received.request_id.value();
  return {.shape = call.inference.shape,
          .id = fmt::format("{}{}", id_prefix(call.inference.shape), request_id),
          .created_s = services.clock.unix_ms() / 1000,
          .model = call.inference.model.value()};
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
  const ModelName& name = call.admitted.inference.model;
  auto chosen = services.models.routes().route(name, call.data_class);
  const Model* model = services.models.find(name);
  if (!chosen || model == nullptr) {
    return std::unexpected(unknown_model(name));
  }
  trail.record.route = chosen->local ? "local" : chosen->backend;
  trail.record.model = name.value();
  trail.record.model_version = model->version;
  wire::AnswerHead head = make_head(call.admitted, services);
  return RoutedCall(std::move(call), *std::move(chosen), model->backend.get(), std::move(head));
}

}  // namespace deepmoat::gateway
