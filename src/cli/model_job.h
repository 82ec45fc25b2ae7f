// Work of an import that takes long: files that are hashed and copied here, and jobs for the
// worker program, the only one that opens a model file. All of it shows its progress and can be
// interrupted with Ctrl-C.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace deepmoat::cli {

using Json = nlohmann::ordered_json;

// One line on a terminal that changes; nothing elsewhere, and nothing without a title.
class ProgressLine {
 public:
  explicit ProgressLine(std::string title);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine();

  void update(double fraction);

 private:
  std::string title_;
  bool terminal_;
  int percent_ = -1;
};

// From now on Ctrl-C and SIGTERM only set a flag, so that what was begun can be cleaned up.
void take_interrupts();
[[nodiscard]] bool interrupted();

// A file in the folder of models that goes when the object does, unless it was given another name.
class IncomingFile {
 public:
  // Makes an empty one that only its owner may read; removes what killed imports left there.
  static Result<IncomingFile> make(const std::filesystem::path& folder, const std::string& ending);
  IncomingFile(IncomingFile&& other) noexcept;
  IncomingFile& operator=(IncomingFile&& other) noexcept;
  ~IncomingFile();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  explicit IncomingFile(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// SHA-256, hexadecimal, of the files' bytes one after the other. With `copy`, they are also written
// there and made durable. Code::cancelled.
[[nodiscard]] Result<std::string> digest_files(const std::vector<std::filesystem::path>& files,
                                               const std::string& title,
                                               const std::filesystem::path& copy = {});

// Runs a program and reads its lines of JSON; the last one without "progress" is the answer. A line
// with "error" is the error. `illegal`: set when it ended by an illegal instruction
// (worker::kExitIllegal) with the CPU variant that it had named. Code::cancelled, ::unavailable.
[[nodiscard]] Result<Json> run_job(const std::vector<std::string>& command,
                                   const std::string& title, std::string* illegal = nullptr);

// The files of a model that may lie in parts (NAME-00001-of-00003.gguf).
[[nodiscard]] std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& first);

}  // namespace deepmoat::cli
