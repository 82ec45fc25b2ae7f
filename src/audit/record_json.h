// The body of a frame: canonical JSON of a record (docs/formats/audit.md, "Body"). One record has
// one spelling: fixed field order, empty fields left out, everything but printable ASCII escaped.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "audit/record.h"
#include "base/result.h"

namespace deepmoat::audit {

// A text field that takes more bytes than this in JSON is cut and ends with U+2026. When the whole
// record is still longer than limits::kAuditRecordBytesMax, every text is cut to the second length.
inline constexpr std::size_t kTextBytesMax = 256;
inline constexpr std::size_t kTextBytesMaxCrowded = 128;

// The enumerations as the body has them: "intent", "READ", "success".
[[nodiscard]] std::string_view name_of(Phase phase);
[[nodiscard]] std::string_view name_of(Operation operation);
[[nodiscard]] std::string_view name_of(Outcome outcome);
// False, and `out` as it was, for a text that is none of them.
bool set_from(std::string_view text, Phase& out);
bool set_from(std::string_view text, Operation& out);
bool set_from(std::string_view text, Outcome& out);

// Never fails and never exceeds limits::kAuditRecordBytesMax. Bytes that are not UTF-8 become
// U+FFFD. `unix_ms` is not in the body: the frame carries it. Pure, any thread.
[[nodiscard]] std::string encode_record(const Record& record);

// A record as it stands in the log.
struct Entry {
  std::uint64_t sequence = 0;
  Record record;
};

// Reads bodies. Not thread-safe; cheap to reuse.
class RecordDecoder {
 public:
  RecordDecoder();
  ~RecordDecoder();
  RecordDecoder(const RecordDecoder&) = delete;
  RecordDecoder& operator=(const RecordDecoder&) = delete;

  // Code::corrupt unless `body` is exactly what encode_record() writes.
  [[nodiscard]] Result<Record> decode(std::string_view body);

 private:
  class Parser;
  std::unique_ptr<Parser> parser_;
};

// One line of JSON without a line end, for a person or a program:
// {"sequence":7,"time":"2025-01-31T12:00:00.000Z","unix_ms":...,"phase":"intent",...}
[[nodiscard]] std::string to_json_line(const Entry& entry);

// "2025-01-31T12:00:00.000Z"; years outside 1970 to 9999 as the bare number of milliseconds.
[[nodiscard]] std::string format_time(UnixMillis unix_ms);

}  // namespace deepmoat::audit
