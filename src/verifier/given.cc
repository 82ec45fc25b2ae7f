// Any thread.
#include "verifier/given.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "verifier/file.h"
#include "verifier/strict_json.h"

namespace deepmoat::verifier {

namespace {

constexpr const char* kKeysWanted = "; wanted is the output of `deepmoat audit key`";
constexpr const char* kCheckpointWanted =
    "; wanted is a signed checkpoint: the file \"checkpoint\" of an audit log, or its copy in a "
    "second place";

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      lines.emplace_back(line);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// The `keys` of GET /v1/audit/key. A receipt's `key` is none of them: it vouches for itself.
Result<std::vector<std::string>> keys_of(const Json& object) {
  const auto found = object.find("keys");
  if (found == object.end() || !found->is_array()) {
    return malformed("a JSON object without \"keys\"");
  }
  std::vector<std::string> keys;
  for (const Json& item : *found) {
    const auto* key = item.get_ptr<const std::string*>();
    if (key == nullptr) {
      return malformed("one of its \"keys\" is no text");
    }
    keys.push_back(*key);
  }
  return keys;
}

Result<std::vector<VerifierKey>> parse_keys(std::string_view text) {
  const auto json = parse_object(text);
  const auto lines = json ? keys_of(*json) : lines_of(text);
  if (!lines) {
    return std::unexpected(lines.error());
  }
  std::vector<VerifierKey> keys;
  for (const std::string& line : *lines) {
    auto key = parse_key(line);
    if (!key) {
      return std::unexpected(std::move(key).error());
    }
    keys.push_back(*std::move(key));
  }
  if (keys.empty()) {
    return malformed("no key in it");
  }
  return keys;
}

}  // namespace

Result<std::vector<VerifierKey>> read_keys(const std::string& text) {
  if (auto key = parse_key(text)) {
    return std::vector{*std::move(key)};
  }
  const auto file = read_small_file(text, kNoteBytesMax);
  if (!file) {
    return fail(file.error().fault, text + " is neither a verifier's key nor a file with some (" +
                                        file.error().message + ")" + kKeysWanted);
  }
  auto keys = parse_keys(*file);
  if (!keys) {
    return malformed(text + ": " + keys.error().message + kKeysWanted);
  }
  return keys;
}

Result<GivenCheckpoint> read_checkpoint(const std::string& path) {
  auto bytes = read_small_file(path, kNoteBytesMax);
  if (!bytes) {
    return fail(bytes.error().fault, bytes.error().message + kCheckpointWanted);
  }
  const auto note = parse_note(*bytes);
  const auto content = note ? parse_checkpoint(note->text) : std::unexpected(note.error());
  if (!content) {
    return malformed(path + ": " + content.error().message + kCheckpointWanted);
  }
  return GivenCheckpoint{.name = path, .note = *std::move(bytes)};
}

}  // namespace deepmoat::verifier
