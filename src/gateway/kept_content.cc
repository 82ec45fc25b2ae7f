#include "gateway/kept_content.h"

#include <utility>

#include "gateway/audit_trail.h"
#include "gateway/blocking.h"
#include "gateway/oversight_admin.h"
#include "gateway/stages/infer.h"

namespace deepmoat::gateway {

bool may_keep_content(const Services& services) {
  return services.oversight != nullptr && services.oversight->policies.any();
}

Result<std::optional<WantedContent>> wanted_content(RoutedCall& call, const Services& services,
                                                    const audit::Record& record) {
  std::string body =
      std::exchange(call.classified.admitted.authenticated.received.body, std::string());
  if (body.empty()) {  // no policy was in force when it was admitted
    return std::nullopt;
  }
  TRY(const std::optional<std::int64_t> keep_days,
      services.oversight->policies.match({.tenant = record.tenant,
                                          .model = record.model,
                                          .data_class = record.data_class,
                                          .request_id = record.request_id,
                                          .intent_sequence = record.intent_sequence}));
  if (!keep_days) {
    return std::nullopt;
  }
  return WantedContent{.input = std::move(body), .keep_days = *keep_days};
}

asio::awaitable<Result<std::string>> keep_content(WantedContent wanted, const FinishedCall& call,
                                                  const audit::Record& record,
                                                  const Services& services) {
  std::move_only_function<Result<std::string>()> work =
      [&contents = services.oversight->contents, wanted = std::move(wanted),
       said = said_text(call.answer), of = record] {
        return contents.keep({.tenant = of.tenant,
                              .request_id = of.request_id,
                              .key_id = of.key_id,
                              .operator_id = of.operator_id,
                              .model = of.model,
                              .data_class = of.data_class,
                              .input = wanted.input,
                              .output = said,
                              .keep_days = wanted.keep_days});
      };
  Result<std::string> digest =
      co_await run_blocking<Result<std::string>>(services.blocking, std::move(work));
  co_return digest;
}

wire::Refusal content_unavailable(const Error& error) {
  wire::Refusal refusal = audit_unavailable();
  refusal.audit_reason = "content_unavailable";
  refusal.fault = "the content that a policy wants could not be kept: " + error.message;
  return refusal;
}

}  // namespace deepmoat::gateway
