// How the reports of this module say numbers, times and texts from outside. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace deepmoat::verifier {

// "1 record", "2 records"; `noun` is one whose plural ends in s.
[[nodiscard]] std::string counted(std::uint64_t number, std::string_view noun);

// "2025-01-31T12:00:00.000Z"; years outside 1970 to 9999 as the bare number of milliseconds.
[[nodiscard]] std::string format_time(std::int64_t unix_ms);

// For a terminal, which must not obey what somebody wrote: each byte but printable ASCII as "\xNN".
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace deepmoat::verifier
