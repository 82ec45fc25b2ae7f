#include "cli/model_version.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"
#include "crypto/digest.h"

namespace deepmoat::cli {

namespace {

constexpr std::size_t kVersionDigits = 16;
constexpr std::size_t kChunkBytes = 8U << 20U;  // between two looks whether to stop

Result<std::string> hash_file(const UniqueFd& file, std::size_t size,
                              const std::filesystem::path& path, const std::stop_token& stop) {
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) {
    return fail_errno(Code::io, "map " + path.string());
  }
  ::madvise(mapped, size, MADV_SEQUENTIAL);
  const std::string_view bytes(static_cast<const char*>(mapped), size);
  crypto::Sha256 digest;
  for (std::size_t done = 0; done < size && !stop.stop_requested(); done += kChunkBytes) {
    digest.update(bytes.substr(done, kChunkBytes));
  }
  ::munmap(mapped, size);
  if (stop.stop_requested()) {
    return fail(Code::cancelled, "the server is ending");
  }
  return to_hex(crypto::view(digest.finish()));
}

}  // namespace

Result<ModelFile> identify_model(const std::filesystem::path& path, const Settings& settings,
                                 const std::stop_token& stop) {
  TRY(const UniqueFd file, open_file(path, O_RDONLY));
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) {
    return fail_errno(Code::io, "stat " + path.string());
  }
  if (facts.st_size == 0) {
    return fail(Code::invalid_argument, path.string() + " is empty");
  }
  const std::string name = fmt::format("model_sha256:{}:{}:{}.{}", path.string(), facts.st_size,
                                       facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
  TRY(std::optional<std::string> hash, settings.get(name));
  if (!hash) {
    log::info("hashing the model's file", {{"path", path.string()}, {"bytes", facts.st_size}});
    TRY(hash, hash_file(file, static_cast<std::size_t>(facts.st_size), path, stop));
    CHECK_OK(settings.set(name, *hash));
  }
  return ModelFile{.version = hash->substr(0, kVersionDigits),
                   .sha256 = *hash,
                   .created_s = facts.st_mtim.tv_sec,
                   .bytes = static_cast<std::uint64_t>(facts.st_size)};
}

Result<ModelFile> identify_imported(const catalog::Entry& entry, const Settings& settings,
                                    const std::stop_token& stop) {
  TRY(ModelFile file, identify_model(entry.file, settings, stop));
  if (file.sha256 != entry.sha256) {
    return fail(Code::corrupt, entry.file.string() + " has SHA-256 " + file.sha256 +
                                   ", not that of the import, " + entry.sha256 +
                                   ": it was changed; remove it and import it again");
  }
  return file;
}

}  // namespace deepmoat::cli
