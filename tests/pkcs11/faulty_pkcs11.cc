// For tests: a PKCS#11 module that forwards to SoftHSM and misbehaves on request, as devices do.
// FAULTY_PKCS11_REAL names the real module; the file FAULTY_PKCS11_MODE holds one word, which is
// read at every call:
//
//   right         forwards
//   gone          every call fails with CKR_DEVICE_REMOVED, C_Initialize too
//   stale         the token came back: what was opened before is not valid any more, and nothing
//   but
//                 C_Finalize and C_Initialize helps
//   lying_hmac    C_Sign says CKR_OK and gives other bytes
//   lying_gcm     C_Decrypt says CKR_OK and gives other bytes
//   slow          every C_Sign takes FAULTY_PKCS11_SLOW_MS
//   hangs         C_Sign does not come back until the word is another
//   old_layout    takes CK_GCM_PARAMS without ulIvBits only
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

namespace {

CK_FUNCTION_LIST* real = nullptr;
bool stale = false;  // until C_Finalize

std::string mode() {
  std::ifstream file(std::getenv("FAULTY_PKCS11_MODE"));
  std::string word;
  file >> word;
  return word;
}

// CKR_OK: go on.
CK_RV fault() {
  const std::string now = mode();
  if (now == "gone") {
    stale = true;  // it will have forgotten its sessions when it is back
    return CKR_DEVICE_REMOVED;
  }
  if (now == "stale") {
    stale = true;
  }
  return stale ? CKR_OBJECT_HANDLE_INVALID : CKR_OK;
}

#define FORWARD(name, parameters, arguments)                     \
  CK_RV faulty_##name parameters {                               \
    const CK_RV status = fault();                                \
    return status != CKR_OK ? status : real->C_##name arguments; \
  }

using Session = CK_SESSION_HANDLE;
using Bytes = CK_BYTE_PTR;
using Size = CK_ULONG;

FORWARD(GetSlotList, (CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count),
        (present, list, count))
FORWARD(GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info), (slot, info))
FORWARD(OpenSession,
        (CK_SLOT_ID slot, CK_FLAGS flags, void* application, CK_NOTIFY notify,
         CK_SESSION_HANDLE_PTR session),
        (slot, flags, application, notify, session))
FORWARD(CloseSession, (Session session), (session))
FORWARD(Login, (Session session, CK_USER_TYPE user, Bytes pin, Size size),
        (session, user, pin, size))
FORWARD(GenerateKey,
        (Session session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR attributes, Size count,
         CK_OBJECT_HANDLE_PTR key),
        (session, mechanism, attributes, count, key))
FORWARD(FindObjectsInit, (Session session, CK_ATTRIBUTE_PTR attributes, Size count),
        (session, attributes, count))
FORWARD(FindObjects, (Session session, CK_OBJECT_HANDLE_PTR found, Size most, CK_ULONG_PTR count),
        (session, found, most, count))
FORWARD(FindObjectsFinal, (Session session), (session))
FORWARD(GetAttributeValue,
        (Session session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attributes, Size count),
        (session, object, attributes, count))
FORWARD(DestroyObject, (Session session, CK_OBJECT_HANDLE object), (session, object))
FORWARD(SignInit, (Session session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key),
        (session, mechanism, key))
FORWARD(Encrypt, (Session session, Bytes in, Size in_size, Bytes out, CK_ULONG_PTR out_size),
        (session, in, in_size, out, out_size))

struct OldGcmParameters {
  CK_BYTE_PTR iv;
  CK_ULONG iv_bytes;
  CK_BYTE_PTR aad;
  CK_ULONG aad_bytes;
  CK_ULONG tag_bits;
};

using CryptInit = CK_RV (*)(Session, CK_MECHANISM_PTR, CK_OBJECT_HANDLE);

CK_RV crypt_init(CryptInit init, Session session, CK_MECHANISM_PTR mechanism,
                 CK_OBJECT_HANDLE key) {
  const CK_RV status = fault();
  if (status != CKR_OK) {
    return status;
  }
  if (mode() != "old_layout") {
    return init(session, mechanism, key);
  }
  if (mechanism->ulParameterLen != sizeof(OldGcmParameters)) {
    return CKR_MECHANISM_PARAM_INVALID;
  }
  const auto* old = static_cast<const OldGcmParameters*>(mechanism->pParameter);
  CK_GCM_PARAMS parameters{old->iv,  old->iv_bytes,  old->iv_bytes * 8,
                           old->aad, old->aad_bytes, old->tag_bits};
  CK_MECHANISM forwarded{mechanism->mechanism, &parameters, sizeof parameters};
  return init(session, &forwarded, key);
}

CK_RV faulty_EncryptInit(Session session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  return crypt_init(real->C_EncryptInit, session, mechanism, key);
}

CK_RV faulty_DecryptInit(Session session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  return crypt_init(real->C_DecryptInit, session, mechanism, key);
}

CK_RV faulty_Decrypt(Session session, Bytes in, Size in_size, Bytes out, CK_ULONG_PTR out_size) {
  CK_RV status = fault();
  if (status == CKR_OK) {
    status = real->C_Decrypt(session, in, in_size, out, out_size);
  }
  if (status == CKR_OK && mode() == "lying_gcm") {
    out[0] ^= 1;
  }
  return status;
}

CK_RV faulty_Sign(Session session, Bytes in, Size in_size, Bytes out, CK_ULONG_PTR out_size) {
  CK_RV status = fault();
  if (mode() == "slow") {
    std::this_thread::sleep_for(
        std::chrono::milliseconds(std::atoi(std::getenv("FAULTY_PKCS11_SLOW_MS"))));
  }
  while (mode() == "hangs") {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  if (status == CKR_OK) {
    status = real->C_Sign(session, in, in_size, out, out_size);
  }
  if (status == CKR_OK && mode() == "lying_hmac") {
    out[0] ^= 1;
  }
  return status;
}

CK_RV faulty_Initialize(void* arguments) {
  return mode() == "gone" ? CKR_DEVICE_REMOVED : real->C_Initialize(arguments);
}

CK_RV faulty_Finalize(void* reserved) {
  stale = false;
  return real->C_Finalize(reserved);
}

bool load_real() {
  if (real != nullptr) {
    return true;
  }
  void* const module = ::dlopen(std::getenv("FAULTY_PKCS11_REAL"), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    return false;
  }
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(module, "C_GetFunctionList"));
  return get != nullptr && get(&real) == CKR_OK;
}

}  // namespace

extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST** list) {
  static CK_FUNCTION_LIST forwarding;
  if (!load_real()) {
    return CKR_GENERAL_ERROR;
  }
  forwarding = *real;
  forwarding.C_Initialize = faulty_Initialize;
  forwarding.C_Finalize = faulty_Finalize;
  forwarding.C_GetSlotList = faulty_GetSlotList;
  forwarding.C_GetTokenInfo = faulty_GetTokenInfo;
  forwarding.C_OpenSession = faulty_OpenSession;
  forwarding.C_CloseSession = faulty_CloseSession;
  forwarding.C_Login = faulty_Login;
  forwarding.C_GenerateKey = faulty_GenerateKey;
  forwarding.C_FindObjectsInit = faulty_FindObjectsInit;
  forwarding.C_FindObjects = faulty_FindObjects;
  forwarding.C_FindObjectsFinal = faulty_FindObjectsFinal;
  forwarding.C_GetAttributeValue = faulty_GetAttributeValue;
  forwarding.C_DestroyObject = faulty_DestroyObject;
  forwarding.C_EncryptInit = faulty_EncryptInit;
  forwarding.C_Encrypt = faulty_Encrypt;
  forwarding.C_DecryptInit = faulty_DecryptInit;
  forwarding.C_Decrypt = faulty_Decrypt;
  forwarding.C_SignInit = faulty_SignInit;
  forwarding.C_Sign = faulty_Sign;
  *list = &forwarding;
  return CKR_OK;
}
