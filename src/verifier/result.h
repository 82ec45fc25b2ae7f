// Errors as values, of this module's own: it shares no code with the server that it checks.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace deepmoat::verifier {

enum class Fault : std::uint8_t {
  unreadable,  // the operating system refused it
  not_there,   // the folder or file does not exist
  malformed,   // it is there and is not what it should be
};

// `message` is for a person and names the file or the field.
struct Error {
  Fault fault = Fault::malformed;
  std::string message;
};

template <class T = void>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(Fault fault, std::string message) {
  return std::unexpected(Error{fault, std::move(message)});
}

[[nodiscard]] inline std::unexpected<Error> malformed(std::string message) {
  return fail(Fault::malformed, std::move(message));
}

}  // namespace deepmoat::verifier
