// The columns' texts and numbers. Pure.
#include "review/index_row.h"

#include <string_view>

namespace deepmoat::review {

namespace {

std::string listed(std::string_view before) {
  std::string text;
  IndexRow row;
  each_column(row, [&](std::string_view name, const auto&) {
    text.append(text.empty() ? "" : ", ").append(before).append(name);
  });
  return text;
}

}  // namespace

std::string column_names() {
  return listed("");
}

std::string column_parameters() {
  return listed(":");
}

void BoundIndexRow::write() {
  std::size_t number = 0;
  std::size_t name = 0;
  each_column(row, [&](const char*, auto& field) {
    using Field = std::remove_cvref_t<decltype(field)>;
    if constexpr (std::is_enum_v<Field>) {
      names_.at(name++) = name_of(field);
    } else if constexpr (std::is_integral_v<Field>) {
      numbers_.at(number++) = static_cast<long long>(field);
    }
  });
}

void BoundIndexRow::read() {
  std::size_t number = 0;
  std::size_t name = 0;
  each_column(row, [&](const char*, auto& field) {
    using Field = std::remove_cvref_t<decltype(field)>;
    if constexpr (std::is_enum_v<Field>) {
      set_from(names_.at(name++), field);
    } else if constexpr (std::is_integral_v<Field>) {
      field = static_cast<Field>(numbers_.at(number++));
    }
  });
}

}  // namespace deepmoat::review
