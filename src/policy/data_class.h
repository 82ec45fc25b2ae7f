// The data class of a call. Pure.
#pragma once

#include <string_view>

#include "base/data_class.h"

namespace deepmoat::policy {

using deepmoat::data_class_name;
using deepmoat::DataClass;
using deepmoat::parse_data_class;

// The highest of `internal`, what the caller says of the call (header `x-deepmoat-data-class`;
// empty = says nothing) and what his key is bound to. A caller can raise the class, never lower
// it. A class that cannot be read is refused rather than guessed: it might have been higher.
[[nodiscard]] Result<DataClass> classify(std::string_view stated,
                                         DataClass of_key = DataClass::public_);

}  // namespace deepmoat::policy
