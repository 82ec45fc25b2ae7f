// The operational log: one JSON object a line on standard error. It never holds a prompt, an
// answer or a key; those who need to know who asked what read the audit log.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace deepmoat::log {

enum class Level { debug, info, warn, error };

// One field of a line. Text is escaped; there is no way to log a Secret.
struct Field {
  std::string_view name;
  std::variant<std::string_view, std::int64_t, double, bool> value;

  Field(std::string_view n, std::string_view v) : name(n), value(v) {}
  Field(std::string_view n, const std::string& v) : name(n), value(std::string_view(v)) {}
  Field(std::string_view n, const char* v) : name(n), value(std::string_view(v)) {}
  Field(std::string_view n, bool v) : name(n), value(v) {}
  Field(std::string_view n, double v) : name(n), value(v) {}
  template <class Int>
    requires std::is_integral_v<Int>
  Field(std::string_view n, Int v) : name(n), value(static_cast<std::int64_t>(v)) {}
};

// Thread-safe. `message` is a constant sentence; what varies goes into fields.
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});

inline void debug(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::debug, m, f);
}
inline void info(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::info, m, f);
}
inline void warn(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::warn, m, f);
}
inline void error(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::error, m, f);
}

// "debug", "info", "warn" or "error".
[[nodiscard]] Result<Level> parse_level(std::string_view name);
void set_level(Level level);

}  // namespace deepmoat::log
