// How confidential a call's data is. Ordered: the greater, the more confidential. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace deepmoat::policy {

enum class DataClass : std::uint8_t { public_, internal, sensitive, restricted };

[[nodiscard]] std::string_view data_class_name(DataClass data_class);  // "public", "internal", ...

// Code::invalid_argument with the accepted names.
[[nodiscard]] Result<DataClass> parse_data_class(std::string_view name);

// The class of a call: `internal`, or what the caller says of it when that is higher
// (header `x-deepmoat-data-class`; empty = says nothing). A caller can raise the class, never
// lower it. A class that cannot be read is refused rather than guessed: it might have been higher.
[[nodiscard]] Result<DataClass> classify(std::string_view stated);

}  // namespace deepmoat::policy
