// CRC-32 of ISO-HDLC (the one of zlib, PNG and Ethernet): finds typing errors, proves nothing.
#pragma once

#include <cstdint>
#include <string_view>

namespace deepmoat::crypto {

[[nodiscard]] std::uint32_t crc32(std::string_view bytes);

}  // namespace deepmoat::crypto
