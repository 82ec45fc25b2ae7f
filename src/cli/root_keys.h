// Opens custody as the configuration says: which kind, with which passphrase or PIN.
#pragma once

#include <memory>
#include <string>

#include "base/config.h"
#include "base/result.h"
#include "base/secret.h"
#include "cli/data_folder.h"
#include "crypto/aead.h"
#include "crypto/custody.h"
#include "crypto/pkcs11_token.h"

namespace deepmoat::cli {

// keys.passphrase_file, or the systemd credential deepmoat.passphrase, or empty.
[[nodiscard]] Result<Secret> read_passphrase(const Config& config);
// A whole file but for the line ends at its end. Code::invalid_argument when that is empty.
[[nodiscard]] Result<Secret> read_passphrase_file(const std::string& path, const char* name);

// The same of a file that others may not read.
[[nodiscard]] Result<Secret> read_private_line(const std::filesystem::path& path, const char* name);

// custody.pin_file (which others may not read), or the systemd credential deepmoat.pin.
[[nodiscard]] Result<Secret> read_pin(const Config& config);

[[nodiscard]] crypto::Pkcs11Options pkcs11_options(const Config& config);
[[nodiscard]] crypto::AeadAlgorithm field_cipher(const Config& config);

// `first_start`: nothing rests on root keys yet, so they are made where there are none.
[[nodiscard]] Result<std::unique_ptr<crypto::KeyCustody>> open_root_keys(const DataFolder& folder,
                                                                         const Config& config,
                                                                         bool first_start);

}  // namespace deepmoat::cli
