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

std::string sse_named_event(std::string_view name, std::string_view json) {
  std::string event = "event: ";
  event += name;
  event += '\n';
  event += sse_event(json);
  return event;
}

}  // namespace deepmoat::wire
