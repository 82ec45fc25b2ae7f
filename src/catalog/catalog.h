// The imported models and adapters of an installation: which versions there are, where each came
// from, what was measured, and which one a name means. Files lie in DATA/models/NAME/.
// Blocking, and used from one thread at a time, like the database behind it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/database.h"

namespace deepmoat::catalog {

enum class Kind : std::uint8_t { model, adapter };
[[nodiscard]] std::string_view kind_name(Kind kind);

struct Provenance {
  std::string source;         // path or name that the import was given
  std::string source_sha256;  // of its bytes; of a folder: over its files (model import says how)
  std::string imported_by;    // "local:<uid>" or a client_id
  std::string tool;           // converter and quantiser with their commit; "copy" for neither
};

// One version of a model or an adapter. A version never changes but for `pinned`.
struct Entry {
  std::string name;         // [a-z0-9][a-z0-9._-]{0,62}
  std::int64_t number = 0;  // 1, 2, ... within the name; never used twice
  Kind kind = Kind::model;
  std::string sha256;          // of the file, 64 hex digits
  std::filesystem::path file;  // absolute
  std::uint64_t bytes = 0;
  std::string quantisation;  // "Q4_0", "BF16", ...: the type of most of its weights
  std::string architecture;  // "llama", "deepseek2", ...
  std::uint64_t parameters = 0;
  std::string task;  // "generate", "embed", "rerank"; what its head says
  std::string base;  // of an adapter: the name of the model that it fits
  Provenance provenance;
  std::string measurements = "{}";  // JSON: speed, perplexity, machine (docs/models.md)
  bool pinned = false;
  UnixMillis created_ms = 0;

  // The first 16 digits of the SHA-256: the version in audit records and answers.
  [[nodiscard]] std::string version() const { return sha256.substr(0, 16); }
  // What people write and read: "2-0123456789abcdef".
  [[nodiscard]] std::string label() const;
};

// Whether a version may not go away now (a worker serves it).
using InUse = std::function<bool(const Entry&)>;

class Catalog {
 public:
  // `folder`: DATA/models. REQUIRES: the database outlives the catalog.
  Catalog(store::Database& database, std::filesystem::path folder);

  // Gives the entry its number, and its place: the file `incoming` (which must lie in folder(),
  // so that it only changes its name) becomes NAME/NUMBER-VERSION.gguf. Code::already_exists when
  // the name has a version of this SHA-256: find it with by_digest().
  Result<Entry> add(Entry entry, const std::filesystem::path& incoming);

  // By name, then number.
  Result<std::vector<Entry>> list();
  // All versions of one name; Code::not_found when there are none.
  Result<std::vector<Entry>> versions(std::string_view name);

  // What a name means: `version` when given (a number, a label, or 8 digits or more of the
  // SHA-256), else the pinned one, else the newest. Code::not_found names what there is;
  // Code::invalid_argument for a version that fits several.
  Result<Entry> find(std::string_view name, std::string_view version = "");
  // The version of `name` with this SHA-256. Code::not_found.
  Result<Entry> by_digest(std::string_view name, std::string_view sha256);

  // Only this version is meant by the name from now on.
  Result<Entry> pin(std::string_view name, std::string_view version);
  // The newest is meant again.
  Result<> unpin(std::string_view name);

  // Erases row and file. Code::already_exists while it is pinned or in use (unpin, unload first).
  Result<Entry> remove(std::string_view name, std::string_view version, const InUse& in_use);

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  [[nodiscard]] Entry entry_of(const store::ModelRow& row) const;

  store::Database& database_;
  std::filesystem::path folder_;
};

// Code::invalid_argument naming the rule when `name` may not name a model.
[[nodiscard]] Result<> check_name(std::string_view name);

}  // namespace deepmoat::catalog
