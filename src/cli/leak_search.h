// Looks for API keys in files, folders, standard input and git repositories. Says where each one
// stands; what it means is for the caller. Blocking; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "identity/key_scan.h"

namespace deepmoat::cli {

class LeakSearch {
 public:
  // `place`: a path, "-", "<path>@<commit>:<path in it>" or "<path>@<kind> <hash>".
  using OnFound = std::function<void(const std::string& place, const identity::KeySighting&)>;
  // Could not be read; the search goes on.
  using OnProblem = std::function<void(const Error&)>;
  // Called now and then, also while no bytes are counted; must be quick.
  using OnProgress = std::function<void(const LeakSearch&)>;

  LeakSearch(OnFound found, OnProblem problem, OnProgress progress);

  // A file, a folder with all below it, a git repository's history, or "-". Links are followed
  // when they are named here, not when they lie in a folder.
  void search(const std::string& path);
  // Repositories are met in folders: their history is searched too, unless this is false.
  void set_history(bool wanted) { history_ = wanted; }
  // Of one repository's history; more are counted and said to be left out.
  void set_history_sightings_max(std::size_t count) { history_sightings_max_ = count; }

  [[nodiscard]] std::uint64_t files() const { return files_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  struct InObject {
    std::string name;
    std::string kind;
    std::uint64_t offset;
    std::uint64_t line;
    identity::KeyKind kind_of_key;
    std::string key;
  };

  // What was only met in a folder may be gone by its turn: then there is nothing to read.
  enum class Vanished : std::uint8_t { is_fine, is_a_problem };

  void search_folder(const std::filesystem::path& folder, bool may_be_repository,
                     Vanished vanished);
  void search_file(const std::filesystem::path& path, int more_flags, Vanished vanished);
  void search_stream(const std::string& place, int fd);
  void search_history(const std::filesystem::path& repository);
  void report(const std::filesystem::path& repository, const std::vector<InObject>& sightings);
  void count(std::size_t bytes);

  OnFound found_;
  OnProblem problem_;
  OnProgress progress_;
  bool history_ = true;
  std::size_t history_sightings_max_ = 100'000;
  std::vector<char> buffer_;
  std::uint64_t files_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t told_bytes_ = 0;
};

}  // namespace deepmoat::cli
