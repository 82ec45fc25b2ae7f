#include "engine/backends.h"

#include <dlfcn.h>
#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace deepmoat::engine {

namespace {

constexpr std::string_view kPrefix = "libggml-cpu-";
constexpr std::string_view kSuffix = ".so";
constexpr std::array kAccelerators = {"cuda", "hip", "cann", "musa", "sycl", "vulkan"};

// What ggml_backend_load_best asks a library before it takes it; 0 when it cannot be asked.
int score_of(const std::filesystem::path& file) {
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return 0;
  }
  using Score = int (*)();
  const auto score = reinterpret_cast<Score>(::dlsym(library, "ggml_backend_score"));
  const int value = score != nullptr ? score() : 0;
  ::dlclose(library);
  return value;
}

}  // namespace

std::filesystem::path default_engine_dir() {
  return DEEPMOAT_LLAMA_LIB_DIR;
}

Result<std::vector<CpuVariant>> rank_cpu_variants(const std::filesystem::path& dir) {
  std::error_code error;
  std::filesystem::directory_iterator entries(dir, error);
  if (error) {
    return fail(Code::not_found, "engine folder " + dir.string() + ": " + error.message() +
                                     "; name it with --engine-dir");
  }
  std::vector<CpuVariant> variants;
  for (const auto& entry : entries) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with(kPrefix) && file.ends_with(kSuffix)) {
      const std::string name =
          file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size());
      variants.push_back({name, entry.path(), score_of(entry.path())});
    }
  }
  if (variants.empty()) {
    return fail(Code::not_found, "no " + std::string(kPrefix) + "*.so in " + dir.string() +
                                     "; name the engine's folder with --engine-dir");
  }
  std::ranges::sort(variants, [](const CpuVariant& a, const CpuVariant& b) {
    return a.score != b.score ? a.score > b.score : a.name < b.name;
  });
  return variants;
}

Result<> load_backends(const std::filesystem::path& dir, const CpuVariant& variant) {
  ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);  // Model::load() sets another
  for (const std::string name : kAccelerators) {
    const std::filesystem::path file = dir / ("libggml-" + name + ".so");
    std::error_code error;
    if (std::filesystem::exists(file, error)) {
      ggml_backend_load(file.c_str());  // a machine without its driver goes on without it
    }
  }
  if (ggml_backend_load(variant.file.c_str()) == nullptr) {
    return fail(Code::unavailable, "cannot load " + variant.file.string());
  }
  return {};
}

std::vector<std::string> accelerators() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    const auto type = ggml_backend_dev_type(device);
    if (type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) {
      names.emplace_back(ggml_backend_dev_name(device));
    }
  }
  return names;
}

}  // namespace deepmoat::engine
