#include "cli/root_keys.h"

#include <stdlib.h>

#include "crypto/file_custody.h"
#include "crypto/pkcs11_custody.h"
#include "crypto/private_file.h"

namespace deepmoat::cli {

namespace {

constexpr std::size_t kSecretBytesMax = 4096;

// systemd's LoadCredential= and SetCredentialEncrypted= put files there for this service alone.
std::filesystem::path credential(const char* name) {
  const char* folder = ::getenv("CREDENTIALS_DIRECTORY");
  return folder != nullptr ? std::filesystem::path(folder) / name : std::filesystem::path();
}

Result<Secret> without_line_end(const Secret& text, const std::string& what) {
  std::string_view line = text.reveal();
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) {
    line.remove_suffix(1);
  }
  if (line.empty()) {
    return fail(Code::invalid_argument, what + " is empty");
  }
  return Secret::copy_of(line);
}

}  // namespace

Result<Secret> read_private_line(const std::filesystem::path& path, const char* name) {
  TRY(const Secret text, crypto::read_private_file(path, kSecretBytesMax));
  return without_line_end(text, std::string(name) + " " + path.string());
}

Result<Secret> read_passphrase_file(const std::string& path, const char* name) {
  TRY(const Secret text, crypto::read_secret_file(path, kSecretBytesMax));
  return without_line_end(text, std::string(name) + " " + path);
}

Result<Secret> read_passphrase(const Config& config) {
  if (!config.keys.passphrase_file.empty()) {
    return read_passphrase_file(config.keys.passphrase_file, "keys.passphrase_file");
  }
  const std::filesystem::path path = credential("deepmoat.passphrase");
  std::error_code error;
  if (path.empty() || !std::filesystem::exists(path, error)) {
    return Secret();
  }
  return read_private_line(path, "the credential");
}

Result<Secret> read_pin(const Config& config) {
  if (!config.custody.pin_file.empty()) {
    return read_private_line(config.custody.pin_file, "custody.pin_file");
  }
  const std::filesystem::path path = credential("deepmoat.pin");
  if (path.empty()) {
    return fail(Code::not_found,
                "custody.pin_file is not set and systemd gave no credential \"deepmoat.pin\": the "
                "token's PIN is needed (mode 0600, or LoadCredential=deepmoat.pin:FILE)");
  }
  return read_private_line(path, "the credential");
}

crypto::Pkcs11Options pkcs11_options(const Config& config) {
  return {.module = config.custody.module,
          .token_label = config.custody.token_label,
          .key_label = config.custody.key_label,
          .gcm_layout = config.custody.gcm_layout};
}

crypto::AeadAlgorithm field_cipher(const Config& config) {
  return config.custody.field_cipher == "sm4-gcm" ? crypto::AeadAlgorithm::sm4_gcm
                                                  : crypto::AeadAlgorithm::aes_256_gcm;
}

Result<std::unique_ptr<crypto::KeyCustody>> open_root_keys(const DataFolder& folder,
                                                           const Config& config, bool first_start) {
  if (config.custody.kind == "file") {
    TRY(const Secret passphrase, read_passphrase(config));
    TRY(auto custody, crypto::FileCustody::open(folder.key_file(), passphrase, first_start));
    return std::unique_ptr<crypto::KeyCustody>(std::move(custody));
  }
  if (config.custody.kind == "pkcs11") {
    TRY(Secret pin, read_pin(config));
    TRY(auto custody,
        crypto::Pkcs11Custody::open(pkcs11_options(config), std::move(pin), first_start));
    return std::unique_ptr<crypto::KeyCustody>(std::move(custody));
  }
  return fail(Code::invalid_argument,
              "custody.kind \"" + config.custody.kind + "\" is not built into this program");
}

}  // namespace deepmoat::cli
