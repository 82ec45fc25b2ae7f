// Signed notes and checkpoints: the forms of C2SP, and that nothing altered passes.
#include "transparency/note.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/hex.h"
#include "base/scratch_folder.h"
#include "crypto/base64.h"

namespace deepmoat::transparency {
namespace {

Secret seed(char c) {
  return Secret::copy_of(std::string(32, c));
}

NoteSigner signer(const std::string& name = "deepmoat/5f0c9a1e77b2d340", bool sm2 = false) {
  auto key = crypto::SigningKey::from_seed(seed('e'));
  std::optional<crypto::Sm2Key> second;
  if (sm2) {
    second = crypto::Sm2Key::from_seed(seed('s')).value();
  }
  return NoteSigner::make(name, std::move(*key), std::move(second)).value();
}

Checkpoint some_checkpoint() {
  return {.origin = "deepmoat/5f0c9a1e77b2d340",
          .size = 1357,
          .root = leaf_hash(TreeHash::sha256, "x"),
          .sm3_root = std::nullopt};
}

TEST(Checkpoint, ItsTextIsThatOfTheSpecification) {
  Checkpoint checkpoint = some_checkpoint();
  const std::string root = crypto::to_base64(crypto::view(checkpoint.root));
  EXPECT_EQ(checkpoint_text(checkpoint), "deepmoat/5f0c9a1e77b2d340\n1357\n" + root + "\n");
  checkpoint.sm3_root = checkpoint.root;
  EXPECT_EQ(checkpoint_text(checkpoint),
            "deepmoat/5f0c9a1e77b2d340\n1357\n" + root + "\nsm3 " + root + "\n");
  const Checkpoint back = parse_checkpoint(checkpoint_text(checkpoint)).value();
  EXPECT_EQ(back.size, 1357U);
  EXPECT_EQ(back.root, checkpoint.root);
  EXPECT_EQ(back.sm3_root, checkpoint.sm3_root);
}

TEST(Checkpoint, OtherSpellingsAreRefused) {
  const std::string good = checkpoint_text(some_checkpoint());
  ASSERT_TRUE(parse_checkpoint(good));
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"1357", "01357"},
                                                        {"1357", "+1357"},
                                                        {"1357", "1357 "},
                                                        {"1357", "x"},
                                                        {"1357", "99999999999999999999"},
                                                        {"=\n", "\n"},
                                                        {"=\n", "=\nmore\n"},
                                                        {"=\n", "="}}) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    EXPECT_FALSE(parse_checkpoint(text)) << text;
  }
}

// The verifier's key and the note of golang.org/x/mod/sumdb/note's documentation example use the
// same form; tests/e2e checks ours with that library.
TEST(Note, TheKeyIdIsThatOfTheSpecification) {
  const NoteSigner one = signer("example");
  const std::string key = one.verifier_key();
  const std::string public_key = crypto::SigningKey::from_seed(seed('e'))->public_key();
  const crypto::Digest hash = crypto::sha256({"example\n", "\x01", public_key});
  EXPECT_EQ(key,
            "example+" + to_hex({hash.data(), 4}) + "+" + crypto::to_base64("\x01" + public_key));
}

TEST(Note, ASignedOneOpens) {
  for (const bool sm2 : {false, true}) {
    const NoteSigner one = signer("deepmoat/a", sm2);
    const std::string text = "deepmoat/a\n1\nx\n";
    const std::string note = one.sign(text).value();
    const auto opened = one.open(note);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(opened->text, text);
    EXPECT_EQ(opened->signatures.size(), sm2 ? 2U : 1U);
    EXPECT_EQ(one.sm2_verifier_key().has_value(), sm2);
  }
}

TEST(Note, NoAlteredByteOpens) {
  const NoteSigner one = signer();
  const std::string note = one.sign("deepmoat/5f0c9a1e77b2d340\n1\nx\n").value();
  for (std::size_t i = 0; i < note.size(); ++i) {
    for (const char flip : {'\x01', '\x20', '\x80'}) {
      std::string altered = note;
      altered[i] = static_cast<char>(altered[i] ^ flip);
      EXPECT_FALSE(one.open(altered)) << i;
    }
    EXPECT_FALSE(one.open(note.substr(0, i))) << i;
  }
}

TEST(Note, AnotherKeysNoteDoesNotOpen) {
  auto other = crypto::SigningKey::from_seed(seed('f'));
  const NoteSigner stranger =
      NoteSigner::make("deepmoat/a", std::move(*other), std::nullopt).value();
  EXPECT_FALSE(signer("deepmoat/a").open(stranger.sign("text\n").value()));
  EXPECT_FALSE(signer("deepmoat/b").open(signer("deepmoat/a").sign("text\n").value()));
}

TEST(Note, NamesThatBreakTheLineAreRefused) {
  for (const std::string name : {"", "a b", "a+b", "a|b", "a\nb", "caf\xc3\xa9"}) {
    auto key = crypto::SigningKey::from_seed(seed('e'));
    EXPECT_FALSE(NoteSigner::make(name, std::move(*key), std::nullopt)) << name;
  }
}

TEST(Sm2, SignaturesVerifyAndAlteredOnesDoNot) {
  const auto key = crypto::Sm2Key::from_seed(seed('s')).value();
  EXPECT_EQ(key.public_key(), crypto::Sm2Key::from_seed(seed('s'))->public_key());
  EXPECT_NE(key.public_key(), crypto::Sm2Key::from_seed(seed('t'))->public_key());
  EXPECT_FALSE(crypto::Sm2Key::from_seed(Secret::copy_of("short")));
  const std::string signature = key.sign("message").value();
  EXPECT_TRUE(crypto::verify_sm2(key.public_key(), "message", signature));
  EXPECT_FALSE(crypto::verify_sm2(key.public_key(), "massage", signature));
  for (std::size_t i = 0; i < signature.size(); ++i) {
    std::string altered = signature;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    EXPECT_FALSE(crypto::verify_sm2(key.public_key(), "message", altered)) << i;
  }
  std::string other_point = key.public_key();
  other_point[10] = static_cast<char>(other_point[10] ^ 1);
  EXPECT_FALSE(crypto::verify_sm2(other_point, "message", signature)) << "not on the curve";
}

// OpenSSL's own SM2, which shares no code with Botan's, takes it.
TEST(Sm2, OpenSslVerifiesIt) {
  const ScratchFolder folder;
  const auto key = crypto::Sm2Key::from_seed(seed('s')).value();
  const std::string raw = key.sign("message").value();
  // SEQUENCE { INTEGER r, INTEGER s }
  const auto integer = [](std::string_view bytes) {
    std::string value(bytes.substr(bytes.find_first_not_of('\0')));
    if ((static_cast<unsigned char>(value.front()) & 0x80) != 0) {
      value.insert(value.begin(), '\0');
    }
    return std::string("\x02") + static_cast<char>(value.size()) + value;
  };
  const std::string both =
      integer(std::string_view(raw).substr(0, 32)) + integer(std::string_view(raw).substr(32));
  std::ofstream(folder / "signature") << "\x30" << static_cast<char>(both.size()) << both;
  std::ofstream(folder / "message") << "message";
  // SubjectPublicKeyInfo with id-ecPublicKey and the curve 1.2.156.10197.1.301.
  const std::string info =
      from_hex("3059301306072a8648ce3d020106082a811ccf5501822d034200").value() + key.public_key();
  std::ofstream(folder / "key.pem") << "-----BEGIN PUBLIC KEY-----\n"
                                    << crypto::to_base64(info) << "\n-----END PUBLIC KEY-----\n";
  const std::string command =
      "cd " + folder.path().string() +
      " && fold -w 64 key.pem > k && openssl pkeyutl -verify -pubin -inkey k -rawin -digest sm3 "
      "-pkeyopt distid:1234567812345678 -in message -sigfile signature > out 2>&1";
  const int status = std::system(command.c_str());
  std::ifstream out(folder / "out");
  EXPECT_EQ(status, 0) << std::string(std::istreambuf_iterator<char>(out), {});
}

TEST(Base64, GoesBothWaysAndIsStrict) {
  for (const std::string bytes : {"", "f", "fo", "foo", "foob", "fooba", "foobar"}) {
    EXPECT_EQ(crypto::from_base64(crypto::to_base64(bytes)), bytes);
  }
  EXPECT_EQ(crypto::to_base64("fooba"), "Zm9vYmE=");
  for (const std::string bad :
       {"Zg", "Zg=", "Zh==", "Z===", "Zg==Zg==", " Zg==", "Zm9v\n", "Zm9\xff"}) {
    EXPECT_FALSE(crypto::from_base64(bad)) << bad;
  }
}

}  // namespace
}  // namespace deepmoat::transparency
