// links: deepmoat_identity deepmoat_crypto deepmoat_store deepmoat_base
// Any bytes as a one-time password, a recovery code or an account's name: nothing crashes, a
// password has one spelling only, and a URI keeps to its alphabet.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "crypto/one_time_password.h"
#include "identity/second_factor.h"

namespace {

using deepmoat::Secret;
using deepmoat::crypto::base32;
using deepmoat::crypto::is_one_time_password;
using deepmoat::crypto::kOtpAlgorithms;
using deepmoat::crypto::match_one_time_password;
using deepmoat::crypto::OtpAlgorithm;
using deepmoat::crypto::otpauth_uri;
using deepmoat::crypto::parse_otp_algorithm;
using deepmoat::identity::is_recovery_code;

constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Secret secret = Secret::copy_of("12345678901234567890");

  const bool six_digits =
      size == 6 && text.find_first_not_of("0123456789") == std::string_view::npos;
  must(is_one_time_password(text) == six_digits);
  must(!(six_digits && is_recovery_code(text)));
  if (is_recovery_code(text)) {
    must(size == 19 && text[4] == '-' && text[9] == '-' && text[14] == '-');
  }
  for (const OtpAlgorithm algorithm : kOtpAlgorithms) {
    const auto matched = match_one_time_password(algorithm, secret, text, 1'795'000'000'000);
    must(matched.has_value() == six_digits);
  }
  (void)parse_otp_algorithm(text);

  const Secret digits = base32(text);
  must(digits.size() == (size * 8 + 4) / 5);
  must(digits.reveal().find_first_not_of(kBase32) == std::string_view::npos);
  const Secret uri = otpauth_uri(OtpAlgorithm::totp_sha1, secret, "Deepmoat", text);
  must(uri.reveal().find_first_of(" \t\r\n\"<>#") == std::string_view::npos);
  return 0;
}
