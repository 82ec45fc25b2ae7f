// One-time passwords of six digits: HOTP (RFC 4226) and, over 30-second steps of the clock, TOTP
// (RFC 6238), with HMAC over SHA-1, SHA-256 or SM3. The SM3 kind is RFC 6238 with another hash, as
// GM/T 0021 is built on SM3; a hardware token of GM/T 0021 hashes and truncates otherwise and is
// not served. Pure: who accepts a code keeps the counter, and refuses it a second time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

enum class OtpAlgorithm : std::uint8_t { totp_sha1, totp_sha256, totp_sm3 };

inline constexpr std::array kOtpAlgorithms{OtpAlgorithm::totp_sha1, OtpAlgorithm::totp_sha256,
                                           OtpAlgorithm::totp_sm3};
inline constexpr std::size_t kOtpDigits = 6;
inline constexpr std::int64_t kOtpStepMs = 30'000;

[[nodiscard]] std::string_view algorithm_name(OtpAlgorithm algorithm);  // "totp-sha1", ...
// Code::invalid_argument with the accepted names.
[[nodiscard]] Result<OtpAlgorithm> parse_otp_algorithm(std::string_view name);

// Random, as long as the hash (RFC 4226, section 4, R6). Code::unavailable without entropy.
[[nodiscard]] Result<Secret> make_otp_secret(OtpAlgorithm algorithm);

// Exactly six ASCII digits: no space, no sign, no digit of another script. A laxer reading lets
// one code be used twice under two spellings (OpenBao's CVE-2025-6014).
[[nodiscard]] bool is_one_time_password(std::string_view text);

// The step of the clock that `now_ms` lies in.
[[nodiscard]] std::uint64_t otp_counter(UnixMillis now_ms);

// The code of one counter. `digits`: 6, or 8 for the RFCs' vectors.
[[nodiscard]] Result<Secret> one_time_password(OtpAlgorithm algorithm, const Secret& secret,
                                               std::uint64_t counter,
                                               std::size_t digits = kOtpDigits);

// The counter whose code this is, of now and one step to either side; the highest when several
// fit; none when none does. Always computes all three and compares in constant time.
// Code::invalid_argument for what is not six digits, before anything is computed.
[[nodiscard]] Result<std::optional<std::uint64_t>> match_one_time_password(OtpAlgorithm algorithm,
                                                                           const Secret& secret,
                                                                           std::string_view code,
                                                                           UnixMillis now_ms);

// RFC 4648 base32 without padding: how authenticator programs take a secret.
[[nodiscard]] Secret base32(std::string_view bytes);

// otpauth://totp/ISSUER:ACCOUNT?secret=..., which authenticator programs read from a QR code.
[[nodiscard]] Secret otpauth_uri(OtpAlgorithm algorithm, const Secret& secret,
                                 std::string_view issuer, std::string_view account);

}  // namespace deepmoat::crypto
