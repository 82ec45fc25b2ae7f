// Where things lie in a data folder.
#pragma once

#include <filesystem>

namespace deepmoat::cli {

class DataFolder {
 public:
  // Absolute from here on: the process may change its folder.
  explicit DataFolder(const std::filesystem::path& root)
      : root_(std::filesystem::absolute(root).lexically_normal()) {}

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path keys() const { return root_ / "keys"; }
  [[nodiscard]] std::filesystem::path key_file() const { return keys() / "root.key"; }
  [[nodiscard]] std::filesystem::path database() const { return root_ / "deepmoat.db"; }
  [[nodiscard]] std::filesystem::path tls() const { return root_ / "tls"; }
  [[nodiscard]] std::filesystem::path audit() const { return root_ / "audit"; }
  // The public keys of its checkpoints.
  [[nodiscard]] std::filesystem::path audit_key() const { return audit() / "verifier.key"; }
  // Checkpoints of other servers' logs.
  // For as long as `audit verify` needs an index that nobody else could write.
  [[nodiscard]] std::filesystem::path index_check() const { return root_ / "audit-index.check"; }
  [[nodiscard]] std::filesystem::path witnessed() const { return root_ / "witnessed"; }
  [[nodiscard]] std::filesystem::path audit_index() const { return root_ / "audit-index.db"; }
  [[nodiscard]] std::filesystem::path incidents() const { return root_ / "incidents"; }
  [[nodiscard]] std::filesystem::path models() const { return root_ / "models"; }
  [[nodiscard]] std::filesystem::path lock() const { return root_ / "lock"; }
  [[nodiscard]] std::filesystem::path socket() const { return root_ / "admin.sock"; }

 private:
  std::filesystem::path root_;
};

inline constexpr const char* kDataFolderDefault = "data";

}  // namespace deepmoat::cli
