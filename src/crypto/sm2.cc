#include "crypto/sm2.h"

#include <botan/auto_rng.h>
#include <botan/bigint.h>
#include <botan/ec_group.h>
#include <botan/pubkey.h>
#include <botan/sm2.h>

#include <exception>

namespace deepmoat::crypto {

namespace {

constexpr const char* kGroup = "sm2p256v1";
constexpr const char* kIdentityAndHash = "1234567812345678,SM3";
constexpr std::size_t kSeedBytes = 32;
constexpr std::size_t kCoordinateBytes = 32;

const std::uint8_t* in(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

std::string encode_point(const Botan::PointGFp& point) {
  const std::vector<std::uint8_t> bytes = point.encode(Botan::PointGFp::UNCOMPRESSED);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

struct Sm2Key::Key {
  Botan::SM2_PrivateKey key;
};

Sm2Key::Sm2Key(std::unique_ptr<Key> key) : key_(std::move(key)) {
  public_key_ = encode_point(key_->key.public_point());
}
Sm2Key::Sm2Key(Sm2Key&&) noexcept = default;
Sm2Key& Sm2Key::operator=(Sm2Key&&) noexcept = default;
Sm2Key::~Sm2Key() = default;

Result<Sm2Key> Sm2Key::from_seed(const Secret& seed) {
  if (seed.size() != kSeedBytes) {
    return fail(Code::invalid_argument, "SM2: the seed must have 32 bytes");
  }
  try {
    const Botan::EC_Group group(kGroup);
    // 1 to order - 2, as the standard wants; the bias of the remainder is 2^-32, for a seed that is
    // used once.
    const Botan::BigInt scalar =
        Botan::BigInt(in(seed.reveal()), seed.size()) % (group.get_order() - 2) + 1;
    Botan::AutoSeeded_RNG random;
    return Sm2Key(std::make_unique<Key>(Key{Botan::SM2_PrivateKey(random, group, scalar)}));
  } catch (const std::exception& error) {
    return fail(Code::internal, std::string("SM2: ") + error.what());
  }
}

Result<std::string> Sm2Key::sign(std::string_view message) const {
  try {
    Botan::AutoSeeded_RNG random;
    Botan::PK_Signer signer(key_->key, random, kIdentityAndHash);
    const std::vector<std::uint8_t> signature =
        signer.sign_message(in(message), message.size(), random);
    return std::string(signature.begin(), signature.end());
  } catch (const std::exception& error) {
    return fail(Code::internal, std::string("SM2: ") + error.what());
  }
}

bool verify_sm2(std::string_view public_key, std::string_view message, std::string_view signature) {
  if (public_key.size() != kSm2PublicKeyBytes || public_key.front() != '\x04' ||
      signature.size() != kSm2SignatureBytes) {
    return false;
  }
  try {
    const Botan::EC_Group group(kGroup);
    const Botan::BigInt x(in(public_key) + 1, kCoordinateBytes);
    const Botan::BigInt y(in(public_key) + 1 + kCoordinateBytes, kCoordinateBytes);
    const Botan::PointGFp point = group.point(x, y);
    if (!point.on_the_curve() || point.is_zero()) {
      return false;
    }
    const Botan::SM2_PublicKey key(group, point);
    Botan::PK_Verifier verifier(key, kIdentityAndHash);
    return verifier.verify_message(in(message), message.size(), in(signature), signature.size());
  } catch (const std::exception&) {
    return false;  // not a point, not a signature
  }
}

}  // namespace deepmoat::crypto
