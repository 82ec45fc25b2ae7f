// Asks a running server through its data folder's socket.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/data_folder.h"

namespace deepmoat::cli {

inline constexpr std::chrono::seconds kServerPatience{60};

// One request, with `key` as X-API-KEY where a key is what it is about. An error answer becomes its
// message, and so does the answer that it waits for a second person. Blocking, at most `patience`.
[[nodiscard]] Result<nlohmann::ordered_json> ask_server(
    const DataFolder& folder, const std::string& method, const std::string& path,
    const std::string& body, std::string_view key = "",
    std::chrono::seconds patience = kServerPatience);

}  // namespace deepmoat::cli
