// links: deepmoat_transparency deepmoat_verifier deepmoat_base
// Bytes as a signed note with a checkpoint. What the server reads as one of its own, the
// independent verifier reads in the same way.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "transparency/note.h"
#include "verifier/note.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace verifier = deepmoat::verifier;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static_cast<void>(verifier::parse_key(bytes));
  const auto theirs = verifier::parse_note(bytes);
  const auto note = deepmoat::transparency::parse_note(bytes);
  if (!note) {
    return 0;
  }
  const auto checkpoint = deepmoat::transparency::parse_checkpoint(note->text);
  if (!checkpoint) {
    return 0;
  }
  // An origin that no signer of ours has: a name with a space.
  if (checkpoint->origin.empty() || checkpoint->origin.find_first_of(" +") != std::string::npos) {
    return 0;
  }
  if (!theirs || theirs->text != note->text) {
    return 0;  // stricter about signature lines: their names
  }
  const auto read = verifier::parse_checkpoint(theirs->text);
  if (!read || read->size != checkpoint->size || read->origin != checkpoint->origin ||
      !std::equal(read->root.begin(), read->root.end(), checkpoint->root.begin(),
                  [](auto a, auto b) { return static_cast<char>(a) == static_cast<char>(b); })) {
    std::abort();
  }
  return 0;
}
