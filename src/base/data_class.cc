#include "base/data_class.h"

#include <array>

namespace deepmoat {

std::string_view data_class_name(DataClass data_class) {
  switch (data_class) {
    case DataClass::public_:
      return "public";
    case DataClass::internal:
      return "internal";
    case DataClass::sensitive:
      return "sensitive";
    case DataClass::restricted:
      return "restricted";
  }
  return "restricted";
}

Result<DataClass> parse_data_class(std::string_view name) {
  constexpr std::array kAll{DataClass::public_, DataClass::internal, DataClass::sensitive,
                            DataClass::restricted};
  for (const DataClass data_class : kAll) {
    if (name == data_class_name(data_class)) {
      return data_class;
    }
  }
  return fail(Code::invalid_argument,
              "data class: must be one of public, internal, sensitive, restricted");
}

}  // namespace deepmoat
