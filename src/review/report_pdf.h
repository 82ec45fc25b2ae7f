// The monthly report as a PDF, for the file and for a signature by hand.
#pragma once

#include <string>

#include "base/result.h"
#include "review/report.h"

namespace deepmoat::review {

// A text longer than this many characters is cut in a cell of a table, with "…", so that no row is
// higher than a page. Records hold no text that long. All rows are there.
inline constexpr std::size_t kPdfCellCharactersMax = 300;

// A4, one file with its fonts in it; the same content as report_html(). The date of the file is the
// report's `made_ms`, so equal reports make equal bytes on one machine.
// Code::unavailable: no font of this machine has the language's characters; the message names a
// package that does. Code::internal: cairo. Any thread. Needs memory for a copy of
// the report's texts and for the file.
[[nodiscard]] Result<std::string> report_pdf(const MonthlyReport& report, Language language);

}  // namespace deepmoat::review
