// The monthly report as a document: sections of paragraphs and tables with all their words, before
// anything decides how they look. report_html and report_pdf draw the same document, so both say
// the same. Texts are still as they came from outside: who draws them escapes them.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "review/report.h"

namespace deepmoat::review {

struct Paragraph {
  std::string text;
  bool quiet = false;  // a remark
};

// A line of a list of names and values.
struct Fact {
  std::string label;
  std::string value;
  bool code = false;  // in a typewriter face
};

struct KeyNumber {
  std::string label;
  std::string value;
  std::string detail;
  double weight = 1;  // share of the width
};

enum class ColumnKind : std::uint8_t { text, code, number, bar };

struct Column {
  std::string heading;
  ColumnKind kind = ColumnKind::text;
  double weight = 1;  // share of the width on paper
};

// Parts of the longest bar of a table, 0 to 1 each and in all. The order of the colours.
struct OutcomeBar {
  double succeeded = 0;
  double refused = 0;
  double failed = 0;
  double cancelled = 0;
};

struct Row {
  std::vector<std::string> cells;  // one a column; that of a bar is empty
  OutcomeBar bar;
};

struct Table {
  std::string caption;  // may be empty
  std::vector<Column> columns;
  std::vector<Row> rows;
};

// What the colours of the bars mean, after a sentence.
struct Legend {
  std::string lead;
  std::string succeeded;
  std::string refused;
  std::string failed;
  std::string cancelled;
};

struct Finding {
  std::string heading;
  std::string subject;  // whom or what it is about; may be empty
  std::string sentence;
  std::string advice;
  std::string where;
  std::string command;
};

// Verbatim lines: a command, a signed note.
struct Verbatim {
  std::string label;  // for who cannot see it; not drawn
  std::string text;
};

// Lines to be filled in by hand.
struct SignatureLines {
  std::vector<std::string> labels;
};

using Block =
    std::variant<Paragraph, Table, Legend, std::vector<Finding>, Verbatim, SignatureLines>;

struct Section {
  std::string id;  // of ours, fit for an attribute
  std::string heading;
  std::vector<Block> blocks;
};

struct Document {
  std::string language_tag;
  std::string title;
  std::string month;
  std::string remark;  // may be empty
  std::vector<Fact> facts;
  std::vector<KeyNumber> numbers;
  std::vector<Section> sections;
};

// Every row of the report is in it. Pure; any thread.
[[nodiscard]] Document report_document(const MonthlyReport& report, Language language);

}  // namespace deepmoat::review
