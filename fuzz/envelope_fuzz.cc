// links: deepmoat_crypto deepmoat_base
// Any bytes as a keystore file and as an encrypted field: nothing crashes, nothing opens, and what
// parses as a keystore has exactly one spelling.
#include <stdlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "crypto/envelope.h"
#include "crypto/envelope_keystore.h"
#include "crypto/file_custody.h"

namespace {

using deepmoat::Code;
using deepmoat::ManualClock;
using deepmoat::Secret;
using deepmoat::crypto::Envelope;
using deepmoat::crypto::FieldPlace;
using deepmoat::crypto::FileCustody;

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// A real envelope with a key of each algorithm's tenant; its folder goes as soon as it is open.
class Fixture {
 public:
  Fixture() : clock_(1'795'000'000'000) {
    char name[] = "/tmp/deepmoat-fuzz-XXXXXX";
    const std::filesystem::path folder = ::mkdtemp(name);
    auto custody = FileCustody::open(folder / "root.key", Secret(), true);
    must(custody.has_value());
    custody_ = *std::move(custody);
    auto envelope = Envelope::open({.folder = folder}, *custody_, clock_);
    must(envelope.has_value());
    envelope_ = *std::move(envelope);
    must(envelope_->seal(kPlace, "kept").has_value());
    std::filesystem::remove_all(folder);
  }

  static constexpr FieldPlace kPlace = {.tenant = "t", .table = "a", .column = "b", .row = "c"};

  [[nodiscard]] Envelope& envelope() { return *envelope_; }

 private:
  ManualClock clock_;
  std::unique_ptr<FileCustody> custody_;
  std::unique_ptr<Envelope> envelope_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Fixture fixture;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto plain = fixture.envelope().open(Fixture::kPlace, bytes);
  must(!plain && plain.error().code == Code::corrupt);

  static const Secret master(std::string(32, 'm'));
  if (const auto keystore = deepmoat::crypto::parse_keystore(bytes)) {
    must(!deepmoat::crypto::check_keystore(bytes, master));
    const std::string written = deepmoat::crypto::keystore_bytes(*keystore, master);
    must(written.size() == bytes.size());
    must(std::string_view(written).substr(0, size - 32) == bytes.substr(0, size - 32));
    must(deepmoat::crypto::check_keystore(written, master).has_value());
    for (const auto& key : keystore->keys) {
      must(!deepmoat::crypto::open_tenant_key(key, keystore->generation, master));
    }
  }
  return 0;
}
