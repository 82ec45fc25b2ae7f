// Asks a running server through its data folder's socket.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/data_folder.h"

namespace deepmoat::cli {

// One request, with `key` as X-API-KEY where a key is what it is about. An error answer becomes its
// message. Blocking, at most 60 s.
[[nodiscard]] Result<nlohmann::ordered_json> ask_server(const DataFolder& folder,
                                                        const std::string& method,
                                                        const std::string& path,
                                                        const std::string& body,
                                                        std::string_view key = "");

}  // namespace deepmoat::cli
