#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace deepmoat {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::invalid_argument:
      return "invalid_argument";
    case Code::not_found:
      return "not_found";
    case Code::already_exists:
      return "already_exists";
    case Code::unauthenticated:
      return "unauthenticated";
    case Code::permission_denied:
      return "permission_denied";
    case Code::resource_exhausted:
      return "resource_exhausted";
    case Code::unavailable:
      return "unavailable";
    case Code::audit_unavailable:
      return "audit_unavailable";
    case Code::custody_unavailable:
      return "custody_unavailable";
    case Code::corrupt:
      return "corrupt";
    case Code::io:
      return "io";
    case Code::cancelled:
      return "cancelled";
    case Code::timeout:
      return "timeout";
    case Code::internal:
      return "internal";
  }
  return "internal";
}

std::unexpected<Error> fail_errno(Code code, std::string_view what) {
  const int error = errno;
  return fail(code, std::string(what) + ": " + std::generic_category().message(error));
}

}  // namespace deepmoat
