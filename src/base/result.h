// Errors as values. Every fallible function of ours returns Result<T>; exceptions of libraries
// are caught in the adapter that calls them and never cross a module.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace deepmoat {

// What went wrong, as far as a caller can act on it. Closed on purpose: the mapping to an HTTP
// status is one switch without a default (wire/refusal.cc).
enum class Code : std::uint8_t {
  invalid_argument,     // the caller's input is wrong; repeating it cannot help
  not_found,            // the named thing does not exist, or the caller may not know that it does
  already_exists,       // the named thing exists and would be overwritten
  unauthenticated,      // no key, or one that proves nothing
  permission_denied,    // the key is known and may not do this
  resource_exhausted,   // a limit or a queue is full; repeating later can help
  unavailable,          // a part we need is not there at present; repeating later can help
  audit_unavailable,    // the audit log takes no record, so nothing is done
  custody_unavailable,  // the root keys cannot be reached, so nothing new is issued
  corrupt,              // stored bytes fail their checksum, MAC or format
  io,                   // the operating system refused a read, write or sync
  cancelled,            // the caller gave up
  timeout,              // a deadline passed
  internal,             // a bug of ours
};

// The code's name as it stands in logs, e.g. "invalid_argument".
[[nodiscard]] std::string_view code_name(Code code);

// `message` is for a person: it names the field or file and the fix. It never holds a secret
// and never the text of a prompt.
struct Error {
  Code code = Code::internal;
  std::string message;
};

template <class T = void>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(Code code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

// Message of the last failed system call, e.g. "open data/audit: No space left on device".
[[nodiscard]] std::unexpected<Error> fail_errno(Code code, std::string_view what);

}  // namespace deepmoat

#define DEEPMOAT_CONCAT_INNER(a, b) a##b
#define DEEPMOAT_CONCAT(a, b) DEEPMOAT_CONCAT_INNER(a, b)

// TRY(auto value, fallible()); returns the error to our caller, or declares `value`.
// A statement, never an expression: g++ 12 miscompiles `({ ... co_await ... })`.
#define TRY(declaration, expression)                                                   \
  auto DEEPMOAT_CONCAT(try_result_, __LINE__) = (expression);                          \
  if (!DEEPMOAT_CONCAT(try_result_, __LINE__)) {                                       \
    return std::unexpected(std::move(DEEPMOAT_CONCAT(try_result_, __LINE__)).error()); \
  }                                                                                    \
  declaration = *std::move(DEEPMOAT_CONCAT(try_result_, __LINE__))

// CHECK_OK(fallible()); the same for Result<void>.
#define CHECK_OK(expression)                                 \
  if (auto check_result = (expression); !check_result) {     \
    return std::unexpected(std::move(check_result).error()); \
  }
