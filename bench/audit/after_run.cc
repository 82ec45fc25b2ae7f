#include "after_run.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <vector>

#include "audit/segment.h"
#include "base/file.h"
#include "crypto/base64.h"
#include "load.h"
#include "transparency/tile_store.h"
#include "verifier/log.h"
#include "verifier/merkle.h"
#include "verifier/receipt.h"

namespace deepmoat::audit {

namespace {

using transparency::Digest;

constexpr std::size_t kProofs = 10'000;
constexpr int kCheckpoints = 20;
constexpr std::uint64_t kBurst = 5'000;  // fewer than make a checkpoint by themselves

struct Space {
  std::uint64_t bytes = 0;
  std::uint64_t on_disk = 0;  // in the file system's blocks
};

// Of all files below `folder` whose name ends so.
Space space_of(const std::filesystem::path& folder, std::string_view suffix) {
  Space space;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    struct stat status{};
    if (entry.is_regular_file(error) && entry.path().string().ends_with(suffix) &&
        ::stat(entry.path().c_str(), &status) == 0) {
      space.bytes += static_cast<std::uint64_t>(status.st_size);
      space.on_disk += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
  }
  return space;
}

Result<> covered(ProductLog& product) {
  TRY(const std::string note, product.checkpointer().covering(product.log().tree().size()));
  return note.empty() ? fail(Code::internal, "no checkpoint") : Result<>();
}

void print_space(ProductLog& product) {
  const std::filesystem::path folder = product.log().directory();
  const auto records = static_cast<double>(product.log().tree().size());
  const auto line = [&](const char* name, const Space& space) {
    fmt::print("  {:<12} {:>8.1f} bytes a record, {:>8.1f} in blocks\n", name,
               static_cast<double>(space.bytes) / records,
               static_cast<double>(space.on_disk) / records);
  };
  fmt::print("size: {:.0f} records\n", records);
  line("segments", space_of(folder, ".seg"));
  line("tiles", space_of(folder / "tile", ""));
  line("SM3 tiles", space_of(folder / "tile-sm3", ""));
}

struct Proved {
  std::uint64_t index = 0;
  Digest leaf;
  std::vector<Digest> proof;
};

// Random records whose tiles are full: what is in memory of the tree is not what is measured.
Result<> measure_proofs(ProductLog& product) {
  LogTree& tree = product.log().tree();
  const std::uint64_t size = tree.size();
  if (size <= 2 * transparency::kTileWidth) {
    return fail(Code::invalid_argument, "too few records for proofs");
  }
  TRY(const Digest root, tree.view().root(size));
  const transparency::TileStore tiles(product.log().directory() / "tile");
  std::mt19937_64 random(1);
  std::uniform_int_distribution<std::uint64_t> any(0, size - transparency::kTileWidth - 1);
  std::vector<Proved> proved;
  double making_s = 0;
  for (std::size_t i = 0; i < kProofs; ++i) {
    Proved one{.index = any(random), .leaf = {}, .proof = {}};
    const Time::time_point start = Time::now();
    TRY(one.proof, tree.view().inclusion(one.index, size));
    making_s += seconds_since(start);
    TRY(const std::vector<Digest> leaves,
        tiles.read(0, one.index / transparency::kTileWidth, transparency::kTileWidth));
    one.leaf = leaves[one.index % transparency::kTileWidth];
    proved.push_back(std::move(one));
  }
  const verifier::TreeHasher hasher(verifier::Algorithm::sha256);
  std::size_t hashes = 0;
  const Time::time_point start = Time::now();
  for (const Proved& one : proved) {
    hashes += one.proof.size();
    if (!verifier::included(hasher, one.index, size, one.leaf, one.proof, root)) {
      return fail(Code::corrupt, "a proof does not hold");
    }
  }
  const double checking_s = seconds_since(start);
  const auto mean = static_cast<double>(hashes) / kProofs;
  fmt::print(
      "inclusion proof, mean of {}: {:.1f} hashes, {:.0f} bytes; made in {:.1f} us, checked "
      "in {:.1f} us\n",
      kProofs, mean, mean * kHashBytes, making_s / kProofs * 1e6, checking_s / kProofs * 1e6);
  return {};
}

double median_of(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Until it is signed, on the disk and at its second place, with one new record and with many.
Result<> measure_checkpoints(ProductLog& product) {
  std::vector<double> one_ms;
  std::vector<double> many_ms;
  for (int i = 0; i < kCheckpoints; ++i) {
    TRY(std::uint64_t sequence, product.log().append_and_wait(call_record()));
    Time::time_point start = Time::now();
    TRY(const std::string first, product.checkpointer().covering(sequence));
    one_ms.push_back(seconds_since(start) * 1e3);
    for (std::uint64_t n = 1; n < kBurst; ++n) {
      product.log().append(call_record(), [](const Result<std::uint64_t>& /*sequence*/) {});
    }
    TRY(sequence, product.log().append_and_wait(call_record()));
    start = Time::now();
    TRY(const std::string second, product.checkpointer().covering(sequence));
    many_ms.push_back(seconds_since(start) * 1e3);
  }
  fmt::print("checkpoint, median of {}: {:.2f} ms after one record, {:.2f} ms after {}\n",
             kCheckpoints, median_of(one_ms), median_of(many_ms), kBurst);
  return {};
}

// The leaf data of the newest `count` records.
Result<std::vector<std::string>> newest_leaves(const std::filesystem::path& directory,
                                               std::size_t count) {
  std::vector<std::string> leaves;
  TRY(std::uint64_t number, count_segments(directory));
  for (; number > 0 && leaves.size() < count; --number) {
    TRY(const SegmentFile file, SegmentFile::open(directory, number));
    std::string bytes;
    CHECK_OK(file.load(bytes));
    SegmentHeader header;
    if (parse_segment_header(bytes, header) != nullptr) {
      continue;  // the blank one
    }
    std::vector<std::string> here;
    ChainState chain{header.first_sequence, header.hash};
    (void)scan_frames(bytes, kSegmentHeaderBytes, chain, [&](const Frame& frame) {
      here.emplace_back(frame.leaf_data);
      if (here.size() > count) {
        here.erase(here.begin());
      }
    });
    leaves.insert(leaves.begin(), here.begin(), here.end());
  }
  return leaves.size() >= count
             ? Result<std::vector<std::string>>(
                   std::vector(leaves.end() - static_cast<std::ptrdiff_t>(count), leaves.end()))
             : fail(Code::not_found, "too few records for a receipt");
}

// Of a call: its intent and its result, as docs/formats/audit.md spells it.
Result<> measure_receipt(ProductLog& product) {
  Record intent = call_record();
  intent.phase = Phase::intent;
  intent.outcome = Outcome::pending;
  CHECK_OK(product.log().append_and_wait(intent));
  TRY(const std::uint64_t last, product.log().append_and_wait(call_record()));
  TRY(std::string note, product.checkpointer().covering(last));
  TRY(const auto leaves, newest_leaves(product.log().directory(), 2));
  const std::string key = product.checkpointer().signer().verifier_key();
  std::string records;
  for (std::uint64_t i = 0; i < 2; ++i) {
    const std::uint64_t sequence = last - 1 + i;
    TRY(const auto proof, product.log().tree().view().inclusion(sequence - 1, last));
    std::string hashes;
    for (const Digest& hash : proof) {
      hashes +=
          fmt::format("{}\"{}\"", hashes.empty() ? "" : ",", crypto::to_base64(crypto::view(hash)));
    }
    records += fmt::format(R"({}{{"sequence":{},"leaf":"{}","proof":[{}],"record":{}}})",
                           i == 0 ? "" : ",", sequence, crypto::to_base64(leaves[i]), hashes,
                           leaves[i].substr(kFrameHeaderBytes));
  }
  for (std::size_t at = 0; (at = note.find('\n', at)) != std::string::npos; ++at) {
    note.replace(at, 1, "\\n");
  }
  const std::string receipt =
      fmt::format(R"({{"object":"audit.receipt","request_id":"{}","checkpoint":"{}",)"
                  R"("key":"{}","records":[{}]}})",
                  call_record().request_id, note, key, records);
  const auto trusted = verifier::parse_key(key);
  const auto report = verifier::check_receipt(receipt, {&*trusted, 1});
  fmt::print("receipt of a call (2 records): {} bytes; the verifier says: {}\n", receipt.size(),
             report.intact() ? "good" : report.why);
  return report.intact() ? Result<>() : fail(Code::internal, report.why);
}

}  // namespace

Result<> describe_log(ProductLog& product) {
  CHECK_OK(covered(product));
  print_space(product);
  CHECK_OK(measure_proofs(product));
  CHECK_OK(measure_checkpoints(product));
  return measure_receipt(product);
}

Result<> measure_verifier(const std::filesystem::path& folder, bool sm) {
  for (const bool one_thread : {true, false}) {
    const double cpu_before = cpu_seconds();
    const Time::time_point start = Time::now();
    const auto report = verifier::verify_log(folder, {.sm3 = sm, .one_thread = one_thread});
    const double elapsed = seconds_since(start);
    if (!report || !report->intact()) {
      return fail(Code::corrupt, report ? verifier::describe(*report) : report.error().message);
    }
    const auto records = static_cast<double>(report->records);
    fmt::print(
        "verifier, {}, {}: {:.0f} records in {:.2f} s, {:.0f} records/s, {:.2f} us of CPU a "
        "record\n",
        sm ? "both trees" : "SHA-256 tree", one_thread ? "one thread" : "its defaults", records,
        elapsed, records / elapsed, (cpu_seconds() - cpu_before) / records * 1e6);
  }
  return {};
}

}  // namespace deepmoat::audit
