#include "review/report_pdf.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/printable.h"
#include "review/pdf_sheet.h"
#include "review/report_document.h"
#include "review/report_text.h"

namespace deepmoat::review {

namespace {

constexpr double kLeft = 51;
constexpr double kTop = 54;
constexpr double kBottom = Sheets::kHeight - 62;  // of the content; the foot stands below
constexpr double kContentWidth = Sheets::kWidth - 2 * kLeft;
constexpr double kColumnGap = 8;
constexpr double kRowPadding = 3;

constexpr double kMonoAdvance = 0.603;  // of a character in the typewriter face, in ems
constexpr double kCodePointsMin = 6;

constexpr Color kInk{0.10, 0.14, 0.18};
constexpr Color kQuiet{0.36, 0.40, 0.45};
constexpr Color kLine{0.84, 0.86, 0.88};
constexpr Color kTint{0.955, 0.965, 0.973};
constexpr Color kSucceeded{0.247, 0.380, 0.518};
constexpr Color kRefused{0.816, 0.604, 0.227};
constexpr Color kFailed{0.690, 0.282, 0.294};
constexpr Color kCancelled{0.667, 0.706, 0.749};

constexpr TextStyle kBody{.points = 9, .color = kInk};
constexpr TextStyle kSmall{.points = 8, .color = kQuiet};
constexpr TextStyle kCode{.points = 7.5, .color = kInk, .face = Face::mono};
constexpr TextStyle kQuietCode{.points = 8, .color = kQuiet, .face = Face::mono};
constexpr TextStyle kCell{.points = 7.8, .color = kInk, .line_space = 1.15};
constexpr TextStyle kCodeCell{.points = 6.9, .color = kInk, .face = Face::mono, .line_space = 1.2};
constexpr TextStyle kHeadCell{.points = 7.2, .color = kQuiet, .line_space = 1.1};

std::string cut(std::string_view text) {
  std::size_t characters = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(text[at]) & 0xc0U) != 0x80;
    if (begins && ++characters > kPdfCellCharactersMax) {
      return std::string(text.substr(0, at)) + "…";
    }
  }
  return std::string(text);
}

TextStyle cell_style(ColumnKind kind) {
  TextStyle style = kind == ColumnKind::code ? kCodeCell : kCell;
  style.align = kind == ColumnKind::number ? Align::right : Align::left;
  return style;
}

// Sets the document from top to bottom. Run twice: once to count the pages, once to draw them.
class Setter {
 public:
  Setter(Sheets& sheets, const Document& document, std::size_t pages)
      : sheets_(sheets), document_(document), pages_(pages) {}

  void set() {
    head();
    for (const Section& section : document_.sections) {
      heading(section.heading);
      for (const Block& block : section.blocks) {
        std::visit([&](const auto& one) { write(one); }, block);
      }
    }
    foot();
  }

 private:
  void foot() {
    const double y = Sheets::kHeight - 40;
    TextStyle style = kSmall;
    style.points = 7.2;
    style.overflow = Overflow::ellipsis;
    const std::string name =
        fmt::format("{} · {} · {}", document_.title, document_.month, document_.facts[0].value);
    sheets_.draw(sheets_.lay_out(name, style, kContentWidth - 60), kLeft, y);
    style.align = Align::right;
    const std::string number = fmt::format("{} / {}", sheets_.count(), pages_);
    sheets_.draw(sheets_.lay_out(number, style, 50), kLeft + kContentWidth - 50, y);
  }

  void turn_page() {
    foot();
    sheets_.next_sheet();
    y_ = kTop;
  }

  void need(double height) {
    if (y_ + height > kBottom && y_ > kTop) {
      turn_page();
    }
  }

  // Text that may go on over pages, line by line.
  void flow(std::string_view text, const TextStyle& style, double x, double width) {
    const LaidOut laid = sheets_.lay_out(text, style, width);
    for (std::size_t i = 0; i < laid.lines().size(); ++i) {
      const double height = laid.lines()[i];
      need(height);
      sheets_.draw_line(laid, i, x, y_);
      y_ += height;
    }
  }

  void head() {
    flow(document_.title, {.points = 22, .color = kInk}, kLeft, kContentWidth);
    flow(document_.month, {.points = 13, .color = kQuiet}, kLeft, kContentWidth);
    y_ += 14;
    if (!document_.remark.empty()) {
      const double top = y_;
      flow(document_.remark, kBody, kLeft + 9, kContentWidth - 9);
      sheets_.fill(kLeft, top, 2, y_ - top, kRefused);
      y_ += 10;
    }
    for (const Fact& fact : document_.facts) {
      const LaidOut label = sheets_.lay_out(fact.label, kSmall, 110);
      const TextStyle& style = fact.code ? kCode : kBody;
      const LaidOut value = sheets_.lay_out(cut(fact.value), style, kContentWidth - 118);
      const double baseline = std::max(label.baseline(), value.baseline());
      need(std::max(label.height(), value.height()) + 3);
      sheets_.draw(label, kLeft, y_ + baseline - label.baseline());
      sheets_.draw(value, kLeft + 118, y_ + baseline - value.baseline());
      y_ += std::max(label.height(), value.height()) + 3;
    }
    y_ += 14;
    numbers();
  }

  void numbers() {
    constexpr double kGap = 12;
    double room = kContentWidth + kGap;
    double weights = 0;
    for (const KeyNumber& number : document_.numbers) {
      weights += number.weight;
      room -= kGap;
    }
    sheets_.fill(kLeft, y_, kContentWidth, 0.8, kInk);
    y_ += 9;
    double low = y_;
    double x = kLeft;
    TextStyle quiet = kSmall;
    quiet.points = 7.5;
    for (const KeyNumber& number : document_.numbers) {
      const double width = room * number.weight / weights;
      double y = y_;
      const auto put = [&](const std::string& text, const TextStyle& style) {
        const LaidOut laid = sheets_.lay_out(text, style, width);
        sheets_.draw(laid, x, y);
        y += laid.height();
      };
      put(number.label, quiet);
      put(number.value, {.points = 17, .color = kInk, .line_space = 1.15});
      put(number.detail, quiet);
      low = std::max(low, y);
      x += width + kGap;
    }
    y_ = low + 9;
    sheets_.fill(kLeft, y_, kContentWidth, 0.4, kLine);
  }

  void heading(const std::string& text) {
    y_ += 26;
    need(110);
    sheets_.outline(text, y_);
    flow(text, {.points = 14, .color = kInk}, kLeft, kContentWidth);
    y_ += 5;
  }

  void write(const Paragraph& paragraph) {
    flow(paragraph.text, paragraph.quiet ? kSmall : kBody, kLeft, kContentWidth);
    y_ += 5;
  }

  void write(const Legend& legend) {
    const LaidOut lead = sheets_.lay_out(legend.lead, kSmall, kContentWidth);
    need(lead.height());
    sheets_.draw(lead, kLeft, y_);
    double x = kLeft + lead.drawn_width() + 10;
    const auto part = [&](const Color& color, const std::string& text) {
      const LaidOut name = sheets_.lay_out(text, kSmall, kContentWidth);
      sheets_.fill(x, y_ + 2.4, 6.5, 6.5, color);
      sheets_.draw(name, x + 10, y_);
      x += name.drawn_width() + 22;
    };
    part(kSucceeded, legend.succeeded);
    part(kRefused, legend.refused);
    part(kFailed, legend.failed);
    part(kCancelled, legend.cancelled);
    y_ += lead.height() + 4;
  }

  void write(const std::vector<Finding>& findings) {
    y_ += 4;
    for (const Finding& finding : findings) {
      need(86);
      const double x = kLeft + 10;
      const double width = kContentWidth - 10;
      sheets_.fill(kLeft, y_ + 2.6, 4, 6.4, kRefused);
      finding_heading(finding, x, width);
      flow(finding.sentence, kBody, x, width);
      flow(finding.advice, kBody, x, width);
      y_ += 1;
      flow(finding.where, kSmall, x, width);
      y_ += 3;
      verbatim(finding.command, x, width);
      y_ += 11;
    }
    y_ -= 6;
  }

  // The subject stands beside the heading where it fits.
  void finding_heading(const Finding& finding, double x, double width) {
    const TextStyle style{.points = 9.5, .color = kInk, .face = Face::bold};
    const LaidOut name = sheets_.lay_out(finding.heading, style, width);
    const LaidOut subject = sheets_.lay_out(finding.subject, kQuietCode, width);
    const double beside = name.drawn_width() + 8;
    const bool fits = subject.lines().size() == 1 && beside + subject.drawn_width() < width;
    if (fits) {
      sheets_.draw(subject, x + beside, y_ + name.baseline() - subject.baseline());
    }
    sheets_.draw(name, x, y_);
    y_ += name.height() + 4;
    if (!fits) {
      flow(finding.subject, kQuietCode, x, width);
    }
  }

  void write(const Verbatim& text) {
    y_ += 2;
    verbatim(text.text, kLeft, kContentWidth);
    y_ += 8;
  }

  // Lines on a tint, which is drawn line by line too: it may go on over pages.
  void verbatim(std::string_view text, double x, double width) {
    while (text.ends_with('\n')) {
      text.remove_suffix(1);
    }
    const TextStyle style = fitting(text, width - 14);
    tint(x, width, 5);
    for (bool more = true; more;) {
      const std::size_t end = text.find('\n');
      const LaidOut laid = sheets_.lay_out(text.substr(0, end), style, width - 14);
      for (std::size_t i = 0; i < laid.lines().size(); ++i) {
        const double height = laid.lines()[i];
        need(height + 5);
        sheets_.fill(x, y_, width, height, kTint);
        sheets_.draw_line(laid, i, x + 7, y_);
        y_ += height;
      }
      more = end != std::string_view::npos;
      text.remove_prefix(more ? end + 1 : text.size());
    }
    tint(x, width, 5);
  }

  // Somewhat smaller where that keeps the signatures of a note on one line each.
  TextStyle fitting(std::string_view text, double width) {
    TextStyle style = kCode;
    std::size_t longest = 0;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      longest = std::max(longest, end - begin);
      begin = end + 1;
    }
    const double wanted = width / (kMonoAdvance * static_cast<double>(std::max(longest, 1UL)));
    if (wanted >= kCodePointsMin) {
      style.points = std::min(style.points, wanted);
    }
    return style;
  }

  void tint(double x, double width, double height) {
    need(height);
    sheets_.fill(x, y_, width, height, kTint);
    y_ += height;
  }

  void write(const SignatureLines& lines) {
    y_ += 44;
    need(30);
    const double gap = 24;
    const double count = static_cast<double>(lines.labels.size());
    const double width = (kContentWidth - gap * (count - 1)) / count;
    double x = kLeft;
    double low = y_;
    for (const std::string& label : lines.labels) {
      sheets_.fill(x, y_, width, 0.6, kInk);
      const LaidOut laid = sheets_.lay_out(label, kSmall, width);
      sheets_.draw(laid, x, y_ + 4);
      low = std::max(low, y_ + 4 + laid.height());
      x += width + gap;
    }
    y_ = low;
  }

  struct Box {
    double x = 0;
    double width = 0;
  };

  static std::vector<Box> boxes_of(const Table& table) {
    double weights = 0;
    for (const Column& column : table.columns) {
      weights += column.weight;
    }
    const double gaps = kColumnGap * static_cast<double>(table.columns.size() - 1);
    std::vector<Box> boxes;
    double x = kLeft;
    for (const Column& column : table.columns) {
      const double width = (kContentWidth - gaps) * column.weight / weights;
      boxes.push_back({.x = x, .width = width});
      x += width + kColumnGap;
    }
    return boxes;
  }

  void write(const Table& table) {
    const std::vector<Box> boxes = boxes_of(table);
    y_ += 4;
    if (!table.caption.empty()) {
      need(60);
      flow(table.caption, {.points = 9.5, .color = kInk, .face = Face::bold}, kLeft, kContentWidth);
      y_ += 4;
    }
    need(44);
    table_head(table, boxes);
    for (const Row& row : table.rows) {
      table_row(table, row, boxes);
    }
    y_ += 9;
  }

  // Headings stand on the line below them.
  void table_head(const Table& table, const std::vector<Box>& boxes) {
    std::vector<LaidOut> cells;
    double height = 0;
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      TextStyle style = kHeadCell;
      style.align = table.columns[i].kind == ColumnKind::number ? Align::right : Align::left;
      cells.push_back(sheets_.lay_out(table.columns[i].heading, style, boxes[i].width));
      height = std::max(height, cells.back().height());
    }
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      sheets_.draw(cells[i], boxes[i].x, y_ + height - cells[i].height());
    }
    y_ += height + kRowPadding;
    sheets_.fill(kLeft, y_, kContentWidth, 0.6, kQuiet);
  }

  void table_row(const Table& table, const Row& row, const std::vector<Box>& boxes) {
    std::vector<LaidOut> cells;
    double baseline = 0;
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      cells.push_back(
          sheets_.lay_out(cut(row.cells[i]), cell_style(table.columns[i].kind), boxes[i].width));
      baseline = std::max(baseline, cells.back().baseline());
    }
    double height = 0;
    for (const LaidOut& cell : cells) {
      height = std::max(height, cell.height() + baseline - cell.baseline());
    }
    const double whole = height + 2 * kRowPadding;
    if (y_ + whole > kBottom) {
      turn_page();
      table_head(table, boxes);
    }
    const double room = std::min(height, kBottom - y_ - 2 * kRowPadding);
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      if (table.columns[i].kind == ColumnKind::bar) {
        bar(row.bar, boxes[i]);
      } else {
        const double lower = baseline - cells[i].baseline();
        sheets_.draw_clipped(cells[i], boxes[i].x, y_ + kRowPadding + lower, room - lower);
      }
    }
    y_ += room + 2 * kRowPadding;
    sheets_.fill(kLeft, y_, kContentWidth, 0.4, kLine);
  }

  void bar(const OutcomeBar& bar, const Box& box) {
    double x = box.x;
    const auto part = [&](double share, const Color& color) {
      if (share > 0) {
        sheets_.fill(x, y_ + kRowPadding + 2.2, share * box.width, 5.4, color);
        x += share * box.width;
      }
    };
    part(bar.succeeded, kSucceeded);
    part(bar.refused, kRefused);
    part(bar.failed, kFailed);
    part(bar.cancelled, kCancelled);
  }

  Sheets& sheets_;
  const Document& document_;
  std::size_t pages_;
  double y_ = kTop;
};

Result<void> check_fonts(Language language) {
  std::string all;
  for (std::size_t i = 0; i < static_cast<std::size_t>(Word::end_); ++i) {
    all += words(static_cast<Word>(i), language);
  }
  if (a_font_covers(all)) {
    return {};
  }
  return fail(Code::unavailable,
              language == Language::chinese
                  ? "no font for a PDF in Chinese: install one, for example Debian's package "
                    "fonts-wqy-microhei, or make the report in English"
                  : "no font for a PDF: install one, for example Debian's package "
                    "fonts-dejavu-core");
}

}  // namespace

Result<std::string> report_pdf(const MonthlyReport& report, Language language) {
  CHECK_OK(check_fonts(language));
  const Document document = report_document(report, language);
  const SheetMeta meta{.title = fmt::format("{} · {}", document.title, document.month),
                       .author = report.origin,
                       .language_tag = document.language_tag,
                       .made_ms = report.made_ms};
  TRY(Sheets counted, Sheets::make(meta, false));
  Setter(counted, document, 0).set();
  TRY(Sheets drawn, Sheets::make(meta, true));
  Setter(drawn, document, counted.count()).set();
  return drawn.finish();
}

}  // namespace deepmoat::review
