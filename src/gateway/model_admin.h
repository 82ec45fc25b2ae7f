// The administrator's view of the models: their state, and loading, unloading, swapping them.
#pragma once

#include <string>

#include "gateway/responder.h"
#include "gateway/routes.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

// GET /admin/v1/models.
[[nodiscard]] Response list_model_states(const Services& services);

// POST /admin/v1/models/{name}/load, unload or swap: begins it and answers 202; the list tells
// when `changing` is over, and `failure` when it failed.
[[nodiscard]] Response change_model(Handler handler, const std::string& name,
                                    const Services& services);

}  // namespace deepmoat::gateway
