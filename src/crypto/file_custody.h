// Custody in files: the sealed key file (key_file.h), and beside it `kek-<n>.key`, the
// key-encryption key of generation n, sealed under a key that derives from the key file. Byte by
// byte in docs/formats/keys.md.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>

#include "crypto/custody.h"

namespace deepmoat::crypto {

class FileCustody final : public KeyCustody {
 public:
  // As open_or_create_key_file().
  static Result<std::unique_ptr<FileCustody>> open(const std::filesystem::path& key_file,
                                                   const Secret& passphrase, bool first_start);

  Result<RootSecrets> root_secrets() override;
  Result<> generate(std::uint64_t generation) override;
  Result<std::vector<std::uint64_t>> generations() override;
  Result<> destroy(std::uint64_t generation) override;
  Result<std::string> wrap(std::uint64_t generation, const Secret& plain,
                           std::string_view associated) override;
  Result<Secret> unwrap(std::uint64_t generation, std::string_view wrapped,
                        std::string_view associated) override;
  Result<> check() override;
  Result<> recover() override;
  CustodyFacts describe() override;

 private:
  FileCustody(std::filesystem::path key_file, RootSecrets secrets);
  [[nodiscard]] std::filesystem::path path_of(std::uint64_t generation) const;
  [[nodiscard]] std::string associated_with(std::uint64_t generation) const;
  Result<Secret> load(std::uint64_t generation) const;

  std::filesystem::path key_file_;
  RootSecrets secrets_;
  Secret sealing_;  // of the key-encryption keys
  std::mutex mutex_;
};

}  // namespace deepmoat::crypto
