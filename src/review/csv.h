// Records as a table for a spreadsheet (RFC 4180).
#pragma once

#include <string>
#include <string_view>

#include "audit/record_json.h"

namespace deepmoat::review {

// A field as it stands in a line. Quoted where it has to be. A spreadsheet takes a text for a
// formula when it begins with = + - @, their full-width forms, a tab or a line end: such a text
// gets a ' in front, which shows that it is one. Control characters but tab and line ends become
// '?', and so do bytes that are no UTF-8: to see them ask for JSON.
[[nodiscard]] std::string csv_field(std::string_view text);

// Lines end with CR LF.
[[nodiscard]] std::string csv_header();
[[nodiscard]] std::string csv_row(const audit::Entry& entry);

}  // namespace deepmoat::review
