// Keys, notes and checkpoints; signatures that OpenSSL makes here, and one of the SM2 standard.
#include "verifier/note.h"

#include <gtest/gtest.h>

#include "verifier/bytes.h"
#include "verifier/given.h"
#include "verifier/scratch_signer.h"
#include "verifier/written_log.h"

namespace deepmoat::verifier {
namespace {

const std::string kName = "deepmoat/test";
const std::string kText = kName + "\n7\n" + to_base64(std::string(32, 'r')) + "\n";

std::string from_hex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

SignatureFacts facts_of(const std::string& note, const std::vector<VerifierKey>& keys) {
  return check_signatures(parse_note(note).value(), keys, kName);
}

// The example that golang.org/x/mod/sumdb/note documents.
TEST(Note, ReadsAKeyAndASignatureThatAnotherProgramMade) {
  const auto key =
      parse_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n");
  ASSERT_TRUE(key.has_value()) << key.error().message;
  const auto note = parse_note(
      "If you think cryptography is the answer to your problem,\n"
      "then you don't know what your problem is.\n\n"
      "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpR"
      "Zb6KE6RyyBwJnAM=\n");
  ASSERT_TRUE(note.has_value()) << note.error().message;
  const std::vector keys{*key};
  EXPECT_TRUE(check_signatures(*note, keys, "PeterNeumann").ed25519);
  EXPECT_FALSE(check_signatures(*note, keys, kName).ed25519) << "another name signs";
}

// GB/T 32918.5, A.2.
TEST(Note, TheSm2ExampleOfTheStandardHolds) {
  const std::string point = from_hex(
      "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
      "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13");
  const std::string signature = from_hex(
      "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
      "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA");
  const std::vector<VerifierKey> keys{{KeyKind::sm2, kName, 1, point}};
  Note note{.text = "message digest", .signatures = {{kName, 1, signature}}};
  EXPECT_TRUE(check_signatures(note, keys, kName).sm2);
  note.text = "message digesT";
  EXPECT_FALSE(check_signatures(note, keys, kName).sm2);
  EXPECT_TRUE(check_signatures(note, keys, kName).forged);
}

TEST(Note, EachKindOfKeyVerifiesWhatItSigned) {
  for (const KeyKind kind : {KeyKind::ed25519, KeyKind::sm2}) {
    const ScratchSigner signer(kind, kName);
    const ScratchSigner other(kind, kName);
    const std::string note = signer.note(kText);
    const SignatureFacts facts = facts_of(note, {signer.key()});
    EXPECT_EQ(kind == KeyKind::sm2 ? facts.sm2 : facts.ed25519, true);
    EXPECT_FALSE(facts.forged);
    const SignatureFacts unknown = facts_of(note, {other.key()});
    EXPECT_FALSE(unknown.ed25519 || unknown.sm2 || unknown.forged);
    VerifierKey same_id = other.key();
    same_id.id = signer.key().id;
    EXPECT_TRUE(facts_of(note, {same_id}).forged);
    EXPECT_FALSE(facts_of(note, {same_id, signer.key()}).forged) << "one of the two has signed";
  }
}

TEST(Note, BothSignaturesAreWantedWhenBothKeysAreGiven) {
  const ScratchSigner ed25519(KeyKind::ed25519, kName);
  const ScratchSigner sm2(KeyKind::sm2, kName);
  const std::vector keys{ed25519.key(), sm2.key()};
  EXPECT_EQ(missing_signature(facts_of(ed25519.note(kText) + sm2.sign(kText), keys), keys),
            nullptr);
  EXPECT_NE(missing_signature(facts_of(ed25519.note(kText), keys), keys), nullptr);
  EXPECT_NE(missing_signature(facts_of(sm2.note(kText), keys), keys), nullptr);
}

TEST(Note, EveryAlteredByteIsRefused) {
  const ScratchSigner ed25519(KeyKind::ed25519, kName);
  const ScratchSigner sm2(KeyKind::sm2, kName);
  const std::vector keys{ed25519.key(), sm2.key()};
  const std::string good = ed25519.note(kText) + sm2.sign(kText);
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int bit : {0, 1, 5, 7}) {
      std::string altered = good;
      altered[at] = static_cast<char>(altered[at] ^ (1 << bit));
      const auto note = parse_note(altered);
      if (!note) {
        continue;
      }
      EXPECT_NE(missing_signature(check_signatures(*note, keys, kName), keys), nullptr) << altered;
    }
  }
}

TEST(Note, EveryAlteredByteOfAKeyIsRefused) {
  for (const KeyKind kind : {KeyKind::ed25519, KeyKind::sm2}) {
    const std::string good = ScratchSigner(kind, kName).key_text();
    for (std::size_t at = 0; at < good.size(); ++at) {
      std::string altered = good;
      altered[at] = static_cast<char>(altered[at] ^ 1);
      EXPECT_FALSE(parse_key(altered)) << altered;
    }
  }
  EXPECT_FALSE(parse_key(""));
  EXPECT_FALSE(parse_key("name"));
  EXPECT_FALSE(parse_key("++"));
  EXPECT_FALSE(parse_key("name+00000000+"));
}

TEST(Note, RefusesWhatIsNoNote) {
  const std::string line = ScratchSigner(KeyKind::ed25519, kName).sign(kText);
  for (const std::string& bytes :
       {std::string(), std::string("\n"), kText, kText + "\n", kText + line, "a\tb\n\n" + line,
        "a\xff\n\n" + line, kText + "\n" + line + "x\n",
        kText + "\n" + line.substr(0, line.size() - 1), kText + "\n" + line + "\n",
        kText + "\n- n AAAAAAA=\n", kText + "\n— n+n AAAAAAAA\n", kText + "\n— n AAAA\n",
        kText + "\n— n AAAAAAB=\n"}) {
    EXPECT_FALSE(parse_note(bytes)) << bytes;
  }
  EXPECT_TRUE(parse_note(kText + "\n" + line));
}

TEST(Checkpoint, IsRead) {
  const std::string root = to_base64(std::string(32, 'r'));
  const auto plain = parse_checkpoint(kText);
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->origin, kName);
  EXPECT_EQ(plain->size, 7U);
  EXPECT_EQ(view(plain->root), std::string(32, 'r'));
  EXPECT_FALSE(plain->sm3_root);
  const auto both = parse_checkpoint(kText + "sm3 " + to_base64(std::string(32, 's')) + "\n");
  ASSERT_TRUE(both && both->sm3_root);
  EXPECT_EQ(view(*both->sm3_root), std::string(32, 's'));
  EXPECT_TRUE(parse_checkpoint(kText + "an extension\n"));
  for (const std::string& text :
       {std::string(), "\n7\n" + root + "\n", "o\n07\n" + root + "\n", "o\n-7\n" + root + "\n",
        "o\n7\n" + root, std::string("o\n7\nAAAA\n"), "o\n18446744073709551616\n" + root + "\n",
        "o\n7\n" + root + "\n\n", "o\n7\n" + root + "\nsm3 x\n",
        "o\n7\n" + root + "\nsm3 " + root + "\nsm3 " + root + "\n"}) {
    EXPECT_FALSE(parse_checkpoint(text)) << text;
  }
}

TEST(Given, KeysAreReadFromATextAFileAndTheServersJson) {
  const Folder folder;
  const ScratchSigner ed25519(KeyKind::ed25519, kName);
  const ScratchSigner sm2(KeyKind::sm2, kName);
  const std::string file = (folder.path() / "server.key").string();
  EXPECT_EQ(read_keys(ed25519.key_text()).value().size(), 1U);
  const std::string json = R"({"object":"audit.key","origin":"deepmoat/test","keys":[")" +
                           ed25519.key_text() + R"(",")" + sm2.key_text() +
                           R"("],"checkpoint":"x"})";
  for (const std::string& bytes :
       {ed25519.key_text() + "\n\n" + sm2.key_text() + " \r\n", json, json + "\n"}) {
    folder.write("server.key", bytes);
    const auto keys = read_keys(file);
    ASSERT_TRUE(keys.has_value()) << keys.error().message;
    ASSERT_EQ(keys->size(), 2U);
    EXPECT_EQ((*keys)[0].id, ed25519.key().id);
    EXPECT_EQ((*keys)[1].kind, KeyKind::sm2);
  }
}

TEST(Given, WhatIsNoKeyNamesTheFileAndWhatIsWanted) {
  const Folder folder;
  const std::string file = (folder.path() / "server.key").string();
  const std::string key = ScratchSigner(KeyKind::ed25519, kName).key_text();
  const auto expect_refused = [&] {
    const auto keys = read_keys(file);
    ASSERT_FALSE(keys);
    EXPECT_TRUE(keys.error().message.starts_with(file)) << keys.error().message;
    EXPECT_TRUE(keys.error().message.ends_with("wanted is the output of `deepmoat audit key`"))
        << keys.error().message;
  };
  expect_refused();  // not there
  for (const std::string& bytes :
       {std::string(), std::string("\n"), std::string("nonsense"), key + "\nnonsense", kText,
        std::string("{}"), std::string(R"({"keys":[]})"), std::string(R"({"keys":[1]})"),
        std::string(R"({"keys":["x"]})"), R"({"keys":")" + key + R"("})",
        R"({"key":")" + key + R"("})"}) {
    folder.write("server.key", bytes);
    expect_refused();
  }
}

TEST(Given, WhatIsNoCheckpointNamesTheFileAndWhatIsWanted) {
  const Folder folder;
  const ScratchSigner signer(KeyKind::ed25519, kName);
  const std::string file = (folder.path() / "kept").string();
  const auto expect_refused = [&] {
    const auto checkpoint = read_checkpoint(file);
    ASSERT_FALSE(checkpoint);
    EXPECT_NE(checkpoint.error().message.find(file), std::string::npos);
    EXPECT_NE(checkpoint.error().message.find("; wanted is a signed checkpoint"), std::string::npos)
        << checkpoint.error().message;
  };
  expect_refused();  // not there
  for (const std::string& bytes : {std::string(), signer.key_text() + "\n", kText,
                                   signer.note("a note\n"), std::string("{}")}) {
    folder.write("kept", bytes);
    expect_refused();
  }
  folder.write("kept", signer.note(kText));
  const auto checkpoint = read_checkpoint(file);
  ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->name, file);
  EXPECT_EQ(checkpoint->note, signer.note(kText));
}

TEST(Base64, HasOneSpelling) {
  EXPECT_EQ(from_base64(""), "");
  EXPECT_EQ(from_base64("Zm9vYg=="), "foob");
  EXPECT_EQ(from_base64("Zm9vYmE="), "fooba");
  EXPECT_EQ(from_base64("Zm9vYmFy"), "foobar");
  for (const char* text : {"Zm9vYg", "Zm9vYh==", "Zm9vYmF=", "Zm9v\n", "Zm9v YmFy",
                           "====", "Z===", "Zm9vYg==Zm9v", "Zm9-"}) {
    EXPECT_FALSE(from_base64(text)) << text;
  }
}

}  // namespace
}  // namespace deepmoat::verifier
