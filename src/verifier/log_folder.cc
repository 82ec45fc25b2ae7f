// Any thread.
#include "verifier/log_folder.h"

#include <string>
#include <system_error>

#include "verifier/checkpoints.h"
#include "verifier/file.h"

namespace deepmoat::verifier {

Result<bool> holds_log(const std::filesystem::path& folder) {
  const auto segments = count_segments(folder);
  if (!segments && segments.error().fault != Fault::malformed) {
    return std::unexpected(segments.error());
  }
  if (!segments || *segments > 0) {
    return true;
  }
  std::error_code error;
  const auto newest = std::filesystem::symlink_status(folder / "checkpoint", error);
  if (newest.type() != std::filesystem::file_type::not_found) {
    return true;  // also one that cannot be read: the log's reader says so
  }
  const auto earlier = earlier_checkpoints(folder);
  if (!earlier) {
    return std::unexpected(earlier.error());
  }
  return !earlier->empty();
}

Result<> require_log(const std::filesystem::path& folder) {
  const auto found = holds_log(folder);
  if (!found) {
    return std::unexpected(found.error());
  }
  if (*found) {
    return {};
  }
  const std::filesystem::path below = folder / "audit";
  return fail(
      Fault::not_there,
      folder.string() + " holds no audit log (no segment and no checkpoint)" +
          (holds_log(below).value_or(false) ? ", but " + below.string() + " does: name that folder"
                                            : "; name the folder \"audit\" in the data folder"));
}

}  // namespace deepmoat::verifier
