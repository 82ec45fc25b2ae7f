#include "base/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <iterator>

namespace deepmoat::log {

namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// The whole line is made here, so spdlog only adds the time and the level.
spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("deepmoat",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})",
                      spdlog::pattern_time_type::utc);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

void append_escaped(fmt::memory_buffer& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte < 0x20 || byte == 0x7F) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

struct AppendValue {
  fmt::memory_buffer& out;
  void operator()(std::string_view v) const { append_escaped(out, v); }
  void operator()(std::int64_t v) const { fmt::format_to(std::back_inserter(out), "{}", v); }
  void operator()(double v) const { fmt::format_to(std::back_inserter(out), "{:.3f}", v); }
  void operator()(bool v) const { fmt::format_to(std::back_inserter(out), "{}", v); }
};

}  // namespace

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  if (!logger().should_log(to_spdlog(level))) {
    return;
  }
  fmt::memory_buffer line;
  fmt::format_to(std::back_inserter(line), "\"message\":");
  append_escaped(line, message);
  for (const Field& field : fields) {
    line.push_back(',');
    append_escaped(line, field.name);
    line.push_back(':');
    std::visit(AppendValue{line}, field.value);
  }
  logger().log(to_spdlog(level), std::string_view(line.data(), line.size()));
}

Result<Level> parse_level(std::string_view name) {
  if (name == "debug") {
    return Level::debug;
  }
  if (name == "info") {
    return Level::info;
  }
  if (name == "warn") {
    return Level::warn;
  }
  if (name == "error") {
    return Level::error;
  }
  return fail(Code::invalid_argument, "log level must be debug, info, warn or error");
}

void set_level(Level level) {
  logger().set_level(to_spdlog(level));
}

}  // namespace deepmoat::log
