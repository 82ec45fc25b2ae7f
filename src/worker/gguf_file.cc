// Reads the structure of a GGUF file. Nothing is used before it was compared with what is left.
#include "worker/gguf_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

namespace deepmoat::worker {

namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::uint32_t kVersionMin = 2;
constexpr std::uint32_t kVersionMax = 3;
// Far over what any published model has, far under what a machine cannot hold.
constexpr std::uint64_t kKeysMax = 65'536;
constexpr std::uint64_t kTensorsMax = 65'536;
constexpr std::uint64_t kKeyBytesMax = 255;
constexpr std::uint64_t kTensorNameBytesMax = 63;  // ggml's GGML_MAX_NAME with its final zero
constexpr std::uint64_t kStringBytesMax = 256ULL << 20U;
constexpr std::uint64_t kElementsMax = 1ULL << 26U;  // of one array
constexpr std::uint64_t kAlignmentMax = 1ULL << 16U;
constexpr std::uint32_t kDimensionsMax = 4;
constexpr std::size_t kQuotedBytesMax = 80;

// Bytes of a key's or tensor's head at least: what a count promises must be able to exist.
constexpr std::uint64_t kKeyHeadBytesMin = 8 + 1 + 4 + 1;
constexpr std::uint64_t kTensorHeadBytesMin = 8 + 1 + 4 + 4 + 8;

// ggml.h and ggml-common.h at our commit, without what is never stored (Q8_1, Q8_K) and what was
// removed.
constexpr std::array kStorages{
    GgufStorage{0, "F32", 1, 4},         GgufStorage{1, "F16", 1, 2},
    GgufStorage{2, "Q4_0", 32, 18},      GgufStorage{3, "Q4_1", 32, 20},
    GgufStorage{6, "Q5_0", 32, 22},      GgufStorage{7, "Q5_1", 32, 24},
    GgufStorage{8, "Q8_0", 32, 34},      GgufStorage{10, "Q2_K", 256, 84},
    GgufStorage{11, "Q3_K", 256, 110},   GgufStorage{12, "Q4_K", 256, 144},
    GgufStorage{13, "Q5_K", 256, 176},   GgufStorage{14, "Q6_K", 256, 210},
    GgufStorage{16, "IQ2_XXS", 256, 66}, GgufStorage{17, "IQ2_XS", 256, 74},
    GgufStorage{18, "IQ3_XXS", 256, 98}, GgufStorage{19, "IQ1_S", 256, 50},
    GgufStorage{20, "IQ4_NL", 32, 18},   GgufStorage{21, "IQ3_S", 256, 110},
    GgufStorage{22, "IQ2_S", 256, 82},   GgufStorage{23, "IQ4_XS", 256, 136},
    GgufStorage{24, "I8", 1, 1},         GgufStorage{25, "I16", 1, 2},
    GgufStorage{26, "I32", 1, 4},        GgufStorage{27, "I64", 1, 8},
    GgufStorage{28, "F64", 1, 8},        GgufStorage{29, "IQ1_M", 256, 56},
    GgufStorage{30, "BF16", 1, 2},       GgufStorage{34, "TQ1_0", 256, 54},
    GgufStorage{35, "TQ2_0", 256, 66},   GgufStorage{39, "MXFP4", 32, 17},
    GgufStorage{40, "NVFP4", 64, 36},    GgufStorage{41, "Q1_0", 128, 18},
    GgufStorage{42, "Q2_0", 64, 18},
};

std::uint64_t size_of(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    case GgufType::string:
    case GgufType::array:
      return 0;
  }
  return 0;
}

std::unexpected<Error> refuse(std::string message) {
  return fail(Code::invalid_argument, "the model file was refused: " + std::move(message));
}

// GGUF is little-endian, as every machine that we build for.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}

  [[nodiscard]] std::uint64_t at() const { return at_; }
  [[nodiscard]] std::uint64_t left() const { return bytes_.size() - at_; }

  template <class T>
  std::optional<T> number() {
    if (left() < sizeof(T)) {
      return std::nullopt;
    }
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }

  std::optional<std::string_view> take(std::uint64_t count) {
    if (count > left()) {
      return std::nullopt;
    }
    const std::string_view taken = bytes_.substr(at_, count);
    at_ += count;
    return taken;
  }

  std::optional<std::string_view> text(std::uint64_t bytes_max) {
    const auto length = number<std::uint64_t>();
    return length && *length <= bytes_max ? take(*length) : std::nullopt;
  }

 private:
  std::string_view bytes_;
  std::uint64_t at_ = 0;
};

bool printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

Result<> read_array(Cursor& cursor, const std::string& key, GgufValue& value) {
  const auto element = cursor.number<std::uint32_t>();
  const auto count = cursor.number<std::uint64_t>();
  if (!element || !count) {
    return refuse("it ends inside the array " + in_quotes(key));
  }
  if (*element > static_cast<std::uint32_t>(GgufType::f64)) {
    return refuse(fmt::format("array {}: unknown element type {}", in_quotes(key), *element));
  }
  value.element = static_cast<GgufType>(*element);
  value.count = *count;
  if (value.element == GgufType::array) {
    return refuse("array " + in_quotes(key) + ": arrays of arrays are not used by any model");
  }
  if (*count > kElementsMax) {
    return refuse(
        fmt::format("array {}: {} elements, {} at most", in_quotes(key), *count, kElementsMax));
  }
  const std::uint64_t begun = cursor.at();
  if (value.element != GgufType::string) {
    const auto bytes = cursor.take(*count * size_of(value.element));
    if (!bytes) {
      return refuse(
          fmt::format("array {}: {} elements do not fit into the file", in_quotes(key), *count));
    }
    value.bytes = *bytes;
    return {};
  }
  Cursor again = cursor;
  for (std::uint64_t i = 0; i < *count; ++i) {
    if (!cursor.text(kStringBytesMax)) {
      return refuse(fmt::format("array {}: text {} is longer than the file or than {} bytes",
                                in_quotes(key), i, kStringBytesMax));
    }
  }
  value.bytes = *again.take(cursor.at() - begun);
  return {};
}

Result<> read_key(Cursor& cursor, std::uint64_t index, GgufFile& file) {
  const auto name = cursor.text(kKeyBytesMax);
  if (!name || name->empty() || !printable(*name)) {
    return refuse(fmt::format("key {} of its metadata: the name must be 1 to {} printable bytes",
                              index, kKeyBytesMax));
  }
  const std::string key(*name);
  const auto type = cursor.number<std::uint32_t>();
  if (!type || *type > static_cast<std::uint32_t>(GgufType::f64)) {
    return refuse(type ? fmt::format("key {}: unknown type {}", in_quotes(key), *type)
                       : "it ends inside key " + in_quotes(key));
  }
  GgufValue value;
  value.type = static_cast<GgufType>(*type);
  if (value.type == GgufType::array) {
    CHECK_OK(read_array(cursor, key, value));
  } else {
    const auto bytes = value.type == GgufType::string ? cursor.text(kStringBytesMax)
                                                      : cursor.take(size_of(value.type));
    if (!bytes) {
      return refuse("key " + in_quotes(key) + ": its value is longer than the file");
    }
    value.bytes = *bytes;
  }
  if (!file.keys.emplace(key, value).second) {
    return refuse("key " + in_quotes(key) + " is there twice");
  }
  return {};
}

Result<> read_alignment(GgufFile& file) {
  const GgufValue* value = file.find("general.alignment");
  if (value == nullptr) {
    return {};
  }
  if (value->type != GgufType::u32) {
    return refuse("key \"general.alignment\" must be a u32");
  }
  std::uint32_t alignment = 0;
  std::memcpy(&alignment, value->bytes.data(), sizeof alignment);
  if (alignment < 8 || alignment > kAlignmentMax || (alignment & (alignment - 1)) != 0) {
    return refuse(
        fmt::format("key \"general.alignment\" is {}; it must be a power of two from 8 "
                    "to {}",
                    alignment, kAlignmentMax));
  }
  file.alignment = alignment;
  return {};
}

// Number of elements, and bytes, without overflow.
Result<> measure(GgufTensor& tensor) {
  std::uint64_t elements = 1;
  for (const std::uint64_t length : tensor.dimensions) {
    if (length == 0 || length > std::numeric_limits<std::int64_t>::max() / elements) {
      return refuse(fmt::format("tensor {}: a shape of {} x {} x {} x {} is not possible",
                                in_quotes(tensor.name), tensor.dimensions[0], tensor.dimensions[1],
                                tensor.dimensions[2], tensor.dimensions[3]));
    }
    elements *= length;
  }
  if (tensor.dimensions[0] % tensor.storage.block != 0) {
    return refuse(fmt::format("tensor {}: {} numbers a row are no whole blocks of {} ({})",
                              in_quotes(tensor.name), tensor.dimensions[0], tensor.storage.block,
                              tensor.storage.name));
  }
  const std::uint64_t blocks = elements / tensor.storage.block;
  if (blocks > std::numeric_limits<std::int64_t>::max() / tensor.storage.block_bytes) {
    return refuse("tensor " + in_quotes(tensor.name) + " is larger than any file");
  }
  tensor.elements = elements;
  tensor.bytes = blocks * tensor.storage.block_bytes;
  return {};
}

Result<GgufTensor> read_tensor(Cursor& cursor, std::uint64_t index) {
  GgufTensor tensor;
  const auto name = cursor.text(kTensorNameBytesMax);
  if (!name || name->empty() || !printable(*name)) {
    return refuse(fmt::format("tensor {}: the name must be 1 to {} printable bytes", index,
                              kTensorNameBytesMax));
  }
  tensor.name = *name;
  const auto ends = [&] { return refuse("it ends inside tensor " + in_quotes(tensor.name)); };
  const auto dimensions = cursor.number<std::uint32_t>();
  if (!dimensions) {
    return ends();
  }
  if (*dimensions > kDimensionsMax) {
    return refuse(fmt::format("tensor {}: {} dimensions, {} at most", in_quotes(tensor.name),
                              *dimensions, kDimensionsMax));
  }
  for (std::uint32_t i = 0; i < *dimensions; ++i) {
    const auto length = cursor.number<std::uint64_t>();
    if (!length) {
      return ends();
    }
    tensor.dimensions[i] = *length;
  }
  const auto number = cursor.number<std::uint32_t>();
  const auto offset = cursor.number<std::uint64_t>();
  if (!number || !offset) {
    return ends();
  }
  const auto storage = std::ranges::find(kStorages, *number, &GgufStorage::number);
  if (storage == kStorages.end()) {
    return refuse(
        fmt::format("tensor {}: unknown storage type {}", in_quotes(tensor.name), *number));
  }
  tensor.storage = *storage;
  tensor.offset = *offset;
  CHECK_OK(measure(tensor));
  return tensor;
}

std::uint64_t padded(std::uint64_t bytes, std::uint64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// The tensors lie one after the other, each at a multiple of the alignment, and fill the file.
Result<> check_places(GgufFile& file, std::uint64_t head_bytes, std::uint64_t file_bytes) {
  file.data_offset = padded(head_bytes, file.alignment);
  if (file.tensors.empty()) {
    if (file_bytes > file.data_offset) {
      return refuse("it has no tensors, but bytes after its head");
    }
    return {};
  }
  if (file.data_offset > file_bytes) {
    return refuse("it ends before its data");
  }
  const std::uint64_t data_bytes = file_bytes - file.data_offset;
  std::uint64_t next = 0;
  std::uint64_t end = 0;
  for (const GgufTensor& tensor : file.tensors) {
    if (tensor.offset != next) {
      return refuse(
          fmt::format("tensor {} lies at {} of the data, but the one before it ends at "
                      "{}: tensors must neither overlap nor leave gaps",
                      in_quotes(tensor.name), tensor.offset, next));
    }
    if (tensor.bytes > data_bytes - next) {
      return refuse(
          fmt::format("tensor {} needs {} bytes, but the file ends {} after its begin: "
                      "was it copied completely?",
                      in_quotes(tensor.name), tensor.bytes, data_bytes - next));
    }
    end = next + tensor.bytes;
    next = padded(end, file.alignment);
    if (next > data_bytes && &tensor != &file.tensors.back()) {
      return refuse("it ends after tensor " + in_quotes(tensor.name));
    }
  }
  if (data_bytes > next) {
    return refuse(fmt::format("{} bytes follow the last tensor", data_bytes - next));
  }
  return {};
}

}  // namespace

std::string_view gguf_type_name(GgufType type) {
  constexpr std::array<std::string_view, 13> kNames{"u8",  "i8",  "u16",  "i16",    "u32",
                                                    "i32", "f32", "bool", "string", "array",
                                                    "u64", "i64", "f64"};
  const auto number = static_cast<std::size_t>(type);
  return number < kNames.size() ? kNames[number] : "unknown";
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = keys.find(key);
  return found == keys.end() ? nullptr : &found->second;
}

const GgufTensor* GgufFile::tensor(std::string_view name) const {
  const auto found = std::ranges::find(tensors, name, &GgufTensor::name);
  return found == tensors.end() ? nullptr : &*found;
}

std::string in_quotes(std::string_view text) {
  std::string shown = "\"";
  for (const char c : text.substr(0, kQuotedBytesMax)) {
    shown += c >= ' ' && c < 0x7f && c != '"' ? c : '?';
  }
  return shown + (text.size() > kQuotedBytesMax ? "...\"" : "\"");
}

std::vector<std::string_view> gguf_strings(const GgufValue& value) {
  std::vector<std::string_view> texts;
  Cursor cursor(value.bytes);
  for (std::uint64_t i = 0; i < value.count; ++i) {
    texts.push_back(cursor.text(kStringBytesMax).value_or(std::string_view()));
  }
  return texts;
}

Result<GgufFile> read_gguf(std::string_view bytes) {
  Cursor cursor(bytes);
  if (cursor.take(kMagic.size()) != kMagic) {
    return refuse("it is no GGUF file: it does not begin with \"GGUF\"");
  }
  GgufFile file;
  const auto version = cursor.number<std::uint32_t>();
  const auto tensors = cursor.number<std::uint64_t>();
  const auto keys = cursor.number<std::uint64_t>();
  if (!version || !tensors || !keys) {
    return refuse("it ends inside its head");
  }
  if (*version < kVersionMin || *version > kVersionMax) {
    return refuse(
        fmt::format("GGUF version {}; {} and {} can be read", *version, kVersionMin, kVersionMax));
  }
  file.version = *version;
  if (*keys > std::min(kKeysMax, cursor.left() / kKeyHeadBytesMin)) {
    return refuse(fmt::format("{} keys of metadata are more than {}, or than the bytes that it has",
                              *keys, kKeysMax));
  }
  if (*tensors > std::min(kTensorsMax, cursor.left() / kTensorHeadBytesMin)) {
    return refuse(fmt::format(
        "{} tensors are more than {}, or than the bytes that it has: was it copied completely?",
        *tensors, kTensorsMax));
  }
  for (std::uint64_t i = 0; i < *keys; ++i) {
    CHECK_OK(read_key(cursor, i, file));
  }
  CHECK_OK(read_alignment(file));
  std::unordered_set<std::string> names;
  for (std::uint64_t i = 0; i < *tensors; ++i) {
    TRY(GgufTensor tensor, read_tensor(cursor, i));
    if (!names.insert(tensor.name).second) {
      return refuse("tensor " + in_quotes(tensor.name) + " is there twice");
    }
    file.tensors.push_back(std::move(tensor));
  }
  CHECK_OK(check_places(file, cursor.at(), bytes.size()));
  return file;
}

}  // namespace deepmoat::worker
