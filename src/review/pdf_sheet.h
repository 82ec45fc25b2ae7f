// A4 sheets of a PDF and text on them, by cairo and pango. Knows nothing of reports. All lengths
// are points (1/72 inch), y from the top.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace deepmoat::review {

struct Color {
  double red = 0;
  double green = 0;
  double blue = 0;
};

enum class Face : std::uint8_t { sans, bold, mono };
enum class Align : std::uint8_t { left, right };
enum class Overflow : std::uint8_t { wrap, ellipsis };  // ellipsis: one line

struct TextStyle {
  double points = 9;
  Color color;
  Face face = Face::sans;
  Align align = Align::left;
  Overflow overflow = Overflow::wrap;
  double line_space = 1.3;  // of the font's own line height
};

struct SheetMeta {
  std::string title;
  std::string author;
  std::string language_tag;  // BCP 47; decides which shapes of a character are taken
  UnixMillis made_ms = 0;
};

// A paragraph that was laid out for a width, and can be drawn line by line.
class LaidOut {
 public:
  ~LaidOut();
  LaidOut(LaidOut&&) noexcept;
  LaidOut& operator=(LaidOut&&) noexcept;

  [[nodiscard]] double height() const { return height_; }
  [[nodiscard]] double baseline() const { return baseline_; }  // of its first line, from the top
  [[nodiscard]] double drawn_width() const { return drawn_width_; }          // of its longest line
  [[nodiscard]] const std::vector<double>& lines() const { return lines_; }  // heights

 private:
  friend class Sheets;
  struct Parts;
  explicit LaidOut(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
  std::vector<double> lines_;
  double height_ = 0;
  double drawn_width_ = 0;
  double baseline_ = 0;
};

// Makes a PDF sheet by sheet. One thread at a time.
class Sheets {
 public:
  static constexpr double kWidth = 595.276;  // A4, 210 x 297 mm
  static constexpr double kHeight = 841.89;

  // `draws` false: everything is measured and counted, nothing drawn, finish() gives an empty text.
  // The clock of the machine is not read: equal calls make equal bytes with the same fonts.
  // Code::internal: cairo has no memory or no PDF.
  [[nodiscard]] static Result<Sheets> make(const SheetMeta& meta, bool draws);
  ~Sheets();
  Sheets(Sheets&&) noexcept;
  Sheets& operator=(Sheets&&) noexcept;

  // Control characters and bytes that are no UTF-8 become "?"; a character that no font of this
  // machine has becomes its number, "U+1F600", and never an empty box. Where a word is broken, no
  // hyphen is put in: it would read as part of a name.
  [[nodiscard]] LaidOut lay_out(std::string_view text, const TextStyle& style, double width);

  void draw(const LaidOut& text, double x, double y);
  // Cut off at `height` below y and at the width it was laid out for.
  void draw_clipped(const LaidOut& text, double x, double y, double height);
  void draw_line(const LaidOut& text, std::size_t line, double x, double y);
  void fill(double x, double y, double width, double height, const Color& color);
  // An entry of the outline that a viewer shows beside the pages, to here.
  void outline(std::string_view title, double y);

  void next_sheet();
  [[nodiscard]] std::size_t count() const;  // sheets begun

  // Ends the last sheet; nothing may be called after it.
  [[nodiscard]] Result<std::string> finish();

 private:
  struct Parts;
  explicit Sheets(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// Whether one font of this machine has every character of `text`, as fontconfig knows them.
[[nodiscard]] bool a_font_covers(std::string_view text);

}  // namespace deepmoat::review
