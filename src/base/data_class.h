// How confidential data is. Ordered: the greater, the more confidential. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace deepmoat {

enum class DataClass : std::uint8_t { public_, internal, sensitive, restricted };

[[nodiscard]] std::string_view data_class_name(DataClass data_class);  // "public", "internal", ...

// Code::invalid_argument with the accepted names.
[[nodiscard]] Result<DataClass> parse_data_class(std::string_view name);

}  // namespace deepmoat
