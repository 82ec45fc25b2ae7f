// What a custody without a device says.
#include "crypto/custody.h"

namespace deepmoat::crypto {

namespace {

std::unexpected<Error> no_device() {
  return fail(Code::invalid_argument,
              "the root keys lie in a file, so there is no token that could keep anything: "
              "custody.kind = \"pkcs11\" has one");
}

}  // namespace

Result<> KeyCustody::keep_note(const std::string& /*name*/, std::string_view /*bytes*/) {
  return no_device();
}

Result<std::optional<std::string>> KeyCustody::read_note(const std::string& /*name*/) {
  return no_device();
}

}  // namespace deepmoat::crypto
