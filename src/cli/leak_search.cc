#include "cli/leak_search.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_set>
#include <utility>

#include "base/file.h"
#include "cli/git_objects.h"

namespace deepmoat::cli {

namespace {

constexpr std::size_t kBufferBytes = 1024 * 1024;
constexpr std::uint64_t kProgressBytes = 16 * 1024 * 1024;

}  // namespace

LeakSearch::LeakSearch(OnFound found, OnProblem problem, OnProgress progress)
    : found_(std::move(found)),
      problem_(std::move(problem)),
      progress_(std::move(progress)),
      buffer_(kBufferBytes) {}

void LeakSearch::search(const std::string& path) {
  if (path == "-") {
    search_stream(path, STDIN_FILENO);
    return;
  }
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    search_folder(path, true, Vanished::is_a_problem);
  } else {
    search_file(path, 0, Vanished::is_a_problem);
  }
}

void LeakSearch::search_folder(const std::filesystem::path& folder, bool may_be_repository,
                               Vanished vanished) {
  if (history_ && may_be_repository && is_git_repository(folder)) {
    search_history(folder);
  }
  std::error_code error;
  std::vector<std::filesystem::path> below;
  std::filesystem::directory_iterator entries(folder, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    std::error_code of_entry;
    const std::filesystem::file_status status = entries->symlink_status(of_entry);
    if (of_entry && of_entry != std::errc::no_such_file_or_directory) {
      problem_({Code::io, entries->path().string() + ": " + of_entry.message()});
    } else if (std::filesystem::is_directory(status)) {
      below.push_back(entries->path());
    } else if (std::filesystem::is_regular_file(status)) {
      search_file(entries->path(), O_NOFOLLOW | O_NONBLOCK, Vanished::is_fine);
    }
  }
  if (error && !(vanished == Vanished::is_fine && error == std::errc::no_such_file_or_directory)) {
    problem_({Code::io, folder.string() + ": " + error.message()});
  }
  for (const std::filesystem::path& one : below) {
    // Its work tree's turn has been.
    search_folder(one, one.filename() != ".git", Vanished::is_fine);
  }
}

void LeakSearch::search_file(const std::filesystem::path& path, int more_flags, Vanished vanished) {
  const auto file = open_file(path, O_RDONLY | O_NOCTTY | more_flags);
  if (!file) {
    if (vanished != Vanished::is_fine || file.error().code != Code::not_found) {
      problem_(file.error());
    }
    return;
  }
  ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  search_stream(path.string(), file->get());
}

void LeakSearch::search_stream(const std::string& place, int fd) {
  identity::KeyScanner scanner;
  const identity::OnSighting note = [&](const identity::KeySighting& seen) { found_(place, seen); };
  for (;;) {
    const ssize_t got = ::read(fd, buffer_.data(), buffer_.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      problem_(fail_errno(Code::io, "read " + place).error());
      return;
    }
    if (got == 0) {
      break;
    }
    scanner.feed({buffer_.data(), static_cast<std::size_t>(got)}, note);
    count(static_cast<std::size_t>(got));
  }
  ++files_;
}

void LeakSearch::search_history(const std::filesystem::path& repository) {
  std::vector<InObject> sightings;
  std::uint64_t left_out = 0;
  identity::KeyScanner scanner;
  const auto read =
      read_git_objects(repository, [&](const GitObject& object, std::string_view piece) {
        if (piece.empty()) {
          scanner = identity::KeyScanner();
          return;
        }
        scanner.feed(piece, [&](const identity::KeySighting& seen) {
          if (sightings.size() >= history_sightings_max_) {
            ++left_out;
            return;
          }
          sightings.push_back({.name = object.name,
                               .kind = object.kind,
                               .offset = seen.offset,
                               .line = seen.line,
                               .kind_of_key = seen.kind,
                               .key = std::string(seen.key)});
        });
        count(piece.size());
      });
  const std::string history = "the git history of " + repository.string();
  if (!read) {
    problem_({read.error().code, history + ": " + read.error().message});
  }
  if (left_out > 0) {
    problem_({Code::resource_exhausted,
              fmt::format("{}: the first {} places are named, {} more are left out", history,
                          sightings.size(), left_out)});
  }
  report(repository, sightings);
}

// Where the objects came into the history.
void LeakSearch::report(const std::filesystem::path& repository,
                        const std::vector<InObject>& sightings) {
  std::unordered_set<std::string> blobs;
  for (const InObject& seen : sightings) {
    if (seen.kind == "blob") {
      blobs.insert(seen.name);
    }
  }
  GitPlaces places;
  if (!blobs.empty()) {
    auto found = find_git_blobs(repository, blobs, [this] { progress_(*this); });
    if (found) {
      places = *std::move(found);
    } else {
      problem_({found.error().code, "where keys came into the git history of " +
                                        repository.string() + ": " + found.error().message});
    }
  }
  for (const InObject& seen : sightings) {
    const auto place = places.find(seen.name);
    const std::string in_history =
        place != places.end() ? place->second : seen.kind + " " + seen.name;
    found_(repository.string() + "@" + in_history,
           {.offset = seen.offset, .line = seen.line, .key = seen.key, .kind = seen.kind_of_key});
  }
}

void LeakSearch::count(std::size_t bytes) {
  bytes_ += bytes;
  if (bytes_ - told_bytes_ >= kProgressBytes) {
    told_bytes_ = bytes_;
    progress_(*this);
  }
}

}  // namespace deepmoat::cli
