#include "wire/sse.h"

namespace deepmoat::wire {

std::string sse_event(std::string_view json) {
  std::string event;
  event.reserve(json.size() + 8);
  event += "data: ";
  event += json;
  event += "\n\n";
  return event;
}

}  // namespace deepmoat::wire
