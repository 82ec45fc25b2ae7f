#include "cli/git_objects.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include "cli/child_output.h"

extern char** environ;

namespace deepmoat::cli {

namespace {

constexpr std::size_t kBufferBytes = 256 * 1024;
constexpr std::size_t kHeadBytesMax = 256;        // "<hash> <kind> <size>"
constexpr std::size_t kLineBytesMax = 64 * 1024;  // of git log

// Without GIT_DIR and its like: inside a hook they name another repository than `-C` does.
std::vector<std::string> git_environment() {
  std::vector<std::string> kept;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    if (!text.starts_with("GIT_")) {
      kept.emplace_back(text);
    }
  }
  kept.emplace_back("GIT_OPTIONAL_LOCKS=0");
  kept.emplace_back("GIT_NO_LAZY_FETCH=1");
  kept.emplace_back("GIT_TERMINAL_PROMPT=0");
  kept.emplace_back("GIT_NO_REPLACE_OBJECTS=1");
  return kept;
}

std::vector<std::string> git(const std::filesystem::path& repository,
                             std::vector<std::string> arguments) {
  std::vector<std::string> all = {"git",
                                  "-C",
                                  repository.string(),
                                  "--no-pager",
                                  "-c",
                                  "core.fsmonitor=false",
                                  "-c",
                                  "log.showSignature=false",
                                  "-c",
                                  "log.showRoot=true",
                                  "-c",
                                  "core.quotePath=false"};
  all.insert(all.end(), std::make_move_iterator(arguments.begin()),
             std::make_move_iterator(arguments.end()));
  return all;
}

// The stream of `git cat-file --batch`: "<hash> <kind> <size>\n<bytes>\n" again and again.
class BatchReader {
 public:
  explicit BatchReader(const OnGitBytes& on_bytes) : on_bytes_(on_bytes) {}

  Result<> take(std::string_view piece) {
    while (!piece.empty()) {
      if (left_ == 0 && !behind_) {
        CHECK_OK(take_head(piece));
      } else if (left_ > 0) {
        const std::string_view bytes = piece.substr(0, left_);
        on_bytes_(object_, bytes);
        left_ -= bytes.size();
        piece.remove_prefix(bytes.size());
        behind_ = left_ == 0;
        if (behind_) {
          on_bytes_(object_, {});
        }
      } else {
        piece.remove_prefix(1);  // the line end behind an object
        behind_ = false;
      }
    }
    return {};
  }

  [[nodiscard]] bool complete() const { return head_.empty() && left_ == 0 && !behind_; }

 private:
  Result<> take_head(std::string_view& piece) {
    const std::size_t end = piece.find('\n');
    head_ += piece.substr(0, end);
    if (head_.size() > kHeadBytesMax) {
      return fail(Code::corrupt, "git cat-file prints what this program does not understand");
    }
    piece.remove_prefix(end == std::string_view::npos ? piece.size() : end + 1);
    if (end == std::string_view::npos) {
      return {};
    }
    const std::size_t first = head_.find(' ');
    const std::size_t second = head_.find(' ', first + 1);
    object_ = {
        .name = head_.substr(0, first),
        .kind = second == std::string::npos ? "" : head_.substr(first + 1, second - first - 1)};
    std::uint64_t size = 0;
    const char* const last = head_.data() + head_.size();
    const bool good = second != std::string::npos &&
                      std::from_chars(head_.data() + second + 1, last, size).ptr == last;
    head_.clear();
    if (!good) {
      return fail(Code::corrupt, "git cat-file prints what this program does not understand");
    }
    left_ = size;
    behind_ = size == 0;
    return {};
  }

  const OnGitBytes& on_bytes_;
  std::string head_;
  GitObject object_;
  std::uint64_t left_ = 0;
  bool behind_ = false;  // the line end behind an object comes next
};

// "commit <hash>" or ":<mode> <mode> <hash> <hash> <status>\t<path>" of git log --raw.
void take_log_line(std::string_view line, const std::unordered_set<std::string>& wanted,
                   std::string& commit, GitPlaces& places) {
  if (line.starts_with("commit ")) {
    commit = line.substr(7);
    return;
  }
  const std::size_t tab = line.find('\t');
  if (!line.starts_with(":") || tab == std::string_view::npos) {
    return;
  }
  std::array<std::string_view, 5> fields;
  std::string_view rest = line.substr(1, tab - 1);
  for (std::string_view& field : fields) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    field = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::string newer(fields[3]);
  if (wanted.contains(newer)) {  // git prints the oldest commit last
    places[std::move(newer)] = commit + ":" + std::string(line.substr(tab + 1));
  }
}

}  // namespace

bool is_git_repository(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path / ".git", error) ||
         (std::filesystem::is_regular_file(path / "HEAD", error) &&
          std::filesystem::is_directory(path / "objects", error) &&
          std::filesystem::is_directory(path / "refs", error));
}

Result<> read_git_objects(const std::filesystem::path& repository, const OnGitBytes& on_bytes) {
  TRY(ChildOutput child, ChildOutput::start(git(repository, {"cat-file", "--batch-all-objects",
                                                             "--batch", "--unordered", "--buffer"}),
                                            git_environment()));
  BatchReader reader(on_bytes);
  std::vector<char> buffer(kBufferBytes);
  for (;;) {
    TRY(const std::size_t got, child.read(buffer));
    if (got == 0) {
      break;
    }
    CHECK_OK(reader.take({buffer.data(), got}));
  }
  CHECK_OK(child.finish());
  return reader.complete() ? Result<>() : fail(Code::corrupt, "git cat-file ended in an object");
}

Result<GitPlaces> find_git_blobs(const std::filesystem::path& repository,
                                 const std::unordered_set<std::string>& blobs,
                                 const std::function<void()>& on_progress) {
  TRY(ChildOutput child,
      ChildOutput::start(git(repository, {"log", "--all", "--reflog", "-m", "--no-color",
                                          "--no-renames", "--no-abbrev", "--no-ext-diff",
                                          "--no-textconv", "--raw", "--format=commit %H"}),
                         git_environment()));
  std::vector<char> buffer(kBufferBytes);
  std::string line;
  std::string commit;
  GitPlaces places;
  for (;;) {
    TRY(const std::size_t got, child.read(buffer));
    if (got == 0) {
      break;
    }
    for (const char c : std::string_view(buffer.data(), got)) {
      if (c == '\n') {
        take_log_line(line, blobs, commit, places);
        line.clear();
      } else if (line.size() < kLineBytesMax) {
        line += c;
      }
    }
    on_progress();
  }
  CHECK_OK(child.finish());
  return places;
}

}  // namespace deepmoat::cli
