// Text of an answer as it grows: whole UTF-8 characters, and stop strings. Not thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace deepmoat::engine {

// Cuts a stream of bytes at character boundaries; what is not UTF-8 becomes U+FFFD. A character
// that the end of the answer cuts in half is never shown, as in llama-server.
class Utf8Stream {
 public:
  // The characters that are whole now.
  [[nodiscard]] std::string feed(std::string_view bytes);
  // No character is cut in half now.
  [[nodiscard]] bool whole() const { return pending_.empty(); }

 private:
  std::string pending_;
};

// Ends an answer before the first of some texts, also when it comes in pieces.
class StopMatcher {
 public:
  // Empty texts are ignored.
  explicit StopMatcher(std::vector<std::string> stops);

  struct Out {
    std::string text;  // may be shown; what might begin a stop text is held back
    bool stopped = false;
    std::string stop = {};  // the stop text that was met
  };
  // Must not be called again after `stopped`.
  [[nodiscard]] Out feed(std::string_view text);
  // What was held back, when the answer ends for another reason.
  [[nodiscard]] std::string finish();

 private:
  std::vector<std::string> stops_;
  std::string held_;
};

}  // namespace deepmoat::engine
