// Everything that a git repository has ever held: each object once, also those that no branch
// reaches any more (a commit that was amended away is still there until git forgets it).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/result.h"

namespace deepmoat::cli {

// A work tree's root (with .git in it) or a bare repository.
[[nodiscard]] bool is_git_repository(const std::filesystem::path& path);

struct GitObject {
  std::string name;  // its hash
  std::string kind;  // "blob", "commit", "tag", "tree"
};

// Bytes of an object, in pieces; an empty piece ends it.
using OnGitBytes = std::function<void(const GitObject&, std::string_view piece)>;

// Runs git(1), which inflates the objects; nothing that the repository configures is run. Bounded
// memory. Code::not_found without git, Code::unavailable with what git said, Code::corrupt.
[[nodiscard]] Result<> read_git_objects(const std::filesystem::path& repository,
                                        const OnGitBytes& on_bytes);

// Of a blob, the oldest commit that brought it, and its path there: "<commit>:<path>".
using GitPlaces = std::unordered_map<std::string, std::string>;

// Those of `blobs` that a branch, tag or reflog reaches, all in one pass over the history, however
// many they are. `on_progress` is called during it.
[[nodiscard]] Result<GitPlaces> find_git_blobs(const std::filesystem::path& repository,
                                               const std::unordered_set<std::string>& blobs,
                                               const std::function<void()>& on_progress);

}  // namespace deepmoat::cli
