// A disk whose writes and syncs do nothing: what a log over it costs is all but the disk. "Audit
// off" is no setting of the server, so this stands in for it. What is written is lost.
#pragma once

#include "audit/disk.h"

namespace deepmoat::audit {

// Over system_disk(): files are made and read there, and hold zeros.
class InstantDisk final : public Disk {
 public:
  Result<std::vector<std::string>> list(const std::filesystem::path& folder) override {
    return real_.list(folder);
  }
  bool exists(const std::filesystem::path& path) override { return real_.exists(path); }
  Result<std::unique_ptr<DiskReader>> open(const std::filesystem::path& path) override {
    return real_.open(path);
  }
  Result<std::unique_ptr<DiskFile>> open_to_write(const std::filesystem::path& path) override {
    TRY(const auto file, real_.open_to_write(path));  // an error of it is one here
    return std::make_unique<File>();
  }
  Result<std::unique_ptr<DiskFile>> create(const std::filesystem::path& path,
                                           std::uint64_t bytes) override {
    TRY(const auto file, real_.create(path, bytes));
    return std::make_unique<File>();
  }
  Result<> rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    return real_.rename(from, to);
  }
  Result<> remove(const std::filesystem::path& path) override { return real_.remove(path); }
  Result<> sync_folder(const std::filesystem::path& /*folder*/) override { return {}; }

 private:
  class File final : public DiskFile {
   public:
    Result<> write_at(std::string_view /*bytes*/, std::uint64_t /*offset*/) override { return {}; }
    Result<> sync() override { return {}; }
  };

  Disk& real_ = system_disk();
};

}  // namespace deepmoat::audit
