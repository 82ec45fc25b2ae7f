// Custody in a token: SoftHSM 2 as it is, and through a module that vanishes, forgets, lies and
// takes its time.
#include "crypto/pkcs11_custody.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <p11-kit/pkcs11.h>

#include <array>

#include "crypto/custody_watch.h"
#include "crypto/envelope.h"
#include "crypto/scratch_token.h"

namespace deepmoat::crypto {
namespace {

class Pkcs11Test : public testing::Test {
 protected:
  Pkcs11Test() : clock_(1'795'000'000'000) { clock_.advance_ms(1); }

  // Without the old one: a process may begin a module only once.
  void open(Pkcs11Options options, bool first_start = true) {
    custody_.reset();
    auto opened = Pkcs11Custody::open(std::move(options), ScratchToken::pin(), first_start);
    ASSERT_TRUE(opened) << opened.error().message;
    custody_ = *std::move(opened);
  }
  void open_envelope() {
    auto opened = Envelope::open({.folder = token_.keys()}, *custody_, clock_);
    ASSERT_TRUE(opened) << opened.error().message;
    envelope_ = *std::move(opened);
  }

  ScratchToken token_;
  ManualClock clock_;
  std::unique_ptr<Pkcs11Custody> custody_;
  std::unique_ptr<Envelope> envelope_;
};

TEST_F(Pkcs11Test, GivesTheSameSecretsAtEveryStart) {
  open(ScratchToken::options());
  const auto first = custody_->root_secrets();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->signing.size(), 32U);
  EXPECT_NE(first->signing.reveal(), first->pepper.reveal());
  EXPECT_NE(first->pepper.reveal(), first->audit_fingerprint.reveal());
  EXPECT_EQ(first->id.size(), 32U);
  open(ScratchToken::options(), false);
  const auto again = custody_->root_secrets();
  EXPECT_EQ(again->signing.reveal(), first->signing.reveal());
  EXPECT_EQ(again->pepper.reveal(), first->pepper.reveal());
  EXPECT_EQ(again->audit_fingerprint.reveal(), first->audit_fingerprint.reveal());
  EXPECT_EQ(again->id, first->id);

  Pkcs11Options other = ScratchToken::options();
  other.key_label = "second";  // another installation on the same token
  open(other);
  EXPECT_NE(custody_->root_secrets()->id, first->id);
}

TEST_F(Pkcs11Test, KeepsANoteOverStarts) {
  open(ScratchToken::options());
  EXPECT_EQ(custody_->read_note("audit").value(), std::nullopt);
  ASSERT_TRUE(custody_->keep_note("audit", "first"));
  ASSERT_TRUE(custody_->keep_note("audit", "second, and longer"));
  ASSERT_TRUE(custody_->keep_note("other", std::string(1000, 'x')));
  open(ScratchToken::options(), false);
  EXPECT_EQ(custody_->read_note("audit").value(), "second, and longer");
  EXPECT_EQ(custody_->read_note("other").value(), std::string(1000, 'x'));
  EXPECT_EQ(custody_->generations()->size(), 0U) << "a note is no key";
}

TEST_F(Pkcs11Test, SaysWhatKeepsItFromStarting) {
  const auto code_of = [](Pkcs11Options options, const char* pin, bool first_start) {
    return Pkcs11Custody::open(std::move(options), Secret::copy_of(pin), first_start).error().code;
  };
  EXPECT_EQ(code_of(ScratchToken::options(), kTokenPin, false), Code::not_found);
  EXPECT_EQ(code_of(ScratchToken::options(), "0000", true), Code::unauthenticated);
  Pkcs11Options options = ScratchToken::options();
  options.token_label = "absent";
  EXPECT_EQ(code_of(options, kTokenPin, true), Code::unavailable);
  EXPECT_EQ(code_of(ScratchToken::options("/nowhere/module.so"), kTokenPin, true),
            Code::unavailable);
  EXPECT_EQ(
      code_of(ScratchToken::options("/usr/lib/x86_64-linux-gnu/libcrypto.so.3"), kTokenPin, true),
      Code::unavailable);
}

// What a thief with the PIN could still try through the module itself.
TEST_F(Pkcs11Test, KeysNeverLeaveTheToken) {
  open(ScratchToken::options());
  ASSERT_TRUE(custody_->generate(1));
  EXPECT_FALSE(custody_->describe().keys_can_leave);
  CK_FUNCTION_LIST* module = nullptr;
  void* const handle = ::dlopen(kSoftHsm, RTLD_NOW | RTLD_NOLOAD);
  ASSERT_NE(handle, nullptr);
  reinterpret_cast<CK_C_GetFunctionList>(::dlsym(handle, "C_GetFunctionList"))(&module);
  CK_SLOT_ID slot = 0;
  CK_ULONG count = 1;
  std::array<CK_SLOT_ID, 8> slots{};
  count = slots.size();
  ASSERT_EQ(module->C_GetSlotList(CK_TRUE, slots.data(), &count), CKR_OK);
  slot = slots[0];  // the token; the last slot is SoftHSM's empty one
  CK_SESSION_HANDLE session = 0;
  ASSERT_EQ(
      module->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session),
      CKR_OK);
  CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
  CK_ATTRIBUTE wanted{CKA_CLASS, &secret_key, sizeof secret_key};
  ASSERT_EQ(module->C_FindObjectsInit(session, &wanted, 1), CKR_OK);
  std::array<CK_OBJECT_HANDLE, 8> found{};
  ASSERT_EQ(module->C_FindObjects(session, found.data(), found.size(), &count), CKR_OK);
  module->C_FindObjectsFinal(session);
  ASSERT_EQ(count, 2U);  // the root and a key-encryption key
  for (CK_ULONG i = 0; i < count; ++i) {
    std::array<char, 64> value{};
    CK_ATTRIBUTE read{CKA_VALUE, value.data(), value.size()};
    EXPECT_EQ(module->C_GetAttributeValue(session, found[i], &read, 1), CKR_ATTRIBUTE_SENSITIVE);
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE set{CKA_EXTRACTABLE, &yes, sizeof yes};
    EXPECT_NE(module->C_SetAttributeValue(session, found[i], &set, 1), CKR_OK);
    for (CK_ULONG j = 0; j < count; ++j) {
      CK_MECHANISM wrap{CKM_AES_KEY_WRAP, nullptr, 0};
      CK_ULONG size = value.size();
      EXPECT_NE(module->C_WrapKey(session, &wrap, found[j], found[i],
                                  reinterpret_cast<CK_BYTE_PTR>(value.data()), &size),
                CKR_OK);
    }
  }
  module->C_CloseSession(session);
  ::dlclose(handle);
}

TEST_F(Pkcs11Test, WrapsGenerationsAndDestroysThem) {
  open(ScratchToken::options());
  const Secret key = Secret::copy_of(std::string(32, 'm'));
  EXPECT_EQ(custody_->wrap(1, key, "a").error().code, Code::not_found);
  ASSERT_TRUE(custody_->generate(1));
  ASSERT_TRUE(custody_->generate(12));
  EXPECT_EQ(custody_->generate(1).error().code, Code::already_exists);
  EXPECT_EQ(*custody_->generations(), (std::vector<std::uint64_t>{1, 12}));
  const auto wrapped = custody_->wrap(1, key, "a");
  ASSERT_TRUE(wrapped) << wrapped.error().message;
  EXPECT_EQ(custody_->unwrap(1, *wrapped, "a")->reveal(), key.reveal());
  EXPECT_EQ(custody_->unwrap(1, *wrapped, "b").error().code, Code::corrupt);
  EXPECT_EQ(custody_->unwrap(12, *wrapped, "a").error().code, Code::corrupt);
  EXPECT_EQ(custody_->unwrap(1, "short", "a").error().code, Code::corrupt);
  for (std::size_t at = 0; at < wrapped->size(); ++at) {
    std::string altered = *wrapped;
    altered[at] = static_cast<char>(altered[at] ^ 1);
    EXPECT_EQ(custody_->unwrap(1, altered, "a").error().code, Code::corrupt) << at;
  }
  EXPECT_EQ(custody_->unwrap(1, *wrapped, "a")->reveal(), key.reveal());
  ASSERT_TRUE(custody_->destroy(1));
  ASSERT_TRUE(custody_->destroy(1));  // once more is no error
  EXPECT_EQ(custody_->unwrap(1, *wrapped, "a").error().code, Code::not_found);
  EXPECT_EQ(*custody_->generations(), std::vector<std::uint64_t>{12});
}

TEST_F(Pkcs11Test, CarriesAnEnvelopeOverStartsAndRolls) {
  open(ScratchToken::options());
  open_envelope();
  const FieldPlace place = {.tenant = "t", .row = "1"};
  const std::string field = *envelope_->seal(place, "kept");
  const auto rolled = envelope_->roll();
  ASSERT_TRUE(rolled) << rolled.error().message;
  EXPECT_TRUE(rolled->old_destroyed);
  EXPECT_EQ(*custody_->generations(), std::vector<std::uint64_t>{2});
  envelope_.reset();
  open(ScratchToken::options(), false);
  open_envelope();
  EXPECT_EQ(envelope_->status().generation, 2U);
  EXPECT_EQ(envelope_->open(place, field)->reveal(), "kept");
}

TEST_F(Pkcs11Test, FindsTheParametersThatAnOlderDriverTakes) {
  open(ScratchToken::faulty());
  ASSERT_TRUE(custody_->generate(1));
  const Secret key = Secret::copy_of(std::string(32, 'm'));
  const std::string modern = *custody_->wrap(1, key, "a");
  token_.behave("old_layout");
  EXPECT_FALSE(custody_->wrap(1, key, "a"));  // it was settled at the start
  Pkcs11Options options = ScratchToken::faulty();
  open(options, false);
  EXPECT_EQ(custody_->unwrap(1, modern, "a")->reveal(), key.reveal());
  EXPECT_EQ(custody_->unwrap(1, *custody_->wrap(1, key, "a"), "a")->reveal(), key.reveal());
  options.gcm_layout = "with_iv_bits";
  open(options, false);
  EXPECT_FALSE(custody_->wrap(1, key, "a"));
  options.gcm_layout = "without_iv_bits";
  open(options, false);
  EXPECT_TRUE(custody_->wrap(1, key, "a"));
}

// The trap of SoftHSM: after its folder was away, the old handles are dead though sessions open.
TEST_F(Pkcs11Test, ComesBackAfterTheTokenWasPulledOut) {
  open(ScratchToken::options());
  open_envelope();
  CustodyWatch watch(*custody_, {}, clock_, nullptr);
  watch.check_now();
  EXPECT_EQ(watch.state(), CustodyState::up) << watch.health().reason;
  const FieldPlace place = {.tenant = "t", .row = "1"};
  const std::string field = *envelope_->seal(place, "kept");
  token_.take_away();
  watch.check_now();
  EXPECT_EQ(watch.state(), CustodyState::lost);
  EXPECT_EQ(envelope_->open(place, field)->reveal(), "kept");  // not on the path of a call
  EXPECT_FALSE(envelope_->roll());
  token_.bring_back();
  watch.check_now();
  EXPECT_EQ(watch.state(), CustodyState::up) << watch.health().reason;
  const auto rolled = envelope_->roll();
  EXPECT_TRUE(rolled) << rolled.error().message;
  EXPECT_EQ(envelope_->open(place, field)->reveal(), "kept");
}

TEST_F(Pkcs11Test, ComesBackAfterADeviceThatForgotItsSessions) {
  for (const char* fault : {"gone", "stale"}) {
    token_.behave("right");
    open(ScratchToken::faulty());
    ASSERT_TRUE(custody_->generate(fault[0]));
    CustodyWatch watch(*custody_, {}, clock_, nullptr);
    token_.behave(fault);
    watch.check_now();
    EXPECT_EQ(watch.state(), CustodyState::lost) << fault;
    EXPECT_EQ(custody_->wrap(1, Secret::copy_of("x"), "").error().code, Code::unavailable);
    token_.behave("right");
    watch.check_now();
    EXPECT_EQ(watch.state(), CustodyState::up) << fault << ": " << watch.health().reason;
    EXPECT_TRUE(custody_->wrap(static_cast<std::uint64_t>(fault[0]), Secret::copy_of("x"), ""));
  }
}

TEST_F(Pkcs11Test, SealsWhenTheTokenLies) {
  for (const char* fault : {"lying_hmac", "lying_gcm"}) {
    token_.behave("right");
    open(ScratchToken::faulty());
    (void)custody_->generate(1);
    CustodyWatch watch(*custody_, {}, clock_, nullptr);
    watch.check_now();
    EXPECT_EQ(watch.state(), CustodyState::up) << watch.health().reason;
    token_.behave(fault);
    watch.check_now();
    EXPECT_EQ(watch.state(), CustodyState::sealed) << fault;
    EXPECT_EQ(watch.may_serve().error().code, Code::custody_unavailable);
    token_.behave("right");
    watch.check_now();
    EXPECT_EQ(watch.state(), CustodyState::up) << fault;
  }
}

// A token that lies from the start cannot make a new root: what was wrapped tells.
TEST_F(Pkcs11Test, ALieAtTheStartIsFoundByTheEnvelope) {
  open(ScratchToken::faulty());
  open_envelope();
  envelope_.reset();
  token_.behave("lying_gcm");
  open(ScratchToken::faulty(), false);
  EXPECT_FALSE(Envelope::open({.folder = token_.keys()}, *custody_, clock_));
}

TEST_F(Pkcs11Test, ASlowTokenDelaysTheCanaryAndNobodyElse) {
  open(ScratchToken::faulty());
  open_envelope();
  const SystemClock clock;
  CustodyWatch watch(*custody_, {}, clock, nullptr);
  const FieldPlace place = {.tenant = "t", .row = "1"};
  const std::string field = *envelope_->seal(place, "kept");
  ::setenv("FAULTY_PKCS11_SLOW_MS", "300", 1);
  token_.behave("slow");
  int during = 0;
  std::atomic<bool> back = false;
  std::jthread canary([&] {
    watch.check_now();
    back = true;
  });
  while (!back) {
    EXPECT_EQ(envelope_->open(place, field)->reveal(), "kept");
    EXPECT_EQ(watch.state(), CustodyState::up);
    ++during;
  }
  EXPECT_GT(during, 100);  // far more than calls that waited for the token could be
  EXPECT_EQ(watch.state(), CustodyState::up);
  EXPECT_GE(watch.health().last_check_ms, 300);
}

}  // namespace
}  // namespace deepmoat::crypto
