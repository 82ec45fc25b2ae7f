#include "cli/command.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <ranges>

#include "base/printable.h"

namespace deepmoat::cli {

std::string text_of(const nlohmann::ordered_json& json, const char* field) {
  return printable(json.value(field, std::string()));
}

void print_json(const nlohmann::ordered_json& json) {
  fmt::print("{}\n", json.dump(2, ' ', true, nlohmann::ordered_json::error_handler_t::replace));
}

// A message may name a path, or say what another program said: the terminal must not obey it.
int report(const Error& error) {
  std::string text;
  for (const auto line : std::views::split(std::string_view(error.message), '\n')) {
    text += text.empty() ? "" : "\n  ";
    text += printable({line.begin(), line.end()});
  }
  fmt::print(stderr, "deepmoat: {}\n", text);
  return kFailure;
}

std::optional<Config> load_config_or_report(const std::string& path) {
  ConfigLoad load = load_config(path, process_environment());
  for (const ConfigProblem& problem : load.problems) {
    fmt::print(stderr, "deepmoat: {}\n", problem.text());
  }
  if (!load.problems.empty()) {
    return std::nullopt;
  }
  return std::move(load.config);
}

Result<std::int64_t> parse_duration_s(const std::string& text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [unit, error] = std::from_chars(text.data(), end, value);
  std::int64_t factor = 0;
  if (error == std::errc{} && unit + 1 == end) {
    switch (*unit) {
      case 's':
        factor = 1;
        break;
      case 'm':
        factor = 60;
        break;
      case 'h':
        factor = 3600;
        break;
      case 'd':
        factor = 86'400;
        break;
      default:
        break;
    }
  }
  if (factor == 0 || value <= 0 || value > 1'000'000'000) {
    return fail(Code::invalid_argument,
                "\"" + text + "\" is not a duration; write a number and s, m, h or d, such as 30d");
  }
  return value * factor;
}

std::string format_date(std::int64_t unix_s) {
  const std::time_t time = unix_s;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts);
  return text;
}

std::string sibling_program(const std::string& name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? name : (self.parent_path() / name).string();
}

}  // namespace deepmoat::cli
