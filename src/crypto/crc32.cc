// CRC-32 over Boost.CRC. Thread-safe.
#include "crypto/crc32.h"

#include <boost/crc.hpp>

namespace deepmoat::crypto {

std::uint32_t crc32(std::string_view bytes) {
  boost::crc_32_type crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

}  // namespace deepmoat::crypto
