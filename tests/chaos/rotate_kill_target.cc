// The program that rotate_kill.py kills. `prepare FOLDER` makes a key and its client's second
// factor and prints both; `rotate FOLDER KEY SECRET` rotates the key and prints the new one; `check
// FOLDER KEY SECRET [NEW]` prints in which of the two states the folder is, and fails in any other.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "audit/log.h"
#include "base/hex.h"
#include "crypto/one_time_password.h"
#include "crypto/scratch_field_cipher.h"
#include "identity/authenticator.h"
#include "identity/key_authority.h"
#include "identity/key_rotation.h"
#include "identity/key_service.h"
#include "identity/second_factor.h"
#include "store/database.h"
#include "verifier/log.h"

namespace {

using namespace std::string_literals;
using deepmoat::fail;
using deepmoat::ManualClock;
using deepmoat::Result;
using deepmoat::Secret;
using deepmoat::UnixMillis;
namespace audit = deepmoat::audit;
namespace crypto = deepmoat::crypto;
namespace identity = deepmoat::identity;
namespace store = deepmoat::store;

constexpr UnixMillis kPreparedMs = 1'795'000'000'000;
constexpr UnixMillis kRotatedMs = kPreparedMs + crypto::kOtpStepMs;
const identity::FactorOwner kOwner{.tenant = "default", .client_id = "app"};

void print_line(const std::string& line) {
  const std::string text = line + "\n";
  if (::write(STDOUT_FILENO, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    ::_exit(70);
  }
}

crypto::RootSecrets root_secrets() {
  return {.signing = Secret(std::string(32, 's')),
          .pepper = Secret(std::string(32, 'p')),
          .audit_fingerprint = Secret(std::string(32, 'f')),
          .id = std::string(32, 'a')};
}

// All that a rotation needs, opened as a server opens it.
struct Opened {
  explicit Opened(UnixMillis now_ms)
      : clock(now_ms), authority(secrets), authenticator(authority), cipher(secrets.signing) {}

  static Result<std::unique_ptr<Opened>> open(const std::filesystem::path& folder,
                                              UnixMillis now_ms) {
    auto made = std::make_unique<Opened>(now_ms);
    TRY(made->log,
        audit::Log::open({.directory = folder / "audit", .segment_bytes = 64 * 1024}, made->clock));
    TRY(made->database, store::Database::open(folder / "deepmoat.db"));
    const identity::AppendAudit append = [log = made->log.get()](audit::Record record) {
      return log->append_and_wait(std::move(record));
    };
    TRY(made->keys, identity::KeyService::open(*made->database, append, made->authenticator,
                                               made->authority, made->clock, made->secrets.id));
    made->factors = std::make_unique<identity::SecondFactors>(
        *made->database, append, made->authenticator, made->cipher, made->secrets, made->clock);
    made->rotation = std::make_unique<identity::KeyRotation>(*made->database, append, *made->keys,
                                                             made->authenticator, made->authority,
                                                             *made->factors, made->clock);
    return made;
  }

  ManualClock clock;
  crypto::RootSecrets secrets = root_secrets();
  identity::KeyAuthority authority;
  identity::Authenticator authenticator;
  crypto::ScratchFieldCipher cipher;
  std::unique_ptr<audit::Log> log;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<identity::KeyService> keys;
  std::unique_ptr<identity::SecondFactors> factors;
  std::unique_ptr<identity::KeyRotation> rotation;
};

identity::Actor boss() {
  return {.operator_id = "boss", .role = "admin", .authentication = "command_line"};
}

// `secret` in hex; the secret of a factor that enrol() shows is base32, so it is read back sealed.
Result<std::string> secret_in_hex(Opened& opened) {
  TRY(const auto row, opened.database->find_second_factor(kOwner.tenant, kOwner.client_id));
  TRY(const std::string sealed, deepmoat::from_hex(row->secret));
  TRY(const Secret plain,
      opened.cipher.open({.tenant = row->tenant,
                          .table = "second_factors",
                          .column = "secret",
                          .row = row->client_id,
                          .version = static_cast<std::uint64_t>(row->enrolled_ms)},
                         sealed));
  return deepmoat::to_hex(plain.reveal());
}

Result<std::string> code_at(std::string_view secret_hex, UnixMillis now_ms) {
  TRY(std::string bytes, deepmoat::from_hex(secret_hex));
  TRY(const Secret code,
      crypto::one_time_password(crypto::OtpAlgorithm::totp_sha1, Secret(std::move(bytes)),
                                crypto::otp_counter(now_ms)));
  return std::string(code.reveal());
}

Result<> prepare_folder(const std::filesystem::path& folder) {
  TRY(const auto opened, Opened::open(folder, kPreparedMs));
  TRY(const auto enrolment,
      opened->factors->enrol(boss(), kOwner, crypto::OtpAlgorithm::totp_sha1));
  TRY(const std::string secret, secret_in_hex(*opened));
  TRY(const std::string code, code_at(secret, kPreparedMs));
  TRY(const auto confirmed, opened->factors->confirm(boss(), kOwner, code));
  TRY(const auto key, opened->keys->create(boss(), {.client_id = "app", .label = ""}));
  print_line(std::string(key.shown.reveal()) + " " + secret);
  return {};
}

Result<std::string> rotate_at(Opened& opened, std::string_view key, std::string_view secret) {
  const UnixMillis now_ms = opened.clock.unix_ms();
  const auto principal = opened.authenticator.authenticate_for_rotation(key, now_ms);
  if (!principal) {
    return fail(deepmoat::Code::unauthenticated, "the old key does not work");
  }
  TRY(const std::string code, code_at(secret, now_ms));
  TRY(const auto rotated,
      opened.rotation->rotate(boss(), principal->key_id, code, identity::kKeyLifetimeMaxS));
  return std::string(rotated.successor.shown.reveal());
}

Result<> rotate_key(const std::filesystem::path& folder, std::string_view key,
                    std::string_view secret) {
  TRY(const auto opened, Opened::open(folder, kRotatedMs));
  TRY(const std::string shown, rotate_at(*opened, key, secret));
  print_line(shown);
  return {};
}

// "before" or "after"; any mixture of the two is an error.
Result<std::string> state_of(Opened& opened) {
  TRY(const std::vector<store::KeyRow> rows, opened.database->list_keys());
  TRY(const auto factor, opened.database->find_second_factor(kOwner.tenant, kOwner.client_id));
  const bool code_used =
      factor->last_counter == static_cast<std::int64_t>(crypto::otp_counter(kRotatedMs));
  std::size_t old_ends = 0;
  std::size_t successors = 0;
  for (const store::KeyRow& row : rows) {
    old_ends += row.overlap_until_ms != 0 ? 1 : 0;
    successors += row.predecessor.empty() ? 0 : 1;
  }
  if (opened.keys->corrupt_rows() == 0 && !code_used && old_ends == 0 && successors == 0) {
    return "before"s;
  }
  if (opened.keys->corrupt_rows() == 0 && code_used && old_ends == 1 && successors == 1) {
    return "after"s;
  }
  return fail(deepmoat::Code::corrupt,
              fmt::format("half a rotation: code used {}, old keys that end {}, successors {}, "
                          "corrupt rows {}",
                          code_used, old_ends, successors, opened.keys->corrupt_rows()));
}

Result<> check_folder(const std::filesystem::path& folder, std::string_view key,
                      std::string_view secret, std::string_view acknowledged) {
  TRY(const auto opened, Opened::open(folder, kRotatedMs));
  TRY(const std::string state, state_of(*opened));
  const UnixMillis now_ms = kRotatedMs + crypto::kOtpStepMs;
  if (!acknowledged.empty() && state != "after") {
    return fail(deepmoat::Code::corrupt, "a key that was shown is not there");
  }
  if (!opened->authenticator.authenticate(key, now_ms)) {
    return fail(deepmoat::Code::corrupt, "the old key has ended before its successor was used");
  }
  // The holder, who may have seen no answer, rotates again: it works, and one successor lives.
  opened->clock.advance_ms(crypto::kOtpStepMs);
  TRY(const std::string again, rotate_at(*opened, key, secret));
  if (!acknowledged.empty() && opened->authenticator.authenticate(acknowledged, now_ms)) {
    return fail(deepmoat::Code::corrupt, "two successors live");
  }
  if (!opened->authenticator.authenticate(again, now_ms) ||
      opened->authenticator.authenticate(key, now_ms)) {
    return fail(deepmoat::Code::corrupt, "the successor's first use did not end the old key");
  }
  opened->log.reset();
  const auto report = deepmoat::verifier::verify_log(folder / "audit");
  if (!report || !report->intact()) {
    return fail(deepmoat::Code::corrupt, "the audit log is broken");
  }
  print_line(state);
  return {};
}

int report(const Result<>& done) {
  if (!done) {
    print_line("error: " + done.error().message);
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 2 && words[0] == "prepare") {
    return report(prepare_folder(words[1]));
  }
  if (words.size() == 4 && words[0] == "rotate") {
    return report(rotate_key(words[1], words[2], words[3]));
  }
  if ((words.size() == 4 || words.size() == 5) && words[0] == "check") {
    return report(check_folder(words[1], words[2], words[3], words.size() == 5 ? words[4] : ""));
  }
  print_line("use: rotate_kill_target prepare|rotate|check FOLDER [KEY SECRET [NEW]]");
  return 64;
}
