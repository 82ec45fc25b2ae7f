// PKCS#11 2.40 with p11-kit's header and no other library. One thread at a time.
#include "crypto/pkcs11_token.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <p11-kit/pkcs11.h>

#include <algorithm>
#include <array>

#include "crypto/aead.h"

namespace deepmoat::crypto {

namespace {

constexpr CK_ULONG kAesKeyBytes = 32;
constexpr CK_ULONG kHmacKeyBytes = 32;
constexpr CK_ULONG kTagBits = 128;
constexpr std::size_t kFoundMax = 64;
constexpr std::size_t kLabelBytesMax = 256;
constexpr std::size_t kDataBytesMax = 16 * 1024;

// What older drivers expect: the structure of the first drafts of 2.30, without ulIvBits.
struct GcmParametersWithoutIvBits {
  CK_BYTE_PTR iv;
  CK_ULONG iv_bytes;
  CK_BYTE_PTR aad;
  CK_ULONG aad_bytes;
  CK_ULONG tag_bits;
};

CK_BYTE_PTR in(std::string_view text) {
  return reinterpret_cast<CK_BYTE_PTR>(const_cast<char*>(text.data()));
}

// The few that a person can do something about; the others as numbers.
std::string name_of(CK_RV status) {
  switch (status) {
    case CKR_PIN_INCORRECT:
      return "the PIN is wrong";
    case CKR_PIN_LOCKED:
      return "the PIN is locked";
    case CKR_PIN_EXPIRED:
      return "the PIN has expired";
    case CKR_USER_PIN_NOT_INITIALIZED:
      return "the token has no user PIN yet";
    case CKR_TOKEN_NOT_PRESENT:
      return "the token is not present";
    case CKR_DEVICE_REMOVED:
      return "the device was removed";
    case CKR_DEVICE_ERROR:
      return "the device reports an error";
    case CKR_OBJECT_HANDLE_INVALID:
    case CKR_KEY_HANDLE_INVALID:
      return "the key's handle is not valid any more";
    case CKR_SESSION_HANDLE_INVALID:
      return "the session is not valid any more";
    case CKR_TOKEN_WRITE_PROTECTED:
      return "the token is write-protected";
    default:
      return fmt::format("code 0x{:x}", status);
  }
}

std::unexpected<Error> refused(std::string_view what, CK_RV status) {
  return fail(Code::unavailable,
              fmt::format("PKCS#11: the token could not {}: {}", what, name_of(status)));
}

// Fixed fields of PKCS#11 are padded with blanks.
template <std::size_t size>
std::string padded(const unsigned char (&field)[size]) {
  std::string text(reinterpret_cast<const char*>(field), size);
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

template <class Value>
CK_ATTRIBUTE attribute(CK_ATTRIBUTE_TYPE type, Value& value) {
  return {type, &value, sizeof value};
}

CK_ATTRIBUTE attribute(CK_ATTRIBUTE_TYPE type, const std::string& value) {
  return {type, const_cast<char*>(value.data()), value.size()};
}

}  // namespace

// The module, initialised. It stays loaded (RTLD_NODELETE): some crash when they are unloaded.
class Pkcs11Token::Library {
 public:
  static Result<std::unique_ptr<Library>> load(const std::string& path) {
    std::unique_ptr<Library> library(new Library());
    library->handle_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library->handle_ == nullptr) {
      const char* reason = ::dlerror();
      return fail(Code::unavailable, fmt::format("PKCS#11: the module {} cannot be loaded: {}",
                                                 path, reason != nullptr ? reason : "unknown"));
    }
    const auto get =
        reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library->handle_, "C_GetFunctionList"));
    if (get == nullptr || get(&library->functions_) != CKR_OK || library->functions_ == nullptr) {
      return fail(Code::unavailable, "PKCS#11: " + path + " is no PKCS#11 module");
    }
    CK_C_INITIALIZE_ARGS arguments{};
    arguments.flags = CKF_OS_LOCKING_OK;
    CK_RV status = library->functions_->C_Initialize(&arguments);
    if (status == CKR_CRYPTOKI_ALREADY_INITIALIZED) {  // by one that could not end it
      library->functions_->C_Finalize(nullptr);
      status = library->functions_->C_Initialize(&arguments);
    }
    if (status != CKR_OK) {
      return fail(Code::unavailable,
                  fmt::format("PKCS#11: the module {} does not start: {}", path, name_of(status)));
    }
    library->initialised_ = true;
    return library;
  }

  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    if (initialised_) {
      functions_->C_Finalize(nullptr);
    }
    if (handle_ != nullptr) {
      ::dlclose(handle_);
    }
  }

  CK_FUNCTION_LIST* operator->() const { return functions_; }

 private:
  Library() = default;

  void* handle_ = nullptr;
  CK_FUNCTION_LIST* functions_ = nullptr;
  bool initialised_ = false;
};

Pkcs11Token::Pkcs11Token(std::unique_ptr<Library> library) : library_(std::move(library)) {}

Pkcs11Token::~Pkcs11Token() {
  if (in_session_) {
    (*library_)->C_CloseSession(session_);
  }
}

Result<std::unique_ptr<Pkcs11Token>> Pkcs11Token::open(const Pkcs11Options& options,
                                                       const Secret& pin) {
  TRY(auto library, Library::load(options.module));
  std::unique_ptr<Pkcs11Token> token(new Pkcs11Token(std::move(library)));
  if (options.gcm_layout == "with_iv_bits") {
    token->layout_ = GcmLayout::with_iv_bits;
  } else if (options.gcm_layout == "without_iv_bits") {
    token->layout_ = GcmLayout::without_iv_bits;
  }
  CHECK_OK(token->find_slot(options.token_label));
  CHECK_OK(token->begin_session(pin));
  return token;
}

Result<> Pkcs11Token::find_slot(const std::string& label) {
  std::array<CK_SLOT_ID, kFoundMax> slots{};
  CK_ULONG count = slots.size();
  const CK_RV status = (*library_)->C_GetSlotList(CK_TRUE, slots.data(), &count);
  if (status != CKR_OK) {
    return refused("list its slots", status);
  }
  std::size_t found = 0;
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_TOKEN_INFO info{};
    if ((*library_)->C_GetTokenInfo(slots[i], &info) != CKR_OK || padded(info.label) != label) {
      continue;
    }
    ++found;
    slot_ = slots[i];
    description_ =
        fmt::format("{}, {} {}, serial {}, firmware {}.{}", padded(info.label),
                    padded(info.manufacturerID), padded(info.model), padded(info.serialNumber),
                    info.firmwareVersion.major, info.firmwareVersion.minor);
  }
  if (found == 1) {
    return {};
  }
  return found == 0
             ? fail(Code::unavailable, "PKCS#11: there is no token with the label \"" + label +
                                           "\"; is the device connected?")
             : fail(Code::unavailable, "PKCS#11: several tokens have the label \"" + label + '"');
}

Result<> Pkcs11Token::begin_session(const Secret& pin) {
  CK_RV status = (*library_)->C_OpenSession(slot_, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr,
                                            nullptr, &session_);
  if (status != CKR_OK) {
    return refused("open a session", status);
  }
  in_session_ = true;
  status = (*library_)->C_Login(session_, CKU_USER, in(pin.reveal()), pin.size());
  if (status == CKR_OK || status == CKR_USER_ALREADY_LOGGED_IN) {
    return {};
  }
  const bool wrong = status == CKR_PIN_INCORRECT || status == CKR_PIN_LOCKED ||
                     status == CKR_PIN_EXPIRED || status == CKR_PIN_INVALID ||
                     status == CKR_PIN_LEN_RANGE || status == CKR_USER_PIN_NOT_INITIALIZED;
  return wrong ? fail(Code::unauthenticated,
                      fmt::format("PKCS#11: the token refused the login: {}; it is not tried "
                                  "again before a restart, so that the token does not lock",
                                  name_of(status)))
               : refused("log in", status);
}

Result<Pkcs11Token::Handle> Pkcs11Token::make_aes_key(const std::string& label) {
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  CK_ULONG bytes = kAesKeyBytes;
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
  std::array attributes = {attribute(CKA_LABEL, label),   attribute(CKA_VALUE_LEN, bytes),
                           attribute(CKA_TOKEN, yes),     attribute(CKA_PRIVATE, yes),
                           attribute(CKA_SENSITIVE, yes), attribute(CKA_EXTRACTABLE, no),
                           attribute(CKA_ENCRYPT, yes),   attribute(CKA_DECRYPT, yes),
                           attribute(CKA_WRAP, no),       attribute(CKA_UNWRAP, no)};
  Handle key = 0;
  const CK_RV status =
      (*library_)->C_GenerateKey(session_, &mechanism, attributes.data(), attributes.size(), &key);
  return status == CKR_OK ? Result<Handle>(key) : refused("make an AES key", status);
}

Result<Pkcs11Token::Handle> Pkcs11Token::make_hmac_key(const std::string& label) {
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  CK_ULONG bytes = kHmacKeyBytes;
  CK_MECHANISM mechanism{CKM_GENERIC_SECRET_KEY_GEN, nullptr, 0};
  std::array attributes = {attribute(CKA_LABEL, label),   attribute(CKA_VALUE_LEN, bytes),
                           attribute(CKA_TOKEN, yes),     attribute(CKA_PRIVATE, yes),
                           attribute(CKA_SENSITIVE, yes), attribute(CKA_EXTRACTABLE, no),
                           attribute(CKA_SIGN, yes),      attribute(CKA_VERIFY, yes)};
  Handle key = 0;
  const CK_RV status =
      (*library_)->C_GenerateKey(session_, &mechanism, attributes.data(), attributes.size(), &key);
  return status == CKR_OK ? Result<Handle>(key) : refused("make an HMAC key", status);
}

// Secret keys of the token with this label, or all.
Result<std::vector<Pkcs11Token::Handle>> Pkcs11Token::find(const std::string* label) {
  return find_objects(CKO_SECRET_KEY, label);
}

Result<std::vector<Pkcs11Token::Handle>> Pkcs11Token::find_objects(unsigned long object_class,
                                                                   const std::string* label) {
  CK_BBOOL yes = CK_TRUE;
  std::vector<CK_ATTRIBUTE> attributes = {attribute(CKA_CLASS, object_class),
                                          attribute(CKA_TOKEN, yes)};
  if (label != nullptr) {
    attributes.push_back(attribute(CKA_LABEL, *label));
  }
  CK_RV status = (*library_)->C_FindObjectsInit(session_, attributes.data(), attributes.size());
  if (status != CKR_OK) {
    return refused("search for keys", status);
  }
  std::vector<Handle> found;
  CK_ULONG count = 0;
  do {
    std::array<CK_OBJECT_HANDLE, kFoundMax> some{};
    status = (*library_)->C_FindObjects(session_, some.data(), some.size(), &count);
    found.insert(found.end(), some.begin(), some.begin() + (status == CKR_OK ? count : 0));
  } while (status == CKR_OK && count == kFoundMax);
  (*library_)->C_FindObjectsFinal(session_);
  return status == CKR_OK ? Result<std::vector<Handle>>(std::move(found))
                          : refused("search for keys", status);
}

Result<Pkcs11Token::Handle> Pkcs11Token::find_key(const std::string& label) {
  TRY(const std::vector<Handle> found, find(&label));
  if (found.size() == 1) {
    return found.front();
  }
  return found.empty()
             ? fail(Code::not_found, "PKCS#11: the token has no key \"" + label + '"')
             : fail(Code::corrupt, "PKCS#11: the token has several keys \"" + label + '"');
}

Result<std::string> Pkcs11Token::label_of(Handle key) {
  std::string label(kLabelBytesMax, '\0');
  CK_ATTRIBUTE wanted{CKA_LABEL, label.data(), label.size()};
  const CK_RV status = (*library_)->C_GetAttributeValue(session_, key, &wanted, 1);
  if (status != CKR_OK || wanted.ulValueLen > label.size()) {
    return refused("name a key", status);
  }
  label.resize(wanted.ulValueLen);
  return label;
}

Result<std::vector<std::string>> Pkcs11Token::labels(const std::string& start) {
  TRY(const std::vector<Handle> keys, find(nullptr));
  std::vector<std::string> names;
  for (const Handle key : keys) {
    const auto label = label_of(key);
    if (label && label->starts_with(start)) {
      names.push_back(*label);
    }
  }
  return names;
}

Result<> Pkcs11Token::destroy_key(Handle key) {
  const CK_RV status = (*library_)->C_DestroyObject(session_, key);
  return status == CKR_OK ? Result<>() : refused("destroy a key", status);
}

Result<> Pkcs11Token::write_data(const std::string& label, std::string_view bytes) {
  TRY(const std::vector<Handle> found, find_objects(CKO_DATA, &label));
  const std::string copy(bytes);  // the interface takes no constant
  CK_RV status = CKR_OK;
  if (!found.empty()) {
    CK_ATTRIBUTE value = attribute(CKA_VALUE, copy);
    status = (*library_)->C_SetAttributeValue(session_, found.front(), &value, 1);
    if (status == CKR_OK) {
      for (std::size_t i = 1; i < found.size(); ++i) {
        CHECK_OK(destroy_key(found[i]));  // a crash can leave two
      }
      return {};
    }
    // Some tokens let no object change: a new one then, before the old one goes.
  }
  CK_OBJECT_CLASS data = CKO_DATA;
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  std::array attributes = {attribute(CKA_CLASS, data),  attribute(CKA_TOKEN, yes),
                           attribute(CKA_PRIVATE, no),  attribute(CKA_MODIFIABLE, yes),
                           attribute(CKA_LABEL, label), attribute(CKA_VALUE, copy)};
  Handle made = 0;
  status = (*library_)->C_CreateObject(session_, attributes.data(), attributes.size(), &made);
  if (status != CKR_OK) {
    return refused("keep a data object", status);
  }
  for (const Handle old : found) {
    CHECK_OK(destroy_key(old));
  }
  return {};
}

Result<std::optional<std::string>> Pkcs11Token::read_data(const std::string& label) {
  TRY(const std::vector<Handle> found, find_objects(CKO_DATA, &label));
  if (found.empty()) {
    return std::nullopt;
  }
  std::string bytes(kDataBytesMax, '\0');
  // Of several, which a crash can leave, the newest is the last.
  CK_ATTRIBUTE wanted{CKA_VALUE, bytes.data(), bytes.size()};
  const CK_RV status = (*library_)->C_GetAttributeValue(session_, found.back(), &wanted, 1);
  if (status != CKR_OK || wanted.ulValueLen > bytes.size()) {
    return refused("read a data object", status);
  }
  bytes.resize(wanted.ulValueLen);
  return bytes;
}

Result<bool> Pkcs11Token::never_left(Handle key) {
  CK_BBOOL sensitive = CK_FALSE;
  CK_BBOOL never = CK_FALSE;
  std::array wanted = {attribute(CKA_SENSITIVE, sensitive),
                       attribute(CKA_NEVER_EXTRACTABLE, never)};
  const CK_RV status =
      (*library_)->C_GetAttributeValue(session_, key, wanted.data(), wanted.size());
  if (status != CKR_OK) {
    return refused("describe a key", status);
  }
  return sensitive == CK_TRUE && never == CK_TRUE;
}

CK_RV Pkcs11Token::begin_gcm(bool encrypt, Handle key, std::string_view nonce,
                             std::string_view associated, GcmLayout layout) {
  CK_GCM_PARAMS with{};
  with.pIv = in(nonce);
  with.ulIvLen = nonce.size();
  with.ulIvBits = nonce.size() * 8;
  with.pAAD = in(associated);
  with.ulAADLen = associated.size();
  with.ulTagBits = kTagBits;
  GcmParametersWithoutIvBits without{with.pIv, with.ulIvLen, with.pAAD, with.ulAADLen, kTagBits};
  CK_MECHANISM mechanism{CKM_AES_GCM, &with, sizeof with};
  if (layout == GcmLayout::without_iv_bits) {
    mechanism = {CKM_AES_GCM, &without, sizeof without};
  }
  return encrypt ? (*library_)->C_EncryptInit(session_, &mechanism, key)
                 : (*library_)->C_DecryptInit(session_, &mechanism, key);
}

// With the layout that this driver takes; found out by the first use.
Result<> Pkcs11Token::start_gcm(bool encrypt, Handle key, std::string_view nonce,
                                std::string_view associated) {
  const std::array tried = {GcmLayout::with_iv_bits, GcmLayout::without_iv_bits};
  CK_RV status = CKR_OK;
  for (const GcmLayout layout : tried) {
    if (layout_ != GcmLayout::unknown && layout_ != layout) {
      continue;
    }
    status = begin_gcm(encrypt, key, nonce, associated, layout);
    if (status == CKR_OK) {
      layout_ = layout;
      return {};
    }
  }
  return refused("begin AES-GCM", status);
}

Result<std::string> Pkcs11Token::encrypt_gcm(Handle key, std::string_view nonce,
                                             std::string_view plain, std::string_view associated) {
  CHECK_OK(start_gcm(true, key, nonce, associated));
  std::string sealed(plain.size() + kAeadTagBytes, '\0');
  CK_ULONG size = sealed.size();
  const CK_RV status = (*library_)->C_Encrypt(session_, in(plain), plain.size(), in(sealed), &size);
  if (status != CKR_OK || size != sealed.size()) {
    return refused("encrypt", status);
  }
  return sealed;
}

Result<Secret> Pkcs11Token::decrypt_gcm(Handle key, std::string_view nonce, std::string_view sealed,
                                        std::string_view associated) {
  CHECK_OK(start_gcm(false, key, nonce, associated));
  std::string plain(sealed.size(), '\0');  // some drivers want room for the tag too
  CK_ULONG size = plain.size();
  const CK_RV status =
      (*library_)->C_Decrypt(session_, in(sealed), sealed.size(), in(plain), &size);
  const Secret whole(std::move(plain));
  if (status == CKR_DEVICE_REMOVED || status == CKR_TOKEN_NOT_PRESENT ||
      status == CKR_SESSION_HANDLE_INVALID || status == CKR_DEVICE_ERROR) {
    return refused("decrypt", status);
  }
  if (status != CKR_OK || size + kAeadTagBytes != sealed.size()) {
    return fail(Code::corrupt,
                "PKCS#11: the token does not open these bytes with this key: " + name_of(status));
  }
  return Secret::copy_of(whole.reveal().substr(0, size));
}

Result<Secret> Pkcs11Token::hmac_sha256(Handle key, std::string_view bytes) {
  CK_MECHANISM mechanism{CKM_SHA256_HMAC, nullptr, 0};
  CK_RV status = (*library_)->C_SignInit(session_, &mechanism, key);
  if (status != CKR_OK) {
    return refused("begin an HMAC", status);
  }
  std::string mac(kHmacKeyBytes, '\0');
  CK_ULONG size = mac.size();
  status = (*library_)->C_Sign(session_, in(bytes), bytes.size(), in(mac), &size);
  Secret secret(std::move(mac));
  if (status != CKR_OK || size != kHmacKeyBytes) {
    return refused("compute an HMAC", status);
  }
  return secret;
}

std::string_view Pkcs11Token::gcm_layout() const {
  switch (layout_) {
    case GcmLayout::with_iv_bits:
      return "with_iv_bits";
    case GcmLayout::without_iv_bits:
      return "without_iv_bits";
    case GcmLayout::unknown:
      break;
  }
  return "not tried yet";
}

}  // namespace deepmoat::crypto
