// identity_bench: what a key check and an encrypted field cost. See README.md for how to run it and
// what it gave. The million keys take some seconds to make before their measurement begins.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/hex.h"
#include "base/random.h"
#include "crypto/aead.h"
#include "crypto/envelope.h"
#include "crypto/file_custody.h"
#include "identity/authenticator.h"
#include "identity/key_authority.h"

namespace deepmoat {
namespace {

using crypto::Aead;
using crypto::AeadAlgorithm;

constexpr UnixMillis kNowMs = 1'795'000'000'000;
constexpr std::int64_t kSmall = 256;
constexpr std::int64_t kLarge = 1024 * 1024;

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

std::unique_ptr<Aead> keyed(AeadAlgorithm algorithm) {
  return *Aead::make(algorithm, Secret(std::string(crypto::aead_key_bytes(algorithm), 'k')));
}

// The cipher alone, with a key that is kept.
void seal_kept_key(benchmark::State& state, AeadAlgorithm algorithm) {
  const auto aead = keyed(algorithm);
  const std::string plain(static_cast<std::size_t>(state.range(0)), 'p');
  const std::string nonce(crypto::kAeadNonceBytes, 'n');
  const std::string associated(32, 'a');
  for (auto _ : state) {
    benchmark::DoNotOptimize(aead->seal(nonce, plain, associated));
  }
  count_bytes(state);
}

void open_kept_key(benchmark::State& state, AeadAlgorithm algorithm) {
  const auto aead = keyed(algorithm);
  const std::string nonce(crypto::kAeadNonceBytes, 'n');
  const std::string associated(32, 'a');
  const std::string sealed =
      *aead->seal(nonce, std::string(static_cast<std::size_t>(state.range(0)), 'p'), associated);
  for (auto _ : state) {
    benchmark::DoNotOptimize(aead->open(nonce, sealed, associated));
  }
  count_bytes(state);
}

void seal_new_key(benchmark::State& state, AeadAlgorithm algorithm) {
  const std::string plain(static_cast<std::size_t>(state.range(0)), 'p');
  const std::string nonce(crypto::kAeadNonceBytes, 'n');
  for (auto _ : state) {
    benchmark::DoNotOptimize(keyed(algorithm)->seal(nonce, plain, ""));
  }
  count_bytes(state);
}

class ScratchEnvelope {
 public:
  explicit ScratchEnvelope(AeadAlgorithm algorithm) {
    char name[] = "/tmp/deepmoat-bench-XXXXXX";
    folder_ = ::mkdtemp(name);
    custody_ = *crypto::FileCustody::open(folder_ / "root.key", Secret(), true);
    envelope_ =
        *crypto::Envelope::open({.folder = folder_, .algorithm = algorithm}, *custody_, clock_);
  }
  ~ScratchEnvelope() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ScratchEnvelope(const ScratchEnvelope&) = delete;
  ScratchEnvelope& operator=(const ScratchEnvelope&) = delete;

  crypto::Envelope& operator*() { return *envelope_; }

 private:
  SystemClock clock_;
  std::filesystem::path folder_;
  std::unique_ptr<crypto::FileCustody> custody_;
  std::unique_ptr<crypto::Envelope> envelope_;
};

constexpr crypto::FieldPlace kPlace = {
    .tenant = "radiology", .table = "users", .column = "otp", .row = "u1", .version = 7};

// A field as the database gets it: key from the cache, nonce, counting on the disk and all.
void seal_field(benchmark::State& state, AeadAlgorithm algorithm) {
  ScratchEnvelope envelope(algorithm);
  const std::string plain(static_cast<std::size_t>(state.range(0)), 'p');
  for (auto _ : state) {
    benchmark::DoNotOptimize((*envelope).seal(kPlace, plain));
  }
  count_bytes(state);
}

void open_field(benchmark::State& state, AeadAlgorithm algorithm) {
  ScratchEnvelope envelope(algorithm);
  const std::string field =
      *(*envelope).seal(kPlace, std::string(static_cast<std::size_t>(state.range(0)), 'p'));
  for (auto _ : state) {
    benchmark::DoNotOptimize((*envelope).open(kPlace, field));
  }
  count_bytes(state);
}

void blind_index(benchmark::State& state, AeadAlgorithm algorithm) {
  ScratchEnvelope envelope(algorithm);
  for (auto _ : state) {
    benchmark::DoNotOptimize((*envelope).blind_index("radiology", "users", "phone", "13800138000"));
  }
}

void roll(benchmark::State& state, AeadAlgorithm algorithm) {
  ScratchEnvelope envelope(algorithm);
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    const std::string tenant = "tenant" + std::to_string(i);
    benchmark::DoNotOptimize((*envelope).seal({.tenant = tenant}, "x"));
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize((*envelope).roll());
  }
}

// Keys of one installation, and those of them that somebody presents.
struct Keys {
  explicit Keys(std::int64_t count)
      : authority({.signing = Secret(std::string(32, 's')),
                   .pepper = Secret(std::string(32, 'p')),
                   .audit_fingerprint = Secret(std::string(32, 'f')),
                   .id = std::string(32, 'a')}),
        authenticator(authority) {
    constexpr std::int64_t kPresented = 4096;
    std::vector<store::KeyRow> rows;
    rows.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      const std::string client = "client-" + std::to_string(i);
      const Secret key = *authority.make_key(identity::KeyKind::live, client, kNowMs);
      store::KeyRow row{.key_id = "key_" + to_hex(*random_bytes(12)),
                        .lookup = to_hex(crypto::view(authority.lookup(key.reveal()))),
                        .client_id = client,
                        .kind = "live",
                        .role = "user",
                        .tenant = "default",
                        .created_ms = kNowMs,
                        .expires_ms = kNowMs + 90 * kDayMs};
      row.row_mac = authority.row_mac(row);
      rows.push_back(std::move(row));
      if (i % std::max<std::int64_t>(count / kPresented, 1) == 0) {
        presented.emplace_back(key.reveal());
      }
    }
    authenticator.replace(rows);
  }

  identity::KeyAuthority authority;
  identity::Authenticator authenticator;
  std::vector<std::string> presented;
};

// One set at a time: a million keys take about a gigabyte.
std::shared_ptr<Keys> keys_of(std::int64_t count) {
  static std::shared_ptr<Keys> last;
  static std::int64_t last_count = 0;
  if (last_count != count) {
    last.reset();
    last = std::make_shared<Keys>(count);
    last_count = count;
  }
  return last;
}

std::shared_ptr<Keys> shared_keys;  // for the threads of one measurement

void make_keys(const benchmark::State& state) {
  shared_keys = keys_of(state.range(0));
}

// The whole check of a presented key, another each time.
void check_key(benchmark::State& state) {
  const Keys& keys = *shared_keys;
  std::size_t next = static_cast<std::size_t>(state.thread_index()) * 1021;
  for (auto _ : state) {
    const std::string& key = keys.presented[next++ % keys.presented.size()];
    if (!keys.authenticator.authenticate(key, kNowMs)) {
      state.SkipWithError("a right key was refused");
      break;
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

// Well formed and of nobody: an attacker's guess.
void check_unknown_key(benchmark::State& state) {
  const Keys& keys = *shared_keys;
  const Keys others(64);
  std::size_t next = 0;
  for (auto _ : state) {
    const std::string& key = others.presented[next++ % others.presented.size()];
    if (keys.authenticator.authenticate(key, kNowMs)) {
      state.SkipWithError("a wrong key was accepted");
      break;
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

void check_typing_error(benchmark::State& state) {
  const Keys& keys = *shared_keys;
  std::string key = keys.presented.front();
  key.back() = key.back() == '0' ? '1' : '0';
  for (auto _ : state) {
    benchmark::DoNotOptimize(keys.authenticator.authenticate(key, kNowMs));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

#define BOTH(function)                                                                            \
  BENCHMARK_CAPTURE(function, aes_256_gcm, AeadAlgorithm::aes_256_gcm)->Arg(kSmall)->Arg(kLarge); \
  BENCHMARK_CAPTURE(function, sm4_gcm, AeadAlgorithm::sm4_gcm)->Arg(kSmall)->Arg(kLarge)

BOTH(seal_kept_key);
BOTH(open_kept_key);
BOTH(seal_new_key);
BOTH(seal_field);
BOTH(open_field);
BENCHMARK_CAPTURE(blind_index, hmac_sha256, AeadAlgorithm::aes_256_gcm);
BENCHMARK_CAPTURE(blind_index, hmac_sm3, AeadAlgorithm::sm4_gcm);
BENCHMARK_CAPTURE(roll, aes_256_gcm, AeadAlgorithm::aes_256_gcm)
    ->Arg(100)
    ->Arg(10'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(check_key)->Setup(make_keys)->Arg(1)->Arg(1'000'000);
BENCHMARK(check_key)->Setup(make_keys)->Arg(1'000'000)->Threads(2)->UseRealTime();
BENCHMARK(check_unknown_key)->Setup(make_keys)->Arg(1'000'000);
BENCHMARK(check_typing_error)->Setup(make_keys)->Arg(1'000'000);

}  // namespace
}  // namespace deepmoat

BENCHMARK_MAIN();
