// Known-answer tests before serving. One thread.
#include "crypto/self_test.h"

#include <string>
#include <string_view>

#include "base/hex.h"
#include "crypto/aead.h"
#include "crypto/crc32.h"
#include "crypto/digest.h"
#include "crypto/hmac.h"
#include "crypto/signature.h"

namespace deepmoat::crypto {

namespace {

Result<> expect(bool right, std::string_view what) {
  if (!right) {
    return fail(Code::internal,
                "cryptographic self-test: " + std::string(what) +
                    " gives a wrong answer; do not serve on this machine with this library");
  }
  return {};
}

// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16 (AES-256).
Result<> test_aes_gcm() {
  TRY(std::string key_bytes,
      from_hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
  TRY(const std::string nonce, from_hex("cafebabefacedbaddecaf888"));
  TRY(const std::string plain,
      from_hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
               "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"));
  TRY(const std::string associated, from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"));
  TRY(const std::string answer,
      from_hex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
               "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
               "76fc6ece0f4e1768cddf8853bb2d551b"));
  const Secret key(std::move(key_bytes));
  TRY(std::string sealed, aead_seal_with_nonce(key, nonce, plain, associated));
  CHECK_OK(expect(sealed == nonce + answer, "AES-256-GCM sealing"));
  TRY(const Secret opened, aead_open(key, sealed, associated));
  CHECK_OK(expect(opened.reveal() == plain, "AES-256-GCM opening"));
  sealed.back() = static_cast<char>(sealed.back() ^ 1);
  return expect(!aead_open(key, sealed, associated), "AES-256-GCM refusing an altered tag");
}

// RFC 8032, section 7.1, test 2.
Result<> test_ed25519() {
  TRY(std::string seed,
      from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
  TRY(const std::string answer,
      from_hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
               "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"));
  TRY(const SigningKey key, SigningKey::from_seed(Secret(std::move(seed))));
  TRY(const std::string signature, key.sign("\x72"));
  CHECK_OK(expect(signature == answer, "Ed25519 signing"));
  CHECK_OK(expect(verify_signature(key.public_key(), "\x72", answer), "Ed25519 verifying"));
  return expect(!verify_signature(key.public_key(), "\x73", answer),
                "Ed25519 refusing another message");
}

}  // namespace

Result<> self_test() {
  // FIPS 180-4, example "abc"; RFC 4231, test cases 2 and 6.
  TRY(const std::string abc,
      from_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  CHECK_OK(expect(view(sha256("abc")) == abc, "SHA-256"));
  TRY(const std::string jefe,
      from_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
  const Secret short_key = Secret::copy_of("Jefe");
  CHECK_OK(
      expect(view(hmac_sha256(short_key, "what do ya want for nothing?")) == jefe, "HMAC-SHA-256"));
  CHECK_OK(expect(view(HmacSha256(short_key)({"what do ya want ", "for nothing?"})) == jefe,
                  "HMAC-SHA-256 with a kept key"));
  TRY(const std::string large,
      from_hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
  const Secret long_key(std::string(131, '\xaa'));
  CHECK_OK(expect(view(HmacSha256(long_key)(
                      {"Test Using Larger Than Block-Size Key - Hash Key First"})) == large,
                  "HMAC-SHA-256 with a long key"));
  CHECK_OK(expect(crc32("123456789") == 0xCBF43926U, "CRC-32"));
  CHECK_OK(expect(equal_constant_time("same", "same") && !equal_constant_time("same", "sane"),
                  "constant-time comparison"));
  CHECK_OK(test_aes_gcm());
  return test_ed25519();
}

}  // namespace deepmoat::crypto
