// links: deepmoat_identity deepmoat_crypto deepmoat_store deepmoat_base
// Any bytes as a presented key: nothing crashes, nothing gets in, and whatever parses has exactly
// one spelling.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "crypto/key_file.h"
#include "identity/api_key.h"
#include "identity/authenticator.h"
#include "identity/key_authority.h"

namespace {

using deepmoat::Secret;
using deepmoat::crypto::RootSecrets;
using deepmoat::identity::Authenticator;
using deepmoat::identity::check_name;
using deepmoat::identity::compose_key;
using deepmoat::identity::KeyAuthority;
using deepmoat::identity::kKeyBodyDigits;
using deepmoat::identity::parse_key;
using deepmoat::identity::parse_role;

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

RootSecrets secrets() {
  return {.signing = Secret(std::string(32, 's')),
          .pepper = Secret(std::string(32, 'p')),
          .audit_fingerprint = Secret(std::string(32, 'f')),
          .id = std::string(32, 'a')};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const KeyAuthority authority(secrets());
  static const Authenticator strict(authority);
  static const Authenticator lenient(authority, {.accept_bare_keys = true});
  constexpr std::int64_t kNowMs = 1'795'000'000'000;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  must(!strict.authenticate(text, kNowMs).has_value());
  must(!lenient.authenticate(text, kNowMs).has_value());
  if (const auto key = parse_key(text)) {
    must(key->kind.has_value());
    const std::string body = std::string(key->mac) + std::string(key->salt);
    must(compose_key(*key->kind, body).reveal() == text);
  }
  if (const auto bare = parse_key(text, true); bare && !bare->kind) {
    must(text.size() == kKeyBodyDigits && !parse_key(text));
  }
  (void)check_name("client_id", text);
  (void)parse_role(text);
  return 0;
}
