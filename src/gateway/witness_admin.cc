#include "gateway/witness_admin.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/log.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;
using transparency::WitnessAnswer;
using transparency::WitnessVerdict;

wire::Refusal refuse(int status, std::string code, std::string message) {
  return {.status = status,
          .type = "invalid_request_error",
          .code = std::move(code),
          .message = std::move(message)};
}

wire::Refusal unknown_log() {
  return refuse(404, "not_found",
                "No checkpoints of this log are kept here: its key has to stand in "
                "audit.witness_keys of this server.");
}

// The size is what a log that has lost its own needs to know.
Response other_size(const WitnessAnswer& answer) {
  const Json json = {
      {"error",
       {{"message", fmt::format("The checkpoint that is kept here has {} records.", answer.size)},
        {"type", "invalid_request_error"},
        {"param", nullptr},
        {"code", "witness_other_size"}}},
      {"size", answer.size}};
  return {.status = 409, .body = json.dump(), .error_code = "witness_other_size"};
}

Response answer_of(const WitnessAnswer& answer) {
  switch (answer.verdict) {
    case WitnessVerdict::taken:
      return {
          .body =
              Json{{"object", "audit.witnessed"}, {"origin", answer.origin}, {"size", answer.size}}
                  .dump()};
    case WitnessVerdict::unknown_log:
      return to_response(unknown_log());
    case WitnessVerdict::not_signed:
      return to_response(
          refuse(403, "witness_not_signed", "The checkpoint is not signed by the key of its log."));
    case WitnessVerdict::other_size:
      return other_size(answer);
    case WitnessVerdict::inconsistent:
      break;
  }
  log::error("a log that we are a witness of is another one than before",
             {{"origin", answer.origin}, {"kept_size", answer.size}});
  return to_response(refuse(422, "witness_inconsistent",
                            fmt::format("The proof does not show that the log has only grown since "
                                        "the {} records of the checkpoint that is kept here.",
                                        answer.size)));
}

}  // namespace

Response add_witnessed(const Services& services, const AuthenticatedCall& call) {
  const auto next = transparency::parse_next_checkpoint(call.received.body);
  if (!next) {
    return to_response(wire::to_field_refusal(next.error()));
  }
  const auto answer = services.audit_desk->witness.add(*next);
  return answer ? answer_of(*answer) : to_response(wire::to_field_refusal(answer.error()));
}

Response show_witnessed(const Services& services, const AuthenticatedCall& call) {
  auto note = services.audit_desk->witness.newest(call.received.argument);
  if (!note) {
    return to_response(note.error().code == Code::not_found ? unknown_log()
                                                            : wire::to_refusal(note.error()));
  }
  if (!*note) {
    return {.status = 204,
            .body = ""};  // what stands between us must not say "none" by an empty 200
  }
  return {.body = **std::move(note), .content_type = "text/plain; charset=utf-8"};
}

}  // namespace deepmoat::gateway
