#include "review/report_html.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

#include "base/printable.h"
#include "review/report_document.h"
#include "review/report_style.h"

namespace deepmoat::review {

namespace {

// Fit for element content and for quoted attributes.
std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// Line ends are the only control characters that stay.
std::string escaped_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    out += escaped(text.substr(0, end));
    if (end == std::string_view::npos) {
      break;
    }
    out += '\n';
    text.remove_prefix(end + 1);
  }
  return out;
}

// Writes blocks one after another. What goes into `out_` by append() with a plain argument is
// ours; what comes from the document goes through escaped().
class Page {
 public:
  std::string page(const Document& document) {
    append(R"(<!doctype html>
<html lang="{}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{} · {}</title>
<style>
{}</style>
</head>
<body>
<header>
)",
           escaped(document.language_tag), escaped(document.title), escaped(document.month),
           kReportStyle);
    head(document);
    append("</header>\n<main>\n");
    for (const Section& section : document.sections) {
      append("<section aria-labelledby=\"{0}\">\n<h2 id=\"{0}\">{1}</h2>\n", escaped(section.id),
             escaped(section.heading));
      for (const Block& block : section.blocks) {
        std::visit([&](const auto& one) { write(one); }, block);
      }
      append("</section>\n");
    }
    append("</main>\n</body>\n</html>\n");
    return std::move(out_);
  }

 private:
  template <class... Values>
  void append(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Values>(values)...);
  }

  void head(const Document& document) {
    append("<h1>{}<span class=\"month\">{}</span></h1>\n", escaped(document.title),
           escaped(document.month));
    if (!document.remark.empty()) {
      append("<p class=\"remark\">{}</p>\n", escaped(document.remark));
    }
    append("<dl class=\"facts\">\n");
    for (const Fact& fact : document.facts) {
      append("<div><dt>{}</dt><dd{}>{}</dd></div>\n", escaped(fact.label),
             fact.code ? " class=\"code\"" : "", escaped(fact.value));
    }
    append("</dl>\n<dl class=\"numbers\">\n");
    for (const KeyNumber& number : document.numbers) {
      append("<div><dt>{}</dt><dd><strong>{}</strong><span>{}</span></dd></div>\n",
             escaped(number.label), escaped(number.value), escaped(number.detail));
    }
    append("</dl>\n");
  }

  void write(const Paragraph& paragraph) {
    append("<p{}>{}</p>\n", paragraph.quiet ? " class=\"quiet\"" : "", escaped(paragraph.text));
  }

  void write(const Legend& legend) {
    append("<p class=\"quiet legend\">{}", escaped(legend.lead));
    append(" <span><i class=\"ok\"></i>{}</span>", escaped(legend.succeeded));
    append(" <span><i class=\"refused\"></i>{}</span>", escaped(legend.refused));
    append(" <span><i class=\"failed\"></i>{}</span>", escaped(legend.failed));
    append(" <span><i class=\"cancelled\"></i>{}</span></p>\n", escaped(legend.cancelled));
  }

  void write(const std::vector<Finding>& findings) {
    append("<ol class=\"findings\">\n");
    for (const Finding& finding : findings) {
      append("<li>\n<h3>{}", escaped(finding.heading));
      if (!finding.subject.empty()) {
        append(" <code>{}</code>", escaped(finding.subject));
      }
      append("</h3>\n<p>{}</p>\n<p>{}</p>\n<p class=\"quiet\">{}</p>\n<pre>\n{}</pre>\n</li>\n",
             escaped(finding.sentence), escaped(finding.advice), escaped(finding.where),
             escaped(finding.command));
    }
    append("</ol>\n");
  }

  void write(const Verbatim& verbatim) {
    // A parser drops one line end behind <pre>.
    append("<pre role=\"group\" aria-label=\"{}\">\n{}</pre>\n", escaped(verbatim.label),
           escaped_lines(verbatim.text));
  }

  void write(const SignatureLines& lines) {
    append("<dl class=\"signature\">\n");
    for (const std::string& label : lines.labels) {
      append("<div><dt>{}</dt><dd></dd></div>\n", escaped(label));
    }
    append("</dl>\n");
  }

  void write(const Table& table) {
    append("<div class=\"table\">\n<table>\n");
    if (!table.caption.empty()) {
      append("<caption>{}</caption>\n", escaped(table.caption));
    }
    write_widths(table);
    append("<thead><tr>");
    for (const Column& column : table.columns) {
      append("<th scope=\"col\"{}>{}</th>", column.kind == ColumnKind::code ? "" : class_of(column),
             escaped(column.heading));
    }
    append("</tr></thead>\n<tbody>\n");
    for (const Row& row : table.rows) {
      append("<tr>");
      for (std::size_t i = 0; i < table.columns.size(); ++i) {
        write_cell(table.columns[i], row, i);
      }
      append("</tr>\n");
    }
    append("</tbody>\n</table>\n</div>\n");
  }

  // Fixed, so that a long word is broken in its own column.
  void write_widths(const Table& table) {
    double weights = 0;
    for (const Column& column : table.columns) {
      weights += column.weight;
    }
    append("<colgroup>");
    for (const Column& column : table.columns) {
      append("<col style=\"width:{:.1f}%\">", 100 * column.weight / weights);
    }
    append("</colgroup>\n");
  }

  void write_cell(const Column& column, const Row& row, std::size_t at) {
    if (column.kind == ColumnKind::bar) {
      append("<td class=\"bar\">");
      write_bar(row.bar);
      append("</td>");
    } else if (at == 0) {
      append("<th scope=\"row\"{}>{}</th>", class_of(column), escaped(row.cells[at]));
    } else {
      append("<td{}>{}</td>", class_of(column), escaped(row.cells[at]));
    }
  }

  static std::string_view class_of(const Column& column) {
    switch (column.kind) {
      case ColumnKind::number:
        return " class=\"number\"";
      case ColumnKind::code:
        return " class=\"code\"";
      case ColumnKind::bar:
        return " class=\"bar\"";
      case ColumnKind::text:
        return "";
    }
    return "";
  }

  // The figures stand in the same row, so a screen reader passes over the picture.
  void write_bar(const OutcomeBar& bar) {
    append("<svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    double at = 0;
    const auto part = [&](std::string_view name, double share) {
      if (share > 0) {
        append("<rect class=\"{}\" x=\"{:.2f}\" width=\"{:.2f}\" height=\"8\"/>", name, 100 * at,
               100 * share);
      }
      at += share;
    };
    part("ok", bar.succeeded);
    part("refused", bar.refused);
    part("failed", bar.failed);
    part("cancelled", bar.cancelled);
    append("</svg>");
  }

  std::string out_;
};

}  // namespace

std::string report_html(const MonthlyReport& report, Language language) {
  return Page().page(report_document(report, language));
}

}  // namespace deepmoat::review
