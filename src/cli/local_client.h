// Asks a running server through its data folder's socket.
#pragma once

#include <chrono>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/data_folder.h"

namespace deepmoat::cli {

inline constexpr std::chrono::seconds kServerPatience{60};

// "/admin/v1/" and the segments, with what a segment must not hold percent-encoded: an argument of
// a person never ends a path, or a request.
[[nodiscard]] std::string admin_path(std::initializer_list<std::string_view> segments);

// One request, with `key` as X-API-KEY where a key is what it is about. An error answer becomes its
// message, and so does the answer that it waits for a second person. Blocking, at most `patience`:
// Code::timeout.
[[nodiscard]] Result<nlohmann::ordered_json> ask_server(
    const DataFolder& folder, const std::string& method, const std::string& path,
    const std::string& body, std::string_view key = "",
    std::chrono::seconds patience = kServerPatience);

}  // namespace deepmoat::cli
