// Known-answer tests before serving. One thread.
#include "crypto/self_test.h"

#include <fmt/format.h>

#include "base/hex.h"
#include "crypto/aead.h"
#include "crypto/crc32.h"
#include "crypto/digest.h"
#include "crypto/hmac.h"
#include "crypto/one_time_password.h"
#include "crypto/signature.h"
#include "crypto/sm3.h"

namespace deepmoat::crypto {

namespace {

struct GcmVector {
  AeadAlgorithm algorithm;
  std::string_view key;
  std::string_view nonce;
  std::string_view plain;
  std::string_view associated;
  std::string_view sealed;  // ciphertext and tag
};

// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16.
constexpr GcmVector kAes = {AeadAlgorithm::aes_256_gcm,
                            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
                            "cafebabefacedbaddecaf888",
                            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
                            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
                            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                            "76fc6ece0f4e1768cddf8853bb2d551b"};

// RFC 8998, A.1.
constexpr GcmVector kSm4 = {AeadAlgorithm::sm4_gcm,
                            "0123456789abcdeffedcba9876543210",
                            "00001234567800000000abcd",
                            "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
                            "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
                            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
                            "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
                            "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
                            "83de3541e4c2b58177e065a9bf7b62ec"};

constexpr std::string_view kRefused = "refused";

// What came out of a primitive that cannot fail, as bytes.
std::string bytes(const Digest& digest) {
  return std::string(view(digest));
}

Result<std::string> bytes(const Result<Digest>& digest) {
  return digest ? Result<std::string>(bytes(*digest)) : std::unexpected(digest.error());
}

Result<std::unique_ptr<Aead>> keyed(const GcmVector& vector) {
  TRY(std::string key, from_hex(vector.key));
  return Aead::make(vector.algorithm, Secret(std::move(key)));
}

// Twice with one object: a key that is kept must give what a new one gives.
template <const GcmVector& vector>
Result<std::string> seal() {
  TRY(const auto aead, keyed(vector));
  TRY(const std::string nonce, from_hex(vector.nonce));
  TRY(const std::string plain, from_hex(vector.plain));
  TRY(const std::string associated, from_hex(vector.associated));
  TRY(const std::string first, aead->seal(nonce, plain, associated));
  TRY(std::string second, aead->seal(nonce, plain, associated));
  return first == second ? second : "not the same twice";
}

template <const GcmVector& vector>
Result<std::string> open() {
  TRY(const auto aead, keyed(vector));
  TRY(const std::string nonce, from_hex(vector.nonce));
  TRY(const std::string sealed, from_hex(vector.sealed));
  TRY(const std::string associated, from_hex(vector.associated));
  TRY(const Secret plain, aead->open(nonce, sealed, associated));
  return std::string(plain.reveal());
}

template <const GcmVector& vector>
Result<std::string> open_altered() {
  TRY(const auto aead, keyed(vector));
  TRY(const std::string nonce, from_hex(vector.nonce));
  TRY(std::string sealed, from_hex(vector.sealed));
  TRY(const std::string associated, from_hex(vector.associated));
  sealed.back() = static_cast<char>(sealed.back() ^ 1);
  return std::string(aead->open(nonce, sealed, associated) ? "opened" : kRefused);
}

Result<std::string> long_key_hmac() {
  const Secret key(std::string(131, '\xaa'));
  return bytes(HmacSha256(key)({"Test Using Larger Than Block-Size Key - Hash Key First"}));
}

Result<std::string> sm3_hmac() {
  TRY(std::string key,
      from_hex("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"));
  return bytes(hmac_sm3(Secret(std::move(key)),
                        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
                        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"));
}

Result<std::string> compare() {
  const bool right = equal_constant_time("same", "same") && !equal_constant_time("same", "sane");
  return std::string(right ? "right" : "wrong");
}

// FIPS 180-4 "abc"; RFC 4231 cases 2 and 6; GB/T 32905 A.1; GM/T 0042 D.3.
std::vector<KnownAnswer> digest_answers() {
  return {
      {"SHA-256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
       [] { return Result<std::string>(bytes(sha256("abc"))); }},
      {"HMAC-SHA-256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
       [] {
         return Result<std::string>(
             bytes(hmac_sha256(Secret::copy_of("Jefe"), "what do ya want for nothing?")));
       }},
      {"HMAC-SHA-256 with a kept key",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
       [] {
         return Result<std::string>(
             bytes(HmacSha256(Secret::copy_of("Jefe"))({"what do ya want ", "for nothing?"})));
       }},
      {"HMAC-SHA-256 with a long key",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", long_key_hmac},
      {"SM3", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
       [] { return bytes(sm3("abc")); }},
      {"HMAC-SM3", "ca05e144ed05d1857840d1f318a4a8669e559fc8391f414485bfdf7bb408963a", sm3_hmac},
      {"CRC-32", "cbf43926",
       [] {
         const std::string digits = fmt::format("{:08x}", crc32("123456789"));
         return from_hex(digits);
       }},
      {"constant-time comparison", to_hex("right"), compare}};
}

// RFC 6238, appendix B, at 59 seconds; SM3's as in one_time_password_test.cc.
template <OtpAlgorithm algorithm>
Result<std::string> first_password() {
  const std::string_view secret = "12345678901234567890123456789012";
  TRY(const Secret password,
      one_time_password(algorithm,
                        Secret::copy_of(secret.substr(
                            0, algorithm == OtpAlgorithm::totp_sha1 ? 20 : secret.size())),
                        1));
  return std::string(password.reveal());
}

// RFC 8032, section 7.1, test 2.
constexpr std::string_view kEd25519Seed =
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
constexpr std::string_view kEd25519Signature =
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

Result<std::string> sign() {
  TRY(std::string seed, from_hex(kEd25519Seed));
  TRY(const SigningKey key, SigningKey::from_seed(Secret(std::move(seed))));
  return key.sign("\x72");
}

Result<std::string> verify() {
  TRY(std::string seed, from_hex(kEd25519Seed));
  TRY(const std::string signature, from_hex(kEd25519Signature));
  TRY(const SigningKey key, SigningKey::from_seed(Secret(std::move(seed))));
  const bool right = verify_signature(key.public_key(), "\x72", signature) &&
                     !verify_signature(key.public_key(), "\x73", signature);
  return std::string(right ? "right" : "wrong");
}

}  // namespace

std::vector<KnownAnswer> known_answers() {
  std::vector<KnownAnswer> answers = digest_answers();
  answers.push_back({"AES-256-GCM sealing", std::string(kAes.sealed), seal<kAes>});
  answers.push_back({"AES-256-GCM opening", std::string(kAes.plain), open<kAes>});
  answers.push_back({"AES-256-GCM with an altered tag", to_hex(kRefused), open_altered<kAes>});
  answers.push_back({"SM4-GCM sealing", std::string(kSm4.sealed), seal<kSm4>});
  answers.push_back({"SM4-GCM opening", std::string(kSm4.plain), open<kSm4>});
  answers.push_back({"SM4-GCM with an altered tag", to_hex(kRefused), open_altered<kSm4>});
  answers.push_back({"TOTP with SHA-1", to_hex("287082"), first_password<OtpAlgorithm::totp_sha1>});
  answers.push_back(
      {"TOTP with SHA-256", to_hex("119246"), first_password<OtpAlgorithm::totp_sha256>});
  answers.push_back({"TOTP with SM3", to_hex("252643"), first_password<OtpAlgorithm::totp_sm3>});
  answers.push_back({"Ed25519 signing", std::string(kEd25519Signature), sign});
  answers.push_back({"Ed25519 verifying", to_hex("right"), verify});
  return answers;
}

Result<> self_test(const std::vector<KnownAnswer>& answers) {
  for (const KnownAnswer& known : answers) {
    const Result<std::string> computed = known.compute();
    if (!computed || to_hex(*computed) != known.answer) {
      return fail(Code::internal,
                  fmt::format("cryptographic self-test: {} gives a wrong answer{}; do not serve on "
                              "this machine with this library",
                              known.name, computed ? "" : " (" + computed.error().message + ")"));
    }
  }
  return {};
}

}  // namespace deepmoat::crypto
