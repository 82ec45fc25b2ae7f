// The monthly report as a page for a browser.
#pragma once

#include <string>

#include "review/report.h"

namespace deepmoat::review {

// One HTML5 page that needs nothing else: no script, no address outside, styles inside; its policy
// (CSP) forbids both. Every text of the report is escaped and without control characters, so none
// can make a tag or an attribute. All rows are on it. Pure; any thread.
[[nodiscard]] std::string report_html(const MonthlyReport& report, Language language);

}  // namespace deepmoat::review
