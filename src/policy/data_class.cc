// Data classes of calls. Pure.
#include "policy/data_class.h"

#include <algorithm>

namespace deepmoat::policy {

Result<DataClass> classify(std::string_view stated, DataClass of_key) {
  const DataClass floor = std::max(DataClass::internal, of_key);
  if (stated.empty()) {
    return floor;
  }
  TRY(const DataClass said, parse_data_class(stated));
  return std::max(said, floor);
}

}  // namespace deepmoat::policy
