// Reads files that only their owner may read. One thread.
#pragma once

#include <cstddef>
#include <filesystem>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

// The bytes of a regular file of at most `bytes_max` bytes. Code::not_found when it is absent,
// Code::permission_denied when somebody else owns it, or group or others may read or write it.
[[nodiscard]] Result<Secret> read_private_file(const std::filesystem::path& path,
                                               std::size_t bytes_max);

// The same whatever its rights, for files that somebody else has to provide.
[[nodiscard]] Result<Secret> read_secret_file(const std::filesystem::path& path,
                                              std::size_t bytes_max);

}  // namespace deepmoat::crypto
