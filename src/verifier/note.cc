// Signed notes over OpenSSL 3. Any thread.
#include "verifier/note.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "verifier/base64.h"
#include "verifier/bytes.h"

namespace deepmoat::verifier {

namespace {

constexpr std::string_view kSignatureStart = "\xe2\x80\x94 ";  // U+2014 and a space
constexpr std::string_view kSm2Label = "deepmoat-sm2-sm3-v1";
constexpr std::string_view kSm2Identity = "1234567812345678";
constexpr std::size_t kSignaturesMax = 100;
constexpr std::size_t kEd25519KeyBytes = 32;
constexpr std::size_t kSm2KeyBytes = 65;
constexpr std::size_t kSignatureBytes = 64;

template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;

const unsigned char* in(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

std::uint32_t key_id(std::string_view name, std::string_view algorithm_and_key) {
  const Digest hash = sha256(std::string(name).append("\n").append(algorithm_and_key));
  std::uint32_t id = 0;
  for (const char c : std::string_view(hash.data(), 4)) {
    id = (id << 8) | static_cast<unsigned char>(c);
  }
  return id;
}

bool is_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
    return c > 0x20 && c != 0x7f && c != '+';
  });
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text[0]);
    const std::size_t bytes = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || text.size() < bytes) {
      return false;
    }
    for (std::size_t i = 1; i < bytes; ++i) {
      if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) {
        return false;
      }
    }
    const auto second = static_cast<unsigned char>(bytes > 1 ? text[1] : 0);
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
      return false;
    }
    text.remove_prefix(bytes);
  }
  return true;
}

// Takes the first line off `text`, without its end. Every line must have one.
bool take_line(std::string_view& text, std::string_view& line) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    return false;
  }
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

bool read_signature(std::string_view line, NoteSignature& signature) {
  if (!line.starts_with(kSignatureStart)) {
    return false;
  }
  line.remove_prefix(kSignatureStart.size());
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || !is_name(line.substr(0, space))) {
    return false;
  }
  signature.name = line.substr(0, space);
  const auto bytes = from_base64(line.substr(space + 1));
  if (!bytes || bytes->size() < 5) {
    return false;
  }
  signature.key_id = 0;
  for (const char c : bytes->substr(0, 4)) {
    signature.key_id = (signature.key_id << 8) | static_cast<unsigned char>(c);
  }
  signature.bytes = bytes->substr(4);
  return true;
}

bool ed25519_signed(std::string_view point, std::string_view text, std::string_view signature) {
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, in(point), point.size()));
  const DigestContext context(EVP_MD_CTX_new());
  return key && context &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), in(signature), signature.size(), in(text), text.size()) ==
             1;
}

Key sm2_key(std::string_view point) {
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "SM2", nullptr));
  char group[] = "SM2";
  std::string bytes(point);
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, bytes.data(), bytes.size()),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY,
                        const_cast<OSSL_PARAM*>(parameters)) != 1) {
    return nullptr;
  }
  return Key(key);
}

// r || s as the DER that OpenSSL takes.
std::string to_der(std::string_view signature) {
  const std::unique_ptr<ECDSA_SIG, Free<ECDSA_SIG_free>> pair(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(in(signature.substr(0, 32)), 32, nullptr);
  BIGNUM* s = BN_bin2bn(in(signature.substr(32)), 32, nullptr);
  if (!pair || r == nullptr || s == nullptr || ECDSA_SIG_set0(pair.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  unsigned char* der = nullptr;
  const int bytes = i2d_ECDSA_SIG(pair.get(), &der);
  std::string text(reinterpret_cast<const char*>(der), bytes > 0 ? static_cast<size_t>(bytes) : 0);
  OPENSSL_free(der);
  return text;
}

bool sm2_signed(std::string_view point, std::string_view text, std::string_view signature) {
  const Key key = sm2_key(point);
  const std::string der = to_der(signature);
  const DigestContext context(EVP_MD_CTX_new());
  if (!key || !context || der.empty()) {
    return false;
  }
  const KeyContext identity(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (!identity || EVP_PKEY_CTX_set1_id(identity.get(), kSm2Identity.data(),
                                        static_cast<int>(kSm2Identity.size())) != 1) {
    return false;
  }
  EVP_MD_CTX_set_pkey_ctx(context.get(), identity.get());
  return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sm3(), nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), in(der), der.size(), in(text), text.size()) == 1;
}

bool is_signed(const VerifierKey& key, std::string_view text, std::string_view signature) {
  if (signature.size() != kSignatureBytes) {
    return false;
  }
  return key.kind == KeyKind::ed25519 ? ed25519_signed(key.point, text, signature)
                                      : sm2_signed(key.point, text, signature);
}

bool read_digest(std::string_view text, Digest& digest) {
  const auto bytes = from_base64(text);
  if (!bytes || bytes->size() != digest.size()) {
    return false;
  }
  std::memcpy(digest.data(), bytes->data(), digest.size());
  return true;
}

}  // namespace

Result<VerifierKey> parse_key(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  text = text.substr(0, text.find_last_not_of(kSpace) + 1);
  const std::size_t name_end = text.find('+');
  if (name_end == std::string_view::npos || text.size() < name_end + 10 ||
      text[name_end + 9] != '+') {
    return malformed("not a verifier's key: it must be name+8 hexadecimal digits+base64");
  }
  VerifierKey key;
  key.name = text.substr(0, name_end);
  const auto bytes = from_base64(text.substr(name_end + 10));
  if (!is_name(key.name) || !is_utf8(key.name) || !bytes || bytes->empty()) {
    return malformed("not a verifier's key: its name or its base64 is malformed");
  }
  std::string_view rest = *bytes;
  const char algorithm = rest[0];
  rest.remove_prefix(1);
  if (algorithm == '\x01' && rest.size() == kEd25519KeyBytes) {
    key.kind = KeyKind::ed25519;
  } else if (algorithm == '\xff' && rest.starts_with(kSm2Label) &&
             rest.size() == kSm2Label.size() + kSm2KeyBytes && rest[kSm2Label.size()] == '\x04') {
    key.kind = KeyKind::sm2;
    rest.remove_prefix(kSm2Label.size());
  } else {
    return malformed("a verifier's key of a kind that this program does not know");
  }
  key.point = rest;
  key.id = key_id(key.name, *bytes);
  std::string id(4, '\0');
  for (unsigned i = 0; i < 4; ++i) {
    id[i] = static_cast<char>((key.id >> (24 - 8 * i)) & 0xff);
  }
  if (to_hex(id) != text.substr(name_end + 1, 8)) {
    return malformed("not a verifier's key: its id is not that of its name and key");
  }
  if (key.kind == KeyKind::sm2 && !sm2_key(key.point)) {
    return malformed("not a verifier's key: no point of the curve SM2");
  }
  return key;
}

Result<Note> parse_note(std::string_view bytes) {
  if (bytes.size() > kNoteBytesMax || !is_utf8(bytes) ||
      std::ranges::any_of(bytes, [](unsigned char c) { return c < 0x20 && c != '\n'; })) {
    return malformed("not a signed note: too long, or bytes that no note holds");
  }
  const std::size_t split = bytes.rfind("\n\n");
  if (split == std::string_view::npos) {
    return malformed("not a signed note: no empty line before its signatures");
  }
  Note note;
  note.text = bytes.substr(0, split + 1);
  std::string_view rest = bytes.substr(split + 2);
  for (std::string_view line; !rest.empty();) {
    NoteSignature signature;
    if (!take_line(rest, line) || !read_signature(line, signature) ||
        note.signatures.size() >= kSignaturesMax) {
      return malformed("not a signed note: a malformed signature");
    }
    note.signatures.push_back(std::move(signature));
  }
  if (note.signatures.empty()) {
    return malformed("not a signed note: no signature");
  }
  return note;
}

SignatureFacts check_signatures(const Note& note, std::span<const VerifierKey> keys,
                                std::string_view name) {
  SignatureFacts facts;
  for (const NoteSignature& signature : note.signatures) {
    bool known = false;
    bool good = false;
    for (const VerifierKey& key : keys) {
      // More than one key may have this name and id: 32 bits are soon met on purpose.
      if (key.name != name || key.name != signature.name || key.id != signature.key_id) {
        continue;
      }
      known = true;
      if (is_signed(key, note.text, signature.bytes)) {
        good = true;
        (key.kind == KeyKind::ed25519 ? facts.ed25519 : facts.sm2) = true;
      }
    }
    facts.forged = facts.forged || (known && !good);
  }
  return facts;
}

const char* missing_signature(const SignatureFacts& facts, std::span<const VerifierKey> keys) {
  const auto gave = [&](KeyKind kind) {
    return std::ranges::any_of(keys, [&](const VerifierKey& key) { return key.kind == kind; });
  };
  if (facts.forged) {
    return "a signature in the name of a key that was given is not that key's";
  }
  if (gave(KeyKind::ed25519) && !facts.ed25519) {
    return "no Ed25519 key that was given has signed it";
  }
  if (gave(KeyKind::sm2) && !facts.sm2) {
    return "no SM2 key that was given has signed it";
  }
  return nullptr;
}

Result<Checkpoint> parse_checkpoint(std::string_view text) {
  Checkpoint checkpoint;
  std::string_view line;
  if (!take_line(text, line) || line.empty()) {
    return malformed("not a checkpoint: no origin");
  }
  checkpoint.origin = line;
  if (!take_line(text, line) || !read_decimal(line, checkpoint.size)) {
    return malformed("not a checkpoint: no number of records in its second line");
  }
  if (!take_line(text, line) || !read_digest(line, checkpoint.root)) {
    return malformed("not a checkpoint: no root in its third line");
  }
  while (!text.empty()) {
    constexpr std::string_view kSm3 = "sm3 ";
    if (!take_line(text, line) || line.empty()) {
      return malformed("not a checkpoint: an empty line in its text");
    }
    if (line.starts_with(kSm3)) {
      Digest root;
      if (checkpoint.sm3_root || !read_digest(line.substr(kSm3.size()), root)) {
        return malformed("not a checkpoint: a malformed SM3 root");
      }
      checkpoint.sm3_root = root;
    }
  }
  return checkpoint;
}

}  // namespace deepmoat::verifier
