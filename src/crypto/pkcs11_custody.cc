// Root keys in a token. Thread-safe by one mutex: a token takes one call after the other anyway.
#include "crypto/pkcs11_custody.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hex.h"
#include "base/random.h"
#include "crypto/aead.h"
#include "crypto/digest.h"
#include "crypto/generation_name.h"

namespace deepmoat::crypto {

namespace {

constexpr std::string_view kSigningLabel = "deepmoat signing 1";
constexpr std::string_view kPepperLabel = "deepmoat pepper 1";
constexpr std::string_view kFingerprintLabel = "deepmoat audit fingerprint 1";
constexpr std::string_view kIdLabel = "deepmoat root id 1";
constexpr std::string_view kCanaryLabel = "deepmoat canary 1";
constexpr std::size_t kIdBytes = 16;

std::unexpected<Error> wrong_answer(std::string_view what) {
  return fail(Code::corrupt,
              fmt::format("PKCS#11: the token gives another answer than at the start ({}); it is "
                          "not trusted any more",
                          what));
}

}  // namespace

Pkcs11Custody::Pkcs11Custody(Pkcs11Options options, Secret pin)
    : options_(std::move(options)), pin_(std::move(pin)) {}

Result<std::unique_ptr<Pkcs11Custody>> Pkcs11Custody::open(Pkcs11Options options, Secret pin,
                                                           bool first_start) {
  std::unique_ptr<Pkcs11Custody> custody(new Pkcs11Custody(std::move(options), std::move(pin)));
  const std::lock_guard lock(custody->mutex_);
  CHECK_OK(custody->connect(first_start));
  TRY(custody->canary_, custody->mac(kCanaryLabel));
  TRY(const Secret id, custody->mac(kIdLabel));
  custody->root_id_ = to_hex(id.reveal().substr(0, kIdBytes));
  custody->facts_.id = custody->root_id_;
  return custody;
}

// From nothing: module, token, login, root key. The old module must have been ended before.
Result<> Pkcs11Custody::connect(bool first_start) {
  token_.reset();
  keys_.clear();
  if (pin_refused_) {
    return fail(Code::unavailable,
                "PKCS#11: the token refused the PIN, which is not tried again before a restart");
  }
  auto opened = Pkcs11Token::open(options_, pin_);
  if (!opened) {
    pin_refused_ = opened.error().code == Code::unauthenticated;
    return std::unexpected(opened.error());
  }
  std::unique_ptr<Pkcs11Token> token = *std::move(opened);
  const std::string label = options_.key_label + "-root";
  auto root = token->find_key(label);
  if (!root && root.error().code == Code::not_found) {
    if (!first_start) {
      return fail(Code::not_found,
                  fmt::format("PKCS#11: the token \"{}\" has no key \"{}\", on which every key of "
                              "this data folder rests; connect the right token, or restore its "
                              "backup",
                              options_.token_label, label));
    }
    root = token->make_hmac_key(label);
  }
  TRY(root_, std::move(root));
  TRY(const bool never_left, token->never_left(root_));
  const std::lock_guard lock(facts_mutex_);
  facts_.kind = "pkcs11";
  facts_.place = token->description();
  facts_.keys_can_leave = !never_left;
  facts_.protection = never_left ? "made in the token, sensitive, never extractable"
                                 : "the token does not promise that the root key never left it";
  token_ = std::move(token);
  return {};
}

Result<> Pkcs11Custody::need_token() const {
  return token_ ? Result<>() : fail(Code::unavailable, "PKCS#11: the token is lost");
}

Result<Secret> Pkcs11Custody::mac(std::string_view label) {
  CHECK_OK(need_token());
  return token_->hmac_sha256(root_, label);
}

Result<RootSecrets> Pkcs11Custody::root_secrets() {
  const std::lock_guard lock(mutex_);
  RootSecrets secrets;
  TRY(secrets.signing, mac(kSigningLabel));
  TRY(secrets.pepper, mac(kPepperLabel));
  TRY(secrets.audit_fingerprint, mac(kFingerprintLabel));
  secrets.id = root_id_;
  return secrets;
}

std::string Pkcs11Custody::label_of(std::uint64_t generation) const {
  return fmt::format("{}-kek-{}", options_.key_label, generation);
}

Result<Pkcs11Custody::Handle> Pkcs11Custody::key_of(std::uint64_t generation) {
  CHECK_OK(need_token());
  if (const auto known = keys_.find(generation); known != keys_.end()) {
    return known->second;
  }
  TRY(const Handle key, token_->find_key(label_of(generation)));
  keys_[generation] = key;
  return key;
}

Result<> Pkcs11Custody::generate(std::uint64_t generation) {
  const std::lock_guard lock(mutex_);
  const auto known = key_of(generation);
  if (known || known.error().code != Code::not_found) {
    return known ? fail(Code::already_exists,
                        "PKCS#11: the token has the key \"" + label_of(generation) + "\" already")
                 : std::unexpected(known.error());
  }
  TRY(keys_[generation], token_->make_aes_key(label_of(generation)));
  return {};
}

Result<std::vector<std::uint64_t>> Pkcs11Custody::list_generations() {
  CHECK_OK(need_token());
  const std::string start = options_.key_label + "-kek-";
  TRY(const std::vector<std::string> labels, token_->labels(start));
  std::vector<std::uint64_t> found;
  for (const std::string& label : labels) {
    if (const auto generation = generation_of(label, start, "")) {
      found.push_back(*generation);
    }
  }
  std::ranges::sort(found);
  return found;
}

Result<std::vector<std::uint64_t>> Pkcs11Custody::generations() {
  const std::lock_guard lock(mutex_);
  return list_generations();
}

Result<> Pkcs11Custody::destroy(std::uint64_t generation) {
  const std::lock_guard lock(mutex_);
  const auto key = key_of(generation);
  if (!key) {
    return key.error().code == Code::not_found ? Result<>() : std::unexpected(key.error());
  }
  keys_.erase(generation);
  return token_->destroy_key(*key);
}

Result<std::string> Pkcs11Custody::wrap_with(Handle key, const Secret& plain,
                                             std::string_view associated) {
  TRY(const std::string nonce, random_bytes(kAeadNonceBytes));
  TRY(const std::string sealed, token_->encrypt_gcm(key, nonce, plain.reveal(), associated));
  return nonce + sealed;
}

Result<std::string> Pkcs11Custody::wrap(std::uint64_t generation, const Secret& plain,
                                        std::string_view associated) {
  const std::lock_guard lock(mutex_);
  TRY(const Handle key, key_of(generation));
  return wrap_with(key, plain, associated);
}

Result<Secret> Pkcs11Custody::unwrap(std::uint64_t generation, std::string_view wrapped,
                                     std::string_view associated) {
  const std::lock_guard lock(mutex_);
  TRY(const Handle key, key_of(generation));
  if (wrapped.size() < kAeadNonceBytes + kAeadTagBytes) {
    return fail(Code::corrupt, "PKCS#11: the wrapped bytes are cut short");
  }
  return token_->decrypt_gcm(key, wrapped.substr(0, kAeadNonceBytes),
                             wrapped.substr(kAeadNonceBytes), associated);
}

// The HMAC has a known answer. What the newest key-encryption key wraps, it must open again.
Result<> Pkcs11Custody::check() {
  const std::lock_guard lock(mutex_);
  TRY(const Secret answer, mac(kCanaryLabel));
  if (!equal_constant_time(answer.reveal(), canary_.reveal())) {
    return wrong_answer("HMAC");
  }
  TRY(const std::vector<std::uint64_t> found, list_generations());
  if (found.empty()) {
    return {};
  }
  TRY(const Handle key, key_of(found.back()));
  TRY(const std::string wrapped, wrap_with(key, canary_, kCanaryLabel));
  const auto opened =
      token_->decrypt_gcm(key, std::string_view(wrapped).substr(0, kAeadNonceBytes),
                          std::string_view(wrapped).substr(kAeadNonceBytes), kCanaryLabel);
  if (!opened && opened.error().code != Code::corrupt) {
    return std::unexpected(opened.error());
  }
  if (!opened || !equal_constant_time(opened->reveal(), canary_.reveal())) {
    return wrong_answer("AES-GCM");
  }
  return {};
}

Result<> Pkcs11Custody::recover() {
  {
    const std::lock_guard lock(mutex_);
    CHECK_OK(connect(false));
  }
  return check();
}

CustodyFacts Pkcs11Custody::describe() {
  const std::lock_guard lock(facts_mutex_);
  return facts_;
}

Result<> Pkcs11Custody::keep_note(const std::string& name, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  CHECK_OK(need_token());
  return token_->write_data(options_.key_label + '-' + name, bytes);
}

Result<std::optional<std::string>> Pkcs11Custody::read_note(const std::string& name) {
  const std::lock_guard lock(mutex_);
  CHECK_OK(need_token());
  return token_->read_data(options_.key_label + '-' + name);
}

}  // namespace deepmoat::crypto
