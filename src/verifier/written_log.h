// For this module's tests: a log written byte by byte from docs/formats/audit.md, with a tree by
// RFC 6962's own recursive definition, and a folder for it that goes away.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verifier/base64.h"

namespace deepmoat::verifier {

class Folder {
 public:
  Folder() {
    std::string name = (::access("/dev/shm", W_OK) == 0 ? std::filesystem::path("/dev/shm")
                                                        : std::filesystem::temp_directory_path()) /
                       "deepmoat-verifier-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary | std::ios::trunc) << bytes;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void remove(const std::string& name) const { std::filesystem::remove(path_ / name); }

 private:
  std::filesystem::path path_;
};

inline std::string digest(const EVP_MD* algorithm, std::string_view bytes) {
  std::string out(32, '\0');
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr,
             algorithm, nullptr);
  return out;
}

inline std::string leaf_hash(std::string_view data, const EVP_MD* algorithm = EVP_sha256()) {
  return digest(algorithm, std::string(1, '\0').append(data));
}

// MTH of RFC 6962, 2.1, over leaf hashes.
inline std::string naive_root(std::span<const std::string> leaves,
                              const EVP_MD* algorithm = EVP_sha256()) {
  if (leaves.size() < 2) {
    return leaves.empty() ? digest(algorithm, "") : leaves[0];
  }
  const std::size_t k = std::bit_floor(leaves.size() - 1);
  return digest(algorithm, "\x01" + naive_root(leaves.first(k), algorithm) +
                               naive_root(leaves.subspan(k), algorithm));
}

// PATH of RFC 6962, 2.1.1.
inline std::vector<std::string> naive_path(std::size_t m, std::span<const std::string> leaves) {
  if (leaves.size() == 1) {
    return {};
  }
  const std::size_t k = std::bit_floor(leaves.size() - 1);
  auto path = m < k ? naive_path(m, leaves.first(k)) : naive_path(m - k, leaves.subspan(k));
  path.push_back(m < k ? naive_root(leaves.subspan(k)) : naive_root(leaves.first(k)));
  return path;
}

template <class Int>
std::string le(Int value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(Int); ++i) {
    bytes.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
  return bytes;
}

inline std::string sample_body(std::uint64_t i) {
  const std::string call = std::to_string((i + 1) / 2);
  return i % 2 == 1 ? R"({"phase":"intent","operation":"EXECUTE","outcome":"pending",)"
                      R"("request_id":"req_)" +
                          call + R"(","tenant":"default"})"
                    : R"({"phase":"result","operation":"EXECUTE","outcome":"success",)"
                      R"("request_id":"req_)" +
                          call + R"(","intent_sequence":)" + std::to_string(i - 1) +
                          R"(,"tenant":"default","knowledge":"k1","status":200})";
}

struct WrittenRecord {
  std::size_t segment = 0;  // from 0
  std::size_t offset = 0;
  std::string frame;
  [[nodiscard]] std::string leaf_data() const { return frame.substr(0, frame.size() - 32); }
  [[nodiscard]] std::string hash() const { return frame.substr(frame.size() - 32); }
};

constexpr std::int64_t kWrittenFrom = 1'700'000'000'000;

class WrittenLog {
 public:
  explicit WrittenLog(std::size_t segment_bytes = 8192) : segment_bytes_(segment_bytes) {}

  // Frames without the log: `version` 2 unless said otherwise.
  static std::string frame(std::uint64_t sequence, std::uint32_t index, const std::string& previous,
                           const std::string& body, std::uint16_t version = 2,
                           std::uint16_t kind = 1) {
    std::string bytes =
        "\xd7"
        "DMR" +
        le(static_cast<std::uint32_t>(body.size())) + le(sequence) +
        le(kWrittenFrom + static_cast<std::int64_t>(sequence)) + le(index) + le(kind) +
        le(version) + previous + body;
    return bytes + digest(EVP_sha256(), bytes);
  }

  void append(const std::string& body, std::uint32_t index = 0, std::uint16_t version = 2) {
    const std::uint64_t sequence = records.size() + 1;
    if (segments.empty() || end_ + 96 + body.size() > segment_bytes_) {
      begin_segment(sequence);
    }
    const std::string bytes = frame(sequence, index, last_hash_, body, version);
    segments.back().replace(end_, bytes.size(), bytes);
    records.push_back({segments.size() - 1, end_, bytes});
    end_ += bytes.size();
    last_hash_ = bytes.substr(bytes.size() - 32);
  }
  void append_samples(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      append(sample_body(records.size() + 1));
    }
  }

  void write(const Folder& folder) const {
    for (std::size_t i = 0; i < segments.size(); ++i) {
      folder.write(name(i + 1), segments[i]);
    }
  }
  static std::string name(std::size_t number, const std::string& suffix = ".seg") {
    const std::string digits = std::to_string(number);
    return "audit-" + std::string(12 - digits.size(), '0') + digits + suffix;
  }

  [[nodiscard]] std::vector<std::string> leaves(const EVP_MD* algorithm = EVP_sha256()) const {
    std::vector<std::string> hashes;
    for (const WrittenRecord& record : records) {
      hashes.push_back(leaf_hash(record.leaf_data(), algorithm));
    }
    return hashes;
  }
  // The text of a checkpoint of its first `size` records.
  [[nodiscard]] std::string checkpoint(std::size_t size, bool sm3 = false,
                                       const std::string& origin = "deepmoat/test") const {
    const auto root = [&](const EVP_MD* algorithm) {
      const auto hashes = leaves(algorithm);
      return to_base64(naive_root(std::span(hashes).first(size), algorithm)) + "\n";
    };
    return origin + "\n" + std::to_string(size) + "\n" + root(EVP_sha256()) +
           (sm3 ? "sm3 " + root(EVP_sm3()) : "");
  }

  // What retention makes of segment `number`, when it deletes the bodies of `gone`.
  [[nodiscard]] std::string kept(std::size_t number, const std::vector<std::uint64_t>& gone,
                                 bool with_sm3 = true) const {
    std::string bytes = segments[number - 1].substr(0, 128);
    std::uint64_t count = 0;
    for (std::uint64_t sequence = 1; sequence <= records.size(); ++sequence) {
      const WrittenRecord& record = records[sequence - 1];
      if (record.segment != number - 1) {
        continue;
      }
      ++count;
      if (std::find(gone.begin(), gone.end(), sequence) == gone.end()) {
        bytes += record.frame;
        continue;
      }
      bytes +=
          "\xd7"
          "DMS" +
          record.frame.substr(4, 20) + std::string(8, '\0') + leaf_hash(record.leaf_data()) +
          (with_sm3 ? leaf_hash(record.leaf_data(), EVP_sm3()) : std::string(32, '\0')) +
          record.hash();
    }
    bytes +=
        "\xd7"
        "DME" +
        std::string(4, '\0') + le(count);
    return bytes + digest(EVP_sha256(), bytes);
  }

  std::vector<std::string> segments;
  std::vector<WrittenRecord> records;

 private:
  void begin_segment(std::uint64_t sequence) {
    std::string header =
        "\xd7"
        "DMAUD\r\n" +
        le(std::uint32_t{1}) + le(std::uint32_t{128}) +
        le(static_cast<std::uint64_t>(segments.size() + 1)) +
        le(static_cast<std::uint64_t>(segment_bytes_)) + le(sequence) + le(kWrittenFrom) +
        le(std::uint32_t{1}) + std::string(12, '\0') +
        (segments.empty() ? std::string(32, '\0') : last_hash_);
    last_hash_ = digest(EVP_sha256(), header);
    header += last_hash_;
    header.resize(segment_bytes_, '\0');
    segments.push_back(header);
    end_ = 128;
  }

  std::size_t segment_bytes_;
  std::size_t end_ = 0;
  std::string last_hash_;
};

}  // namespace deepmoat::verifier
