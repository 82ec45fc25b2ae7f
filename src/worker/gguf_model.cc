// Model files on the disk: mapping, parts, and what they say together.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/file.h"
#include "worker/gguf_check.h"

namespace deepmoat::worker {

namespace {

// The file's bytes as long as the object lives.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path) {
    TRY(const UniqueFd file, open_file(path, O_RDONLY));
    struct stat facts{};
    if (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
      return fail(Code::invalid_argument, path.string() + " is no file");
    }
    MappedFile made;
    made.size_ = static_cast<std::size_t>(facts.st_size);
    if (made.size_ == 0) {
      return fail(Code::invalid_argument, path.string() + " is empty");
    }
    made.data_ = ::mmap(nullptr, made.size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (made.data_ == MAP_FAILED) {
      return fail_errno(Code::io, "map " + path.string());
    }
    return made;
  }
  MappedFile(MappedFile&& other) noexcept : data_(other.data_), size_(other.size_) {
    other.data_ = MAP_FAILED;
  }
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile() {
    if (data_ != MAP_FAILED) {
      ::munmap(data_, size_);
    }
  }
  [[nodiscard]] std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  MappedFile() = default;
  void* data_ = MAP_FAILED;
  std::size_t size_ = 0;
};

std::uint64_t split_number(const GgufFile& file, std::string_view key) {
  const GgufValue* value = file.find(key);
  std::uint64_t number = 0;
  if (value != nullptr) {
    std::memcpy(&number, value->bytes.data(), std::min(value->bytes.size(), sizeof number));
  }
  return number;
}

struct FileType {
  std::uint32_t number;
  std::string_view name;
};

// llama_ftype of llama.h, for the mixes whose name says more than their most frequent storage.
constexpr std::array kMixes{
    FileType{10, "Q2_K"},   FileType{11, "Q3_K_S"}, FileType{12, "Q3_K_M"}, FileType{13, "Q3_K_L"},
    FileType{14, "Q4_K_S"}, FileType{15, "Q4_K_M"}, FileType{16, "Q5_K_S"}, FileType{17, "Q5_K_M"},
    FileType{22, "IQ3_XS"}, FileType{27, "IQ3_M"},  FileType{29, "IQ2_M"},
};

// The storage of most numbers. The file's own word for the mix is taken only where it fits that.
std::string quantisation_of(const GgufFile& file, const GgufFacts& facts) {
  std::string most;
  double share = 0;
  for (const auto& [storage, part] : facts.mix) {
    if (part > share) {
      most = storage;
      share = part;
    }
  }
  const GgufValue* type = file.find("general.file_type");
  if (type != nullptr && type->type == GgufType::u32) {
    std::uint32_t number = 0;
    std::memcpy(&number, type->bytes.data(), sizeof number);
    const auto mix = std::ranges::find(kMixes, number, &FileType::number);
    if (mix != kMixes.end() && mix->name.starts_with(most)) {
      return std::string(mix->name);
    }
  }
  return most;
}

Result<> add_part(const GgufFile& part, std::uint32_t number, GgufFacts& facts,
                  std::unordered_set<std::string>& names) {
  if (split_number(part, "split.no") != number || part.find("split.no") == nullptr) {
    return fail(Code::invalid_argument,
                fmt::format("part {} of the model file was refused: its \"split.no\" says {}",
                            number + 1, split_number(part, "split.no")));
  }
  for (const GgufTensor& tensor : part.tensors) {
    if (!names.insert(tensor.name).second) {
      return fail(Code::invalid_argument,
                  fmt::format("part {} of the model file was refused: tensor {} is in another part",
                              number + 1, in_quotes(tensor.name)));
    }
  }
  TRY(const GgufFacts more, check_gguf(part, number));
  facts.parameters += more.parameters;
  facts.tensors += more.tensors;
  for (const auto& [storage, elements] : more.mix) {
    facts.mix[storage] += elements;
  }
  return {};
}

Result<> add_parts(std::vector<std::filesystem::path> paths, const GgufFile& first,
                   GgufFacts& facts) {
  const std::filesystem::path path = paths.front();
  const std::uint64_t count = split_number(first, "split.count");
  if (count <= 1) {
    return {};
  }
  std::ranges::sort(paths);
  if (paths.size() != count || paths.front() != path) {
    return fail(Code::invalid_argument, fmt::format("{}: the model has {} parts, {} lie here",
                                                    path.string(), count, paths.size()));
  }
  facts.parts = static_cast<std::uint32_t>(count);
  std::unordered_set<std::string> names;
  for (const GgufTensor& tensor : first.tensors) {
    names.insert(tensor.name);
  }
  for (std::uint32_t i = 1; i < count; ++i) {
    TRY(const MappedFile mapped, MappedFile::open(paths[i]));
    TRY(const GgufFile part, read_gguf(mapped.bytes()));
    CHECK_OK(add_part(part, i, facts, names));
    facts.bytes += mapped.bytes().size();
  }
  if (first.find("split.tensors.count") == nullptr ||
      split_number(first, "split.tensors.count") != facts.tensors) {
    return fail(
        Code::invalid_argument,
        fmt::format("{}: \"split.tensors.count\" says {}, the parts have {} tensors", path.string(),
                    split_number(first, "split.tensors.count"), facts.tensors));
  }
  return {};
}

}  // namespace

Result<GgufFacts> check_model_files(std::vector<std::filesystem::path> parts) {
  const std::filesystem::path path = parts.front();
  TRY(const MappedFile mapped, MappedFile::open(path));
  TRY(const GgufFile file, read_gguf(mapped.bytes()));
  if (split_number(file, "split.no") != 0) {  // which has no metadata to say anything better with
    return fail(Code::invalid_argument,
                path.string() + " is not the first part of its model; name the one that has 00001");
  }
  TRY(GgufFacts facts, check_gguf(file));
  facts.bytes = mapped.bytes().size();
  CHECK_OK(add_parts(std::move(parts), file, facts));
  if (facts.tensors == 0) {
    return fail(Code::invalid_argument, path.string() + " has no tensors");
  }
  facts.quantisation = quantisation_of(file, facts);
  for (auto& [storage, part] : facts.mix) {
    part /= static_cast<double>(facts.parameters);
  }
  return facts;
}

std::string to_json(const GgufFacts& facts) {
  const nlohmann::ordered_json json = {{"kind", facts.kind},
                                       {"name", facts.name},
                                       {"architecture", facts.architecture},
                                       {"task", facts.task},
                                       {"quantisation", facts.quantisation},
                                       {"mix", facts.mix},
                                       {"parameters", facts.parameters},
                                       {"tensors", facts.tensors},
                                       {"bytes", facts.bytes},
                                       {"parts", facts.parts},
                                       {"context_tokens", facts.context_tokens},
                                       {"width", facts.width},
                                       {"layers", facts.layers},
                                       {"vocabulary", facts.vocabulary},
                                       {"cell_bytes", facts.cell_bytes},
                                       {"tokenizer", facts.tokenizer},
                                       {"chat_template", facts.chat_template},
                                       {"base", facts.base}};
  return json.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace deepmoat::worker
