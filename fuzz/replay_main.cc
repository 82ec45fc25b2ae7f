// main() of the fuzz targets in builds without libFuzzer: feeds them every file of the kept corpus,
// then copies of it with small changes. The changes are the same in every run, so that a failure
// can be repeated. One thread.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kChangedCopiesPerFile = 200;

using Bytes = std::vector<std::uint8_t>;

// xorshift64: the next number of a sequence that `state` alone decides.
std::uint64_t next(std::uint64_t& state) {
  state ^= state << 13U;
  state ^= state >> 7U;
  state ^= state << 17U;
  return state;
}

Bytes read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

// One to four edits: a bit turned, a byte replaced, a byte put in, a tail cut off.
Bytes changed(Bytes bytes, std::uint64_t& state) {
  const std::uint64_t edits = 1 + next(state) % 4;
  for (std::uint64_t edit = 0; edit < edits; ++edit) {
    const std::size_t place = bytes.empty() ? 0 : next(state) % bytes.size();
    const auto value = static_cast<std::uint8_t>(next(state));
    const std::uint64_t kind = bytes.empty() ? 2 : next(state) % 4;
    if (kind == 0) {
      bytes[place] ^= static_cast<std::uint8_t>(1U << (value % 8U));
    } else if (kind == 1) {
      bytes[place] = value;
    } else if (kind == 2) {
      bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(place), value);
    } else {
      bytes.resize(place);
    }
  }
  return bytes;
}

void feed(const Bytes& bytes) {
  // A copy of the exact size on the heap, so that AddressSanitizer sees one byte too far.
  const Bytes exact(bytes);
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::vector<std::filesystem::path> corpus_files(std::span<char*> arguments) {
  std::vector<std::filesystem::path> files;
  for (const char* argument : arguments) {
    if (!std::filesystem::is_directory(argument)) {
      files.emplace_back(argument);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argument)) {
      if (entry.is_regular_file()) {
        files.push_back(entry.path());
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const auto files = corpus_files(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  if (files.empty()) {
    std::fprintf(stderr, "no corpus file: name files or folders\n");
    return 1;
  }
  feed({});
  std::uint64_t state = 0x9e3779b97f4a7c15U;
  for (const auto& path : files) {
    const Bytes bytes = read_all(path);
    std::fprintf(stderr, "%s (%zu bytes)\n", path.filename().c_str(), bytes.size());
    feed(bytes);
    for (int copy = 0; copy < kChangedCopiesPerFile; ++copy) {
      feed(changed(bytes, state));
    }
  }
  std::printf("%zu files replayed, each with %d changed copies\n", files.size(),
              kChangedCopiesPerFile);
  return 0;
}
