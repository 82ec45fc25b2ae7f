#include "backend/backend.h"

namespace deepmoat::backend {

std::string_view health_name(Health health) {
  switch (health) {
    case Health::loading:
      return "loading";
    case Health::ready:
      return "ready";
    case Health::restarting:
      return "restarting";
    case Health::draining:
      return "draining";
    case Health::failed:
      return "failed";
    case Health::sleeping:
      return "sleeping";
    case Health::unloaded:
      return "unloaded";
  }
  return "failed";
}

}  // namespace deepmoat::backend
