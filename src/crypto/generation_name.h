// Names of what there is one of for each generation: "kek-7.key", or a label in a token.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace deepmoat::crypto {

// The number between `start` and `end`; none: it is some other name.
[[nodiscard]] inline std::optional<std::uint64_t> generation_of(std::string_view name,
                                                                std::string_view start,
                                                                std::string_view end) {
  if (!name.starts_with(start) || !name.ends_with(end) ||
      name.size() <= start.size() + end.size()) {
    return std::nullopt;
  }
  const char* const first = name.data() + start.size();
  const char* const last = name.data() + name.size() - end.size();
  std::uint64_t generation = 0;
  const auto [read, error] = std::from_chars(first, last, generation);
  return error == std::errc{} && read == last ? std::optional(generation) : std::nullopt;
}

}  // namespace deepmoat::crypto
