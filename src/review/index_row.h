// A row of the index's table, and its columns: one list for the statements and for the binding.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <type_traits>

#include "audit/record_json.h"

namespace deepmoat::review {

// A record as the index has it.
struct IndexRow {
  audit::Entry entry;
  std::uint64_t segment = 0;
  std::uint64_t frame_offset = 0;  // of its frame in the segment when it was indexed
  // Of an intent: the sequence of its result; 0: it has none. So 0 marks one row an operation: the
  // result, or the intent that came to none.
  std::uint64_t result_sequence = 0;
};

// Calls `visit(column, field)` for every column in the table's order.
template <class Row, class Visit>
void each_column(Row& row, Visit&& visit) {
  auto& record = row.entry.record;
  visit("sequence", row.entry.sequence);
  visit("segment", row.segment);
  visit("frame_offset", row.frame_offset);
  visit("result_sequence", row.result_sequence);
  visit("unix_ms", record.unix_ms);
  visit("phase", record.phase);
  visit("operation_type", record.operation);
  visit("outcome", record.outcome);
  visit("mono_ns", record.mono_ns);
  visit("request_id", record.request_id);
  visit("intent_sequence", record.intent_sequence);
  visit("tenant", record.tenant);
  visit("operator", record.operator_id);
  visit("key_id", record.key_id);
  visit("role", record.role);
  visit("authentication", record.authentication);
  visit("ip_address", record.ip_address);
  visit("action", record.action);
  visit("resource", record.resource);
  visit("route", record.route);
  visit("data_class", record.data_class);
  visit("model", record.model);
  visit("model_version", record.model_version);
  visit("adapter", record.adapter);
  visit("adapter_version", record.adapter_version);
  visit("knowledge", record.knowledge);
  visit("input_fingerprint", record.input_fingerprint);
  visit("output_fingerprint", record.output_fingerprint);
  visit("content", record.content);
  visit("tokens_in", record.tokens_in);
  visit("tokens_cached", record.tokens_cached);
  visit("tokens_out", record.tokens_out);
  visit("bytes_out", record.bytes_out);
  visit("queue_ms", record.queue_ms);
  visit("first_token_ms", record.first_token_ms);
  visit("duration_ms", record.duration_ms);
  visit("status", record.status);
  visit("reason", record.reason);
}

// "sequence, segment, ..."
[[nodiscard]] std::string column_names();
// ":sequence, :segment, ..."
[[nodiscard]] std::string column_parameters();

// What SOCI binds for a row: texts as they are, all numbers as long long (64-bit values keep their
// bits), enumerations as texts. Stays at one place while a statement is bound to it.
class BoundIndexRow {
 public:
  BoundIndexRow() = default;
  BoundIndexRow(const BoundIndexRow&) = delete;
  BoundIndexRow& operator=(const BoundIndexRow&) = delete;

  IndexRow row;

  void write();  // before a statement that uses `row` runs
  void read();   // after a statement that fills `row` has run

  // `bind(statement, field)` for every column, in their order.
  template <class Statement, class Bind>
  void bind_all(Statement& statement, const Bind& bind) {
    std::size_t number = 0;
    std::size_t name = 0;
    each_column(row, [&](const char*, auto& field) {
      using Field = std::remove_cvref_t<decltype(field)>;
      if constexpr (std::is_enum_v<Field>) {
        bind(statement, names_.at(name++));
      } else if constexpr (std::is_integral_v<Field>) {
        bind(statement, numbers_.at(number++));
      } else {
        bind(statement, field);
      }
    });
  }

 private:
  std::array<long long, 16> numbers_{};
  std::array<std::string, 3> names_;
};

}  // namespace deepmoat::review
