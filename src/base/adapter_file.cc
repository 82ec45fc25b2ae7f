#include "base/adapter_file.h"

#include <charconv>

namespace deepmoat {

Result<AdapterFile> parse_adapter(const std::string& text) {
  AdapterFile adapter;
  const std::size_t equals = text.find('=');
  adapter.name = text.substr(0, equals);
  std::string file = equals == std::string::npos ? "" : text.substr(equals + 1);
  const std::size_t colon = file.rfind(':');
  if (colon != std::string::npos) {
    const char* end = file.data() + file.size();
    float scale = 0;
    const auto [read, error] = std::from_chars(file.data() + colon + 1, end, scale);
    if (error == std::errc{} && read == end) {  // else the colon belongs to the file's name
      adapter.scale = scale;
      file.resize(colon);
    }
  }
  adapter.file = file;
  if (adapter.name.empty() || file.empty()) {
    return fail(Code::invalid_argument,
                "the adapter " + text + " is not of the form NAME=FILE or NAME=FILE:SCALE");
  }
  return adapter;
}

}  // namespace deepmoat
