// The columns' texts and numbers. Pure.
#include "review/index_row.h"

#include <string_view>

namespace deepmoat::review {

namespace {

using audit::Operation;
using audit::Outcome;
using audit::Phase;

void set_from(std::string_view text, Phase& phase) {
  phase = text == phase_text(Phase::intent) ? Phase::intent : Phase::result;
}

void set_from(std::string_view text, Operation& operation) {
  for (const Operation one : {Operation::read, Operation::write, Operation::erase}) {
    if (text == operation_text(one)) {
      operation = one;
      return;
    }
  }
  operation = Operation::execute;
}

void set_from(std::string_view text, Outcome& outcome) {
  for (const Outcome one :
       {Outcome::pending, Outcome::success, Outcome::refused, Outcome::cancelled}) {
    if (text == outcome_text(one)) {
      outcome = one;
      return;
    }
  }
  outcome = Outcome::failed;
}

std::string_view name_of(Phase phase) {
  return phase_text(phase);
}
std::string_view name_of(Operation operation) {
  return operation_text(operation);
}
std::string_view name_of(Outcome outcome) {
  return outcome_text(outcome);
}

std::string listed(std::string_view before) {
  std::string text;
  IndexRow row;
  each_column(row, [&](std::string_view name, const auto&) {
    text.append(text.empty() ? "" : ", ").append(before).append(name);
  });
  return text;
}

}  // namespace

std::string_view phase_text(Phase phase) {
  return phase == Phase::intent ? "intent" : "result";
}

std::string_view operation_text(Operation operation) {
  switch (operation) {
    case Operation::read:
      return "READ";
    case Operation::write:
      return "WRITE";
    case Operation::erase:
      return "DELETE";
    case Operation::execute:
      break;
  }
  return "EXECUTE";
}

std::string_view outcome_text(Outcome outcome) {
  switch (outcome) {
    case Outcome::pending:
      return "pending";
    case Outcome::success:
      return "success";
    case Outcome::refused:
      return "refused";
    case Outcome::cancelled:
      return "cancelled";
    case Outcome::failed:
      break;
  }
  return "failed";
}

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
