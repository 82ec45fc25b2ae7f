// What a policy wants kept of a call, on its way from the pipeline to the sealed store.
#pragma once

#include <optional>
#include <string>

#include "audit/record.h"
#include "base/result.h"
#include "gateway/call.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

struct WantedContent {
  std::string input;  // the body, as it came
  std::int64_t keep_days = 0;
};

// Whether the body of a call that is admitted now may be wanted. One atomic load.
[[nodiscard]] bool may_keep_content(const Services& services);

// Takes the body out of the call, where admit() has left it; none: nothing of this call is kept. To
// be asked once the intent is on record. An error: it is not known, so the call must not run.
[[nodiscard]] Result<std::optional<WantedContent>> wanted_content(RoutedCall& call,
                                                                  const Services& services,
                                                                  const audit::Record& record);

// Seals and stores what was wanted and what was said; durable when it returns the digest for the
// audit record.
[[nodiscard]] asio::awaitable<Result<std::string>> keep_content(WantedContent wanted,
                                                                const FinishedCall& call,
                                                                const audit::Record& record,
                                                                const Services& services);

// To the client the audit log is unavailable; the log itself says that it is the content.
[[nodiscard]] wire::Refusal content_unavailable(const Error& error);

}  // namespace deepmoat::gateway
