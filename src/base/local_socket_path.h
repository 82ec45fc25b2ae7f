// A Unix socket's path has 107 bytes at most (unix(7)); a data folder may lie deeper.
#pragma once

#include <filesystem>
#include <string>

#include "base/file.h"
#include "base/result.h"

namespace deepmoat {

// Text to give to bind(2) or connect(2) for a socket. For a path that is too long the process
// stands in its folder while this lives, so all other paths must be absolute by then, and only
// one thread may make these.
class LocalSocketPath {
 public:
  static Result<LocalSocketPath> enter(const std::filesystem::path& path);
  LocalSocketPath(LocalSocketPath&&) = default;
  LocalSocketPath& operator=(LocalSocketPath&&) = delete;
  ~LocalSocketPath();

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  LocalSocketPath(std::string text, UniqueFd came_from)
      : text_(std::move(text)), came_from_(std::move(came_from)) {}

  std::string text_;
  UniqueFd came_from_;  // the folder to go back to
};

}  // namespace deepmoat
