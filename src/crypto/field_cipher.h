// Encrypts one field of a database row so that it opens nowhere else. The envelope (envelope.h) is
// what serves it; who stores secrets takes this.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

// Where a ciphertext lives. All of it is authenticated: bytes that were moved to another tenant,
// table, column or row, or that are an older version of the row, do not open.
struct FieldPlace {
  std::string_view tenant;
  std::string_view table;
  std::string_view column;
  std::string_view row;       // the row's primary key
  std::uint64_t version = 0;  // of the row; rises with each change
};

// Thread-safe.
class FieldCipher {
 public:
  virtual ~FieldCipher() = default;

  // Binary; store it as a BLOB or as hex. Code::unavailable when no key can be had.
  [[nodiscard]] virtual Result<std::string> seal(const FieldPlace& place,
                                                 std::string_view plain) = 0;
  // Code::corrupt when bytes, place or key are not those of the sealing.
  [[nodiscard]] virtual Result<Secret> open(const FieldPlace& place, std::string_view sealed) = 0;
};

}  // namespace deepmoat::crypto
