// Names, versions and files of imported models. Blocking; see the header.
#include "catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/file.h"

namespace deepmoat::catalog {

namespace {

constexpr std::size_t kNameBytesMax = 63;
constexpr std::size_t kDigestDigits = 64;
constexpr std::size_t kDigestDigitsMin = 8;  // of a version given as the start of a SHA-256

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_name_byte(char c) {
  return is_name_start(c) || c == '.' || c == '_' || c == '-';
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<std::int64_t> number_in(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && number > 0 ? std::optional(number) : std::nullopt;
}

// 8 digits or more are the start of a digest; fewer are a number. A label is both.
bool fits(const Entry& entry, std::string_view version) {
  const std::size_t dash = version.find('-');
  if (dash != std::string_view::npos) {
    return version == entry.label();
  }
  if (version.size() >= kDigestDigitsMin) {
    return entry.sha256.starts_with(version);
  }
  return number_in(version) == entry.number;
}

std::string labels_of(const std::vector<Entry>& entries) {
  std::string text;
  for (const Entry& entry : entries) {
    text += (text.empty() ? "" : ", ") + entry.label();
  }
  return text;
}

std::filesystem::path relative_file(const Entry& entry) {
  return std::filesystem::path(entry.name) / (entry.label() + ".gguf");
}

store::ModelRow row_of(const Entry& entry) {
  return {.name = entry.name,
          .number = entry.number,
          .kind = std::string(kind_name(entry.kind)),
          .sha256 = entry.sha256,
          .file = relative_file(entry).string(),
          .bytes = static_cast<std::int64_t>(entry.bytes),
          .quantisation = entry.quantisation,
          .architecture = entry.architecture,
          .parameters = static_cast<std::int64_t>(entry.parameters),
          .task = entry.task,
          .base = entry.base,
          .source = entry.provenance.source,
          .source_sha256 = entry.provenance.source_sha256,
          .imported_by = entry.provenance.imported_by,
          .tool = entry.provenance.tool,
          .measurements = entry.measurements,
          .pinned = entry.pinned,
          .created_ms = entry.created_ms};
}

}  // namespace

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::model:
      return "model";
    case Kind::adapter:
      return "adapter";
  }
  return "unknown";
}

std::string Entry::label() const {
  return fmt::format("{}-{}", number, version());
}

Result<> check_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= kNameBytesMax && is_name_start(name.front()) &&
                    std::ranges::all_of(name, is_name_byte) &&
                    name.find("..") == std::string_view::npos;
  if (!good) {
    return fail(Code::invalid_argument,
                "name: \"" + std::string(name.substr(0, kNameBytesMax)) +
                    "\" cannot name a model; use 1 to 63 of a-z 0-9 . _ -, a letter or digit "
                    "first, no two dots together");
  }
  return {};
}

Catalog::Catalog(store::Database& database, std::filesystem::path folder)
    : database_(database), folder_(std::move(folder)) {}

Entry Catalog::entry_of(const store::ModelRow& row) const {
  return {.name = row.name,
          .number = row.number,
          .kind = row.kind == kind_name(Kind::adapter) ? Kind::adapter : Kind::model,
          .sha256 = row.sha256,
          .file = folder_ / row.file,
          .bytes = static_cast<std::uint64_t>(row.bytes),
          .quantisation = row.quantisation,
          .architecture = row.architecture,
          .parameters = static_cast<std::uint64_t>(row.parameters),
          .task = row.task,
          .base = row.base,
          .provenance = {.source = row.source,
                         .source_sha256 = row.source_sha256,
                         .imported_by = row.imported_by,
                         .tool = row.tool},
          .measurements = row.measurements,
          .pinned = row.pinned,
          .created_ms = row.created_ms};
}

Result<Entry> Catalog::add(Entry entry, const std::filesystem::path& incoming) {
  CHECK_OK(check_name(entry.name));
  if (entry.sha256.size() != kDigestDigits || !is_hex(entry.sha256)) {
    return fail(Code::invalid_argument, "sha256: must be 64 digits of 0-9 a-f");
  }
  if (incoming.lexically_normal().parent_path() != folder_.lexically_normal()) {
    return fail(Code::invalid_argument, "the file to add must lie in " + folder_.string());
  }
  const auto there = by_digest(entry.name, entry.sha256);
  if (there) {
    return fail(Code::already_exists, entry.name + " has this file already: version " +
                                          there->label() + " of the same SHA-256");
  }
  TRY(entry.number, database_.next_model_number(entry.name));
  entry.file = folder_ / relative_file(entry);
  entry.pinned = false;
  CHECK_OK(make_directory(entry.file.parent_path(), 0700));
  std::error_code error;
  if (std::filesystem::exists(entry.file, error)) {
    return fail(Code::already_exists,
                entry.file.string() + " is there already, but the catalog does not know it");
  }
  // First the file: a row must never name a file that is not there.
  std::filesystem::rename(incoming, entry.file, error);
  if (error) {
    return fail(Code::io, "rename " + incoming.string() + ": " + error.message());
  }
  CHECK_OK(sync_directory(entry.file.parent_path()));
  const Result<> inserted = database_.insert_model(row_of(entry));
  if (!inserted) {
    std::filesystem::rename(entry.file, incoming, error);
    return std::unexpected(inserted.error());
  }
  return entry;
}

Result<std::vector<Entry>> Catalog::list() {
  TRY(const auto rows, database_.list_models(""));
  std::vector<Entry> entries;
  for (const store::ModelRow& row : rows) {
    entries.push_back(entry_of(row));
  }
  return entries;
}

Result<std::vector<Entry>> Catalog::versions(std::string_view name) {
  CHECK_OK(check_name(name));
  TRY(const auto rows, database_.list_models(name));
  if (rows.empty()) {
    return fail(Code::not_found,
                "no imported model is called " + std::string(name) + "; see `deepmoat model list`");
  }
  std::vector<Entry> entries;
  for (const store::ModelRow& row : rows) {
    entries.push_back(entry_of(row));
  }
  return entries;
}

Result<Entry> Catalog::find(std::string_view name, std::string_view version) {
  TRY(const std::vector<Entry> entries, versions(name));
  if (version.empty()) {
    const auto pinned = std::ranges::find_if(entries, &Entry::pinned);
    return pinned != entries.end() ? *pinned : entries.back();
  }
  const auto fitting = [version](const Entry& entry) { return fits(entry, version); };
  const auto found = std::ranges::find_if(entries, fitting);
  if (found == entries.end()) {
    return fail(Code::not_found, std::string(name) + " has no version " + std::string(version) +
                                     "; there are " + labels_of(entries));
  }
  if (std::ranges::count_if(entries, fitting) > 1) {
    return fail(Code::invalid_argument, "version " + std::string(version) + " of " +
                                            std::string(name) + " may be several of " +
                                            labels_of(entries) + "; write more of it");
  }
  return *found;
}

Result<Entry> Catalog::by_digest(std::string_view name, std::string_view sha256) {
  TRY(const std::vector<Entry> entries, versions(name));
  const auto found = std::ranges::find(entries, sha256, &Entry::sha256);
  if (found == entries.end()) {
    return fail(Code::not_found, std::string(name) + " has no version with this SHA-256");
  }
  return *found;
}

Result<Entry> Catalog::pin(std::string_view name, std::string_view version) {
  TRY(Entry entry, find(name, version));
  CHECK_OK(database_.pin_model(name, entry.number));
  entry.pinned = true;
  return entry;
}

Result<> Catalog::unpin(std::string_view name) {
  CHECK_OK(check_name(name));
  return database_.pin_model(name, 0);
}

Result<Entry> Catalog::remove(std::string_view name, std::string_view version,
                              const InUse& in_use) {
  TRY(Entry entry, find(name, version));
  if (entry.pinned) {
    return fail(Code::already_exists, entry.name + " " + entry.label() +
                                          " is pinned; first: deepmoat model unpin " + entry.name);
  }
  if (in_use && in_use(entry)) {
    return fail(Code::already_exists, entry.name + " " + entry.label() +
                                          " is in use; first take it out of the configuration or "
                                          "unload it");
  }
  CHECK_OK(database_.erase_model(entry.name, entry.number));
  std::error_code error;
  std::filesystem::remove(entry.file, error);
  if (error) {
    return fail(Code::io, "the catalog forgot it, but its file stays: remove " +
                              entry.file.string() + ": " + error.message());
  }
  std::filesystem::remove(entry.file.parent_path(), error);  // when it was the last one
  return entry;
}

}  // namespace deepmoat::catalog
