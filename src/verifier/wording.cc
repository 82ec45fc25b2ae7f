#include "verifier/wording.h"

#include <cstdio>
#include <ctime>

#include "verifier/bytes.h"

namespace deepmoat::verifier {

std::string counted(std::uint64_t number, std::string_view noun) {
  return std::to_string(number).append(" ").append(noun).append(number == 1 ? "" : "s");
}

std::string format_time(std::int64_t unix_ms) {
  constexpr std::int64_t kYear10000 = 253'402'300'800'000;
  if (unix_ms < 0 || unix_ms >= kYear10000) {
    return std::to_string(unix_ms);
  }
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[80];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                static_cast<int>(unix_ms % 1000));
  return text;
}

std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    if (c >= 0x20 && c < 0x7f) {
      shown.push_back(c);
    } else {
      shown += "\\x" + to_hex({&c, 1});
    }
  }
  return shown;
}

}  // namespace deepmoat::verifier
