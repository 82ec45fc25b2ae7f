// links: deepmoat_gguf deepmoat_base
// Model files: any bytes are accepted or refused, and what is accepted can be told as facts whose
// tensors lie inside the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "worker/gguf_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto file = deepmoat::worker::read_gguf(bytes);
  if (!file) {
    return file.error().code == deepmoat::Code::invalid_argument ? 0 : (std::abort(), 0);
  }
  for (const auto& tensor : file->tensors) {
    const std::uint64_t begin = file->data_offset + tensor.offset;
    if (begin > size || tensor.bytes > size - begin || tensor.offset % file->alignment != 0) {
      std::abort();
    }
  }
  const auto facts = deepmoat::worker::check_gguf(*file);
  if (facts && deepmoat::worker::to_json(*facts).empty()) {
    std::abort();
  }
  return 0;
}
