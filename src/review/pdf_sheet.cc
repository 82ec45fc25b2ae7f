#include "review/pdf_sheet.h"

#include <cairo-pdf.h>
#include <fmt/format.h>
#include <fontconfig/fontconfig.h>
#include <pango/pangocairo.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/printable.h"
#include "review/report_text.h"

namespace deepmoat::review {

namespace {

struct Free {
  void operator()(cairo_surface_t* surface) const { cairo_surface_destroy(surface); }
  void operator()(cairo_t* context) const { cairo_destroy(context); }
  void operator()(PangoFontMap* map) const { g_object_unref(map); }
  void operator()(PangoContext* context) const { g_object_unref(context); }
  void operator()(PangoLayout* layout) const { g_object_unref(layout); }
  void operator()(PangoFontDescription* font) const { pango_font_description_free(font); }
  void operator()(PangoLayoutIter* iterator) const { pango_layout_iter_free(iterator); }
  void operator()(PangoAttrList* attributes) const { pango_attr_list_unref(attributes); }
  void operator()(FcPattern* pattern) const { FcPatternDestroy(pattern); }
  void operator()(FcCharSet* set) const { FcCharSetDestroy(set); }
  void operator()(FcObjectSet* set) const { FcObjectSetDestroy(set); }
  void operator()(FcFontSet* set) const { FcFontSetDestroy(set); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

double points(int pango_units) {
  return static_cast<double>(pango_units) / PANGO_SCALE;
}

// The families that tools/packages.txt brings, then what else a machine may have.
const char* families(Face face) {
  return face == Face::mono
             ? "DejaVu Sans Mono, WenQuanYi Micro Hei Mono, Noto Sans Mono CJK SC, monospace"
             : "DejaVu Sans Condensed, WenQuanYi Micro Hei, Noto Sans CJK SC, sans-serif";
}

Owned<PangoFontDescription> font_of(const TextStyle& style) {
  Owned<PangoFontDescription> font(pango_font_description_new());
  pango_font_description_set_family_static(font.get(), families(style.face));
  pango_font_description_set_absolute_size(font.get(), std::round(style.points * PANGO_SCALE));
  if (style.face == Face::bold) {
    pango_font_description_set_weight(font.get(), PANGO_WEIGHT_BOLD);
  }
  if (style.face != Face::mono) {
    pango_font_description_set_stretch(font.get(), PANGO_STRETCH_CONDENSED);
  }
  return font;
}

std::string_view first_character(std::string_view text) {
  const auto next = g_utf8_next_char(text.data());
  return text.substr(0, static_cast<std::size_t>(next - text.data()));
}

cairo_status_t append_bytes(void* out, const unsigned char* data, unsigned int size) {
  static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(data), size);
  return CAIRO_STATUS_SUCCESS;
}

}  // namespace

struct LaidOut::Parts {
  Owned<PangoLayout> layout;
  Color color;
  double width = 0;
};

LaidOut::LaidOut(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
LaidOut::~LaidOut() = default;
LaidOut::LaidOut(LaidOut&&) noexcept = default;
LaidOut& LaidOut::operator=(LaidOut&&) noexcept = default;

struct Sheets::Parts {
  std::string out;  // before the surface, which writes to it until it is destroyed
  Owned<cairo_surface_t> surface;
  Owned<cairo_t> cairo;
  Owned<PangoFontMap> fonts;
  Owned<PangoContext> context;
  std::map<std::string, bool, std::less<>> known;  // characters: whether a font has them
  bool draws = true;
  std::size_t count = 1;

  [[nodiscard]] Owned<PangoLayout> layout(std::string_view text, const TextStyle& style) const {
    Owned<PangoLayout> made(pango_layout_new(context.get()));
    pango_layout_set_font_description(made.get(), font_of(style).get());
    pango_layout_set_text(made.get(), text.data(), static_cast<int>(text.size()));
    const Owned<PangoAttrList> attributes(pango_attr_list_new());
    pango_attr_list_insert(attributes.get(), pango_attr_insert_hyphens_new(FALSE));
    pango_layout_set_attributes(made.get(), attributes.get());
    return made;
  }

  bool is_known(std::string_view character, const TextStyle& style) {
    const auto found = known.find(character);
    if (found != known.end()) {
      return found->second;
    }
    const Owned<PangoLayout> alone = layout(character, style);
    const bool there = pango_layout_get_unknown_glyphs_count(alone.get()) == 0;
    return known.emplace(character, there).first->second;
  }

  std::string with_numbers_for_unknown(std::string_view text, const TextStyle& style) {
    std::string out_text;
    while (!text.empty()) {
      const std::string_view character = first_character(text);
      if (is_known(character, style)) {
        out_text += character;
      } else {
        out_text += fmt::format("U+{:04X}", g_utf8_get_char(character.data()));
      }
      text.remove_prefix(character.size());
    }
    return out_text;
  }
};

Sheets::Sheets(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Sheets::~Sheets() = default;
Sheets::Sheets(Sheets&&) noexcept = default;
Sheets& Sheets::operator=(Sheets&&) noexcept = default;

Result<Sheets> Sheets::make(const SheetMeta& meta, bool draws) {
  auto parts = std::make_unique<Parts>();
  parts->draws = draws;
  parts->surface.reset(
      cairo_pdf_surface_create_for_stream(append_bytes, &parts->out, kWidth, kHeight));
  if (cairo_surface_status(parts->surface.get()) != CAIRO_STATUS_SUCCESS) {
    return fail(Code::internal, "cairo made no PDF");
  }
  const auto set = [&](cairo_pdf_metadata_t what, const std::string& text) {
    cairo_pdf_surface_set_metadata(parts->surface.get(), what, printable(text).c_str());
  };
  set(CAIRO_PDF_METADATA_TITLE, meta.title);
  set(CAIRO_PDF_METADATA_AUTHOR, meta.author);
  set(CAIRO_PDF_METADATA_CREATOR, "Deepmoat");
  set(CAIRO_PDF_METADATA_CREATE_DATE, iso_text(meta.made_ms));
  parts->cairo.reset(cairo_create(parts->surface.get()));
  // A font map of its own: the default one belongs to a thread and remembers the fonts it has seen.
  parts->fonts.reset(pango_cairo_font_map_new());
  parts->context.reset(pango_font_map_create_context(parts->fonts.get()));
  pango_context_set_language(parts->context.get(),
                             pango_language_from_string(meta.language_tag.c_str()));
  pango_context_set_base_dir(parts->context.get(), PANGO_DIRECTION_LTR);
  pango_context_set_round_glyph_positions(parts->context.get(), FALSE);
  pango_cairo_context_set_resolution(parts->context.get(), 72);
  pango_cairo_update_context(parts->cairo.get(), parts->context.get());
  return Sheets(std::move(parts));
}

LaidOut Sheets::lay_out(std::string_view text, const TextStyle& style, double width) {
  std::string shown = printable(text);
  auto parts = std::make_unique<LaidOut::Parts>();
  parts->layout = parts_->layout(shown, style);
  parts->color = style.color;
  parts->width = width;
  PangoLayout* layout = parts->layout.get();
  if (pango_layout_get_unknown_glyphs_count(layout) > 0) {
    shown = parts_->with_numbers_for_unknown(shown, style);
    pango_layout_set_text(layout, shown.data(), static_cast<int>(shown.size()));
  }
  pango_layout_set_auto_dir(layout, FALSE);  // an Arabic name stays in its column
  pango_layout_set_width(layout, static_cast<int>(width * PANGO_SCALE));
  pango_layout_set_alignment(layout,
                             style.align == Align::right ? PANGO_ALIGN_RIGHT : PANGO_ALIGN_LEFT);
  pango_layout_set_line_spacing(layout, static_cast<float>(style.line_space));
  if (style.overflow == Overflow::ellipsis) {
    pango_layout_set_ellipsize(layout, PANGO_ELLIPSIZE_END);
    pango_layout_set_single_paragraph_mode(layout, TRUE);
  } else {
    pango_layout_set_wrap(layout, PANGO_WRAP_WORD_CHAR);
  }
  LaidOut made(std::move(parts));
  const Owned<PangoLayoutIter> line(pango_layout_get_iter(layout));
  do {
    PangoRectangle box;
    pango_layout_iter_get_line_extents(line.get(), nullptr, &box);
    made.drawn_width_ = std::max(made.drawn_width_, points(box.width));
    made.lines_.push_back(points(box.height) * style.line_space);
  } while (pango_layout_iter_next_line(line.get()) != FALSE);
  PangoRectangle whole;
  pango_layout_get_extents(layout, nullptr, &whole);
  made.height_ = points(whole.height);
  made.baseline_ = points(pango_layout_get_baseline(layout));
  return made;
}

void Sheets::draw(const LaidOut& text, double x, double y) {
  if (!parts_->draws) {
    return;
  }
  cairo_t* cairo = parts_->cairo.get();
  const Color& color = text.parts_->color;
  cairo_set_source_rgb(cairo, color.red, color.green, color.blue);
  cairo_move_to(cairo, x, y);
  pango_cairo_show_layout(cairo, text.parts_->layout.get());
}

void Sheets::draw_clipped(const LaidOut& text, double x, double y, double height) {
  if (!parts_->draws) {
    return;
  }
  cairo_t* cairo = parts_->cairo.get();
  cairo_save(cairo);
  cairo_rectangle(cairo, x - 1, y, text.parts_->width + 2, height);
  cairo_clip(cairo);
  draw(text, x, y);
  cairo_restore(cairo);
}

void Sheets::draw_line(const LaidOut& text, std::size_t line, double x, double y) {
  if (!parts_->draws) {
    return;
  }
  cairo_t* cairo = parts_->cairo.get();
  const Color& color = text.parts_->color;
  cairo_set_source_rgb(cairo, color.red, color.green, color.blue);
  const Owned<PangoLayoutIter> at(pango_layout_get_iter(text.parts_->layout.get()));
  for (std::size_t i = 0; i < line; ++i) {
    pango_layout_iter_next_line(at.get());
  }
  PangoRectangle box;
  pango_layout_iter_get_line_extents(at.get(), nullptr, &box);
  const double baseline = points(pango_layout_iter_get_baseline(at.get()) - box.y);
  cairo_move_to(cairo, x + points(box.x), y + baseline);
  pango_cairo_show_layout_line(cairo, pango_layout_iter_get_line_readonly(at.get()));
}

void Sheets::fill(double x, double y, double width, double height, const Color& color) {
  if (!parts_->draws) {
    return;
  }
  cairo_t* cairo = parts_->cairo.get();
  cairo_set_source_rgb(cairo, color.red, color.green, color.blue);
  cairo_rectangle(cairo, x, y, width, height);
  cairo_fill(cairo);
}

void Sheets::outline(std::string_view title, double y) {
  if (!parts_->draws) {
    return;
  }
  const std::string target = fmt::format("page={} pos=[0 {:.1f}]", parts_->count, y);
  cairo_pdf_surface_add_outline(parts_->surface.get(), CAIRO_PDF_OUTLINE_ROOT,
                                printable(title).c_str(), target.c_str(),
                                static_cast<cairo_pdf_outline_flags_t>(0));
}

void Sheets::next_sheet() {
  ++parts_->count;
  if (parts_->draws) {
    cairo_show_page(parts_->cairo.get());
  }
}

std::size_t Sheets::count() const {
  return parts_->count;
}

Result<std::string> Sheets::finish() {
  if (!parts_->draws) {
    return std::string();
  }
  cairo_show_page(parts_->cairo.get());
  cairo_surface_finish(parts_->surface.get());
  for (const cairo_status_t status :
       {cairo_status(parts_->cairo.get()), cairo_surface_status(parts_->surface.get())}) {
    if (status != CAIRO_STATUS_SUCCESS) {
      return fail(Code::internal, fmt::format("PDF: {}", cairo_status_to_string(status)));
    }
  }
  return std::move(parts_->out);
}

bool a_font_covers(std::string_view text) {
  const Owned<FcCharSet> characters(FcCharSetCreate());
  const std::string shown = printable(text);
  for (std::string_view rest = shown; !rest.empty();) {
    const std::string_view character = first_character(rest);
    FcCharSetAddChar(characters.get(), g_utf8_get_char(character.data()));
    rest.remove_prefix(character.size());
  }
  const Owned<FcPattern> wanted(FcPatternCreate());
  FcPatternAddCharSet(wanted.get(), FC_CHARSET, characters.get());
  FcPatternAddBool(wanted.get(), FC_SCALABLE, FcTrue);
  const Owned<FcObjectSet> fields(FcObjectSetBuild(FC_FAMILY, nullptr));
  const Owned<FcFontSet> found(FcFontList(nullptr, wanted.get(), fields.get()));
  return found && found->nfont > 0;
}

}  // namespace deepmoat::review
