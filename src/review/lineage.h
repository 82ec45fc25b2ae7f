// What an answer was made with, and where that came from, as far as the audit log knows. The
// catalogue knows more of a version (its source and digest); whoever shows a lineage joins it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "review/audit_index.h"

namespace deepmoat::review {

// A call, and what answered it.
struct CallLineage {
  std::uint64_t sequence = 0;
  UnixMillis unix_ms = 0;
  std::string request_id;
  std::string tenant;
  std::string operator_id;
  std::string action;
  std::string outcome;  // "pending": it came to no result
  std::string route;
  std::string model;
  std::string model_version;  // first digits of the SHA-256 of its file
  std::string adapter;
  std::string adapter_version;
  std::string knowledge;  // snapshot of the knowledge base
};

// A record of `model.import` that brought a version into the installation.
struct ImportRecord {
  std::uint64_t sequence = 0;
  UnixMillis unix_ms = 0;
  std::string tenant;
  std::string operator_id;
  std::string resource;  // "qwen v1 sha256:..."
  std::string reason;    // what its intent says: who approved it
};

// A version of a model or an adapter.
struct VersionLineage {
  std::string version;  // as it was asked for
  std::vector<ImportRecord> imports;
  // Calls that used it: EXECUTE, with a result or without.
  std::uint64_t calls = 0;
  UnixMillis first_ms = 0;
  UnixMillis last_ms = 0;
  std::uint64_t first_sequence = 0;
  std::uint64_t last_sequence = 0;
};

// The calls of a request, in the log's order: one, unless the request's id was used again.
// Code::not_found when no call has it.
Result<std::vector<CallLineage>> lineage_of_request(AuditIndex& index, std::string_view request_id);

// `version`: the first 16 to 64 lower-case digits of the SHA-256 of a model's or an adapter's file,
// of which the log keeps 16 with a call and all with an import. Code::invalid_argument for anything
// else; a version that was never imported or used has an empty lineage. Code::unavailable while
// the index is not complete.
Result<VersionLineage> lineage_of_version(AuditIndex& index, const std::string& version);

}  // namespace deepmoat::review
