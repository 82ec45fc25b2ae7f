// HOTP and TOTP over OpenSSL's HMAC. Pure; thread-safe.
#include "crypto/one_time_password.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <span>

#include "base/random.h"
#include "crypto/digest.h"

namespace deepmoat::crypto {

namespace {

constexpr std::uint64_t kWindowSteps = 1;  // a clock may be off by one step; RFC 6238, section 5.2

struct Hash {
  const EVP_MD* digest;
  std::string_view name;      // of ours
  std::string_view uri_name;  // in otpauth://
};

Hash hash_of(OtpAlgorithm algorithm) {
  switch (algorithm) {
    case OtpAlgorithm::totp_sha1:
      return {EVP_sha1(), "totp-sha1", "SHA1"};
    case OtpAlgorithm::totp_sha256:
      return {EVP_sha256(), "totp-sha256", "SHA256"};
    case OtpAlgorithm::totp_sm3:
      return {EVP_sm3(), "totp-sm3", "SM3"};
  }
  return {EVP_sha1(), "totp-sha1", "SHA1"};
}

// RFC 4226, section 5.3: four bytes at the place that the last byte names, without the sign bit.
std::uint32_t truncated(std::span<const unsigned char> mac) {
  const std::size_t at = mac.back() & 0x0fU;
  const std::uint32_t bytes = (std::uint32_t{mac[at]} << 24U) |
                              (std::uint32_t{mac[at + 1]} << 16U) |
                              (std::uint32_t{mac[at + 2]} << 8U) | std::uint32_t{mac[at + 3]};
  return bytes & 0x7fffffffU;
}

std::string percent_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    encoded += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

}  // namespace

std::string_view algorithm_name(OtpAlgorithm algorithm) {
  return hash_of(algorithm).name;
}

Result<OtpAlgorithm> parse_otp_algorithm(std::string_view name) {
  for (const OtpAlgorithm algorithm : kOtpAlgorithms) {
    if (name == algorithm_name(algorithm)) {
      return algorithm;
    }
  }
  return fail(Code::invalid_argument, "algorithm: must be one of totp-sha1, totp-sha256, totp-sm3");
}

Result<Secret> make_otp_secret(OtpAlgorithm algorithm) {
  const int bytes = EVP_MD_get_size(hash_of(algorithm).digest);
  TRY(std::string secret, random_bytes(static_cast<std::size_t>(bytes)));
  return Secret(std::move(secret));
}

bool is_one_time_password(std::string_view text) {
  return text.size() == kOtpDigits &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::uint64_t otp_counter(UnixMillis now_ms) {
  return static_cast<std::uint64_t>(std::max<UnixMillis>(0, now_ms) / kOtpStepMs);
}

Result<Secret> one_time_password(OtpAlgorithm algorithm, const Secret& secret,
                                 std::uint64_t counter, std::size_t digits) {
  std::array<unsigned char, 8> message{};
  for (std::size_t i = message.size(); i-- > 0; counter >>= 8U) {
    message[i] = static_cast<unsigned char>(counter & 0xffU);
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned int length = 0;
  if (HMAC(hash_of(algorithm).digest, secret.reveal().data(), static_cast<int>(secret.size()),
           message.data(), message.size(), mac.data(), &length) == nullptr) {
    return fail(Code::unavailable, "one-time password: OpenSSL computes no HMAC for " +
                                       std::string(algorithm_name(algorithm)));
  }
  std::uint32_t value = truncated({mac.data(), length});
  wipe(std::as_writable_bytes(std::span(mac)));
  std::string code(digits, '0');
  for (std::size_t i = digits; i-- > 0; value /= 10) {
    code[i] = static_cast<char>('0' + value % 10);
  }
  return Secret(std::move(code));
}

Result<std::optional<std::uint64_t>> match_one_time_password(OtpAlgorithm algorithm,
                                                             const Secret& secret,
                                                             std::string_view code,
                                                             UnixMillis now_ms) {
  if (!is_one_time_password(code)) {
    return fail(Code::invalid_argument, "one_time_password: must be exactly six digits 0-9");
  }
  const std::uint64_t now = otp_counter(now_ms);
  std::optional<std::uint64_t> matched;
  for (std::uint64_t counter = now - std::min(now, kWindowSteps); counter <= now + kWindowSteps;
       ++counter) {
    TRY(const Secret right, one_time_password(algorithm, secret, counter));
    if (equal_constant_time(right.reveal(), code)) {
      matched = counter;
    }
  }
  return matched;
}

Secret base32(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  constexpr unsigned kBitsPerDigit = 5;
  std::string text;
  text.reserve((bytes.size() * 8 + kBitsPerDigit - 1) / kBitsPerDigit);
  std::uint32_t pending = 0;
  unsigned bits = 0;
  for (const char c : bytes) {
    pending = (pending << 8U) | static_cast<unsigned char>(c);
    for (bits += 8; bits >= kBitsPerDigit; bits -= kBitsPerDigit) {
      text += kDigits[(pending >> (bits - kBitsPerDigit)) & 31U];
    }
  }
  if (bits > 0) {
    text += kDigits[(pending << (kBitsPerDigit - bits)) & 31U];
  }
  return Secret(std::move(text));
}

Secret otpauth_uri(OtpAlgorithm algorithm, const Secret& secret, std::string_view issuer,
                   std::string_view account) {
  const Secret shown = base32(secret.reveal());
  const std::string name = percent_encoded(issuer);
  return Secret(
      fmt::format("otpauth://totp/{}:{}?secret={}&issuer={}&algorithm={}&digits={}"
                  "&period={}",
                  name, percent_encoded(account), shown.reveal(), name, hash_of(algorithm).uri_name,
                  kOtpDigits, kOtpStepMs / 1000));
}

}  // namespace deepmoat::crypto
