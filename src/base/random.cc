#include "base/random.h"

#include <sys/random.h>

#include <cerrno>

namespace deepmoat {

Result<> fill_random(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      return fail_errno(Code::unavailable, "getrandom");
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Result<std::string> random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  CHECK_OK(fill_random(std::as_writable_bytes(std::span(bytes.data(), bytes.size()))));
  return bytes;
}

}  // namespace deepmoat
