// links: deepmoat_verifier
// Bytes as a receipt, checked by an auditor's key: nothing crashes, and nothing passes that the key
// has not signed. It signs nothing here.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "verifier/receipt.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace verifier = deepmoat::verifier;
  // The example of C2SP's signed-note page.
  static const std::array keys = {
      verifier::parse_key("example.com/foo+530d903b+ASDoHoqEWrZ6NmeyDT7IyUaDsv1cJd2iJtJN2Nq4oyqg")
          .value_or(verifier::VerifierKey{})};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (verifier::check_receipt(text, keys).intact()) {
    std::abort();
  }
  return 0;
}
