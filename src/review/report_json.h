// The monthly report for programs.
#pragma once

#include <string>

#include "review/report.h"

namespace deepmoat::review {

// One JSON object: `object` = `audit.report`, `figures` (canonical_figures(), byte by byte, so that
// `figures_sha256` is its digest), `figures_sha256`, `made_ms`, `sign_offs`, `checkpoint`. Pure.
[[nodiscard]] std::string report_json(const MonthlyReport& report);

}  // namespace deepmoat::review
