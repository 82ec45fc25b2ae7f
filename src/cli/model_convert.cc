#include "cli/model_convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "cli/command.h"

namespace deepmoat::cli {

namespace {

// The files that the converter may read, in the order of their names.
Result<std::vector<std::filesystem::path>> files_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  bool weights = false;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error) && !entry.path().filename().string().starts_with('.')) {
      files.push_back(entry.path());
      weights = weights || entry.path().extension() == ".safetensors";
    }
  }
  if (!weights || !std::filesystem::exists(folder / "config.json", error)) {
    return fail(Code::invalid_argument,
                folder.string() + " is no model folder: it needs config.json and *.safetensors");
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

Result<Converted> convert_folder(const std::filesystem::path& folder,
                                 const std::filesystem::path& models) {
  TRY(const auto files, files_of(folder));
  TRY(IncomingFile file, IncomingFile::make(models, ".gguf"));
  TRY(const std::string digest, digest_files(files, "reading " + folder.filename().string()));
  const char* named = std::getenv("DEEPMOAT_TOOLS");
  const std::filesystem::path tools = named != nullptr ? named : DEEPMOAT_TOOLS_DIR;
  TRY(const Json answer,
      run_job({"python3", (tools / "convert.py").string(), folder.string(), file.path().string()},
              "converting"));
  return Converted{.file = std::move(file),
                   .source_sha256 = digest,
                   .tool = answer.value("tool", std::string("llama.cpp converter"))};
}

}  // namespace deepmoat::cli
