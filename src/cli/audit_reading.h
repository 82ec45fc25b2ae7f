// What the commands share that ask the audit log's index, beside a running server if there is one.
#pragma once

#include <CLI/CLI.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "cli/data_folder.h"
#include "review/audit_index.h"
#include "review/query.h"

namespace deepmoat::cli {

// From now on Ctrl-C and SIGTERM set this flag, and nothing else.
[[nodiscard]] const std::atomic<bool>& stop_on_signal();

// Brings the index up to the log's end, with a line of progress on a terminal. Code::cancelled
// after Ctrl-C.
[[nodiscard]] Result<std::uint64_t> catch_up(review::AuditIndex& index, const DataFolder& folder);

// Code::not_found for a folder without a log.
[[nodiscard]] Result<std::unique_ptr<review::AuditIndex>> open_index(const DataFolder& folder);
// The same, and caught up; says so where another process keeps it from that.
[[nodiscard]] Result<std::unique_ptr<review::AuditIndex>> open_current(const DataFolder& folder);

// Which records, as the command line says it.
struct FilterOptions {
  review::Filter filter = {};
  std::string person = {};
  std::string since = {};
  std::string until = {};
  std::string phase = "all";
};

void add_filter(CLI::App& command, FilterOptions& options);
// Code::invalid_argument names the option.
[[nodiscard]] Result<review::Filter> filter_of(const FilterOptions& options);

// From `since` to `until`, each as review::parse_time() takes it, or empty.
struct Span {
  std::optional<UnixMillis> since_ms;
  std::optional<UnixMillis> until_ms;
};

// Code::invalid_argument names the option, --since or --until.
[[nodiscard]] Result<Span> span_of(const std::string& since, const std::string& until);

// For an option that narrows something: of a shell's variable that is not set it would else make
// everything.
[[nodiscard]] CLI::Validator not_empty();

}  // namespace deepmoat::cli
