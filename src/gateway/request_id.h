// The id that every answer carries in x-request-id.
#pragma once

#include <string_view>

#include "base/result.h"
#include "base/strong.h"

namespace deepmoat::gateway {

// The client's own id when it is 1 to 128 characters of [A-Za-z0-9._-], else a new one:
// 32 random hex digits.
[[nodiscard]] Result<RequestId> choose_request_id(std::string_view from_client);

}  // namespace deepmoat::gateway
