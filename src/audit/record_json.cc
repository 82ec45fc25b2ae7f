// Canonical JSON of records, written by hand because the spelling is the format, read with
// simdjson and then compared with its own re-encoding. Any thread.
#include "audit/record_json.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <optional>
#include <type_traits>

#include "base/limits.h"

namespace deepmoat::audit {

namespace {

constexpr std::array<std::string_view, 2> kPhases{"intent", "result"};
constexpr std::array<std::string_view, 4> kOperations{"READ", "WRITE", "DELETE", "EXECUTE"};
constexpr std::array<std::string_view, 5> kOutcomes{"pending", "success", "refused", "failed",
                                                    "cancelled"};

// The body's fields in their order; the one list that the writer and the reader share.
template <class RecordType, class Visit>
void each_field(RecordType& r, Visit&& visit) {
  visit("phase", r.phase);
  visit("operation", r.operation);
  visit("outcome", r.outcome);
  visit("mono_ns", r.mono_ns);
  visit("request_id", r.request_id);
  visit("intent_sequence", r.intent_sequence);
  visit("tenant", r.tenant);
  visit("operator", r.operator_id);
  visit("key_id", r.key_id);
  visit("role", r.role);
  visit("authentication", r.authentication);
  visit("ip_address", r.ip_address);
  visit("action", r.action);
  visit("resource", r.resource);
  visit("route", r.route);
  visit("data_class", r.data_class);
  visit("model", r.model);
  visit("model_version", r.model_version);
  visit("adapter", r.adapter);
  visit("adapter_version", r.adapter_version);
  visit("knowledge", r.knowledge);
  visit("input_fingerprint", r.input_fingerprint);
  visit("output_fingerprint", r.output_fingerprint);
  visit("content", r.content);
  visit("tokens_in", r.tokens_in);
  visit("tokens_cached", r.tokens_cached);
  visit("tokens_out", r.tokens_out);
  visit("bytes_out", r.bytes_out);
  visit("queue_ms", r.queue_ms);
  visit("first_token_ms", r.first_token_ms);
  visit("duration_ms", r.duration_ms);
  visit("status", r.status);
  visit("reason", r.reason);
}

template <class Enum, std::size_t kCount>
bool find_name(const std::array<std::string_view, kCount>& names, std::string_view text,
               Enum& out) {
  for (std::size_t i = 0; i < kCount; ++i) {
    if (names[i] == text) {
      out = static_cast<Enum>(i);
      return true;
    }
  }
  return false;
}

bool set_from(std::string_view text, std::string& out) {
  out = text;
  return true;
}

// The code point at the start of `text` and how many bytes it takes; U+FFFD and 1 for a byte that
// begins none (overlong forms, surrogates and values over U+10FFFF begin none).
char32_t decode_utf8(std::string_view text, std::size_t& bytes) {
  const auto at = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = at(0);
  bytes = 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) {
    return 0xfffd;
  }
  char32_t code = first & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) {
      return 0xfffd;
    }
    code = (code << 6) | (at(i) & 0x3f);
  }
  constexpr std::array<char32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    return 0xfffd;
  }
  bytes = length;
  return code;
}

void append_unit(std::string& out, std::uint32_t unit) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const char escaped[] = {'\\',
                          'u',
                          kDigits[unit >> 12],
                          kDigits[(unit >> 8) & 15],
                          kDigits[(unit >> 4) & 15],
                          kDigits[unit & 15]};
  out.append(escaped, sizeof escaped);
}

void append_code_point(std::string& out, char32_t code) {
  if (code == '"' || code == '\\') {
    out.push_back('\\');
    out.push_back(static_cast<char>(code));
  } else if (code >= 0x20 && code < 0x7f) {
    out.push_back(static_cast<char>(code));
  } else if (code < 0x10000) {
    append_unit(out, code);
  } else {
    append_unit(out, 0xd800 + ((code - 0x10000) >> 10));
    append_unit(out, 0xdc00 + ((code - 0x10000) & 0x3ff));
  }
}

bool is_plain(char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

// Cuts between code points, so that the rest stays valid JSON.
void append_text(std::string& out, std::string_view text, std::size_t bytes_max) {
  constexpr std::string_view kCutMark = "\\u2026";
  const std::size_t start = out.size();
  // Most texts need neither escape nor cut.
  if (text.size() <= bytes_max && std::ranges::all_of(text, is_plain)) {
    out.append(text);
    return;
  }
  std::size_t room_for_mark = start;  // where the text ends when the mark must still fit
  while (!text.empty()) {
    std::size_t bytes = 1;
    const auto byte = static_cast<unsigned char>(text[0]);
    append_code_point(out, byte < 0x80 ? byte : decode_utf8(text, bytes));
    text.remove_prefix(bytes);
    const std::size_t used = out.size() - start;
    if (used + kCutMark.size() <= bytes_max) {
      room_for_mark = out.size();
    }
    if (used > bytes_max) {
      out.resize(room_for_mark);
      out.append(kCutMark);
      return;
    }
  }
}

std::string encode_with(const Record& record, std::size_t text_bytes_max) {
  std::string out;
  out.reserve(640);
  each_field(record, [&](std::string_view name, const auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    const auto key = [&] { out.append(out.empty() ? "{\"" : ",\"").append(name).append("\":"); };
    if constexpr (std::is_enum_v<Value>) {
      key();
      out.append("\"").append(name_of(value)).append("\"");
    } else if constexpr (std::is_integral_v<Value>) {
      if (value != 0) {
        key();
        out.append(fmt::format_int(value).str());
      }
    } else if (!value.empty()) {
      key();
      out.push_back('"');
      append_text(out, value, text_bytes_max);
      out.push_back('"');
    }
  });
  out.push_back('}');
  return out;
}

}  // namespace

std::string_view name_of(Phase phase) {
  return kPhases[static_cast<std::size_t>(phase)];
}

std::string_view name_of(Operation operation) {
  return kOperations[static_cast<std::size_t>(operation)];
}

std::string_view name_of(Outcome outcome) {
  return kOutcomes[static_cast<std::size_t>(outcome)];
}

bool set_from(std::string_view text, Phase& out) {
  return find_name(kPhases, text, out);
}

bool set_from(std::string_view text, Operation& out) {
  return find_name(kOperations, text, out);
}

bool set_from(std::string_view text, Outcome& out) {
  return find_name(kOutcomes, text, out);
}

std::string encode_record(const Record& record) {
  std::string body = encode_with(record, kTextBytesMax);
  if (body.size() > limits::kAuditRecordBytesMax) {
    body = encode_with(record, kTextBytesMaxCrowded);
  }
  return body;
}

class RecordDecoder::Parser {
 public:
  // False when the text is no JSON object of known fields and fitting values.
  bool read(std::string_view body, Record& record) {
    padded_.assign(body);
    padded_.resize(body.size() + simdjson::SIMDJSON_PADDING);
    simdjson::ondemand::document document;
    simdjson::ondemand::object object;
    if (parser_.iterate(padded_.data(), body.size(), padded_.size()).get(document) ||
        document.get_object().get(object)) {
      return false;
    }
    return read_fields(object, record);
  }

 private:
  // One pass over both: the fields stand in the order of each_field() or the spelling is wrong.
  // What follows the object shows when the record is encoded again.
  static bool read_fields(simdjson::ondemand::object& object, Record& record) {
    simdjson::ondemand::object_iterator at;
    simdjson::ondemand::object_iterator end;
    if (object.begin().get(at) || object.end().get(end)) {
      return false;
    }
    bool good = true;
    bool have = false;
    std::string_view name;
    simdjson::ondemand::value value;
    each_field(record, [&](std::string_view wanted, auto& target) {
      if (!good || (!have && !(at != end))) {
        return;
      }
      if (!have) {
        simdjson::ondemand::field field;
        good = !(*at).get(field) && !field.unescaped_key().get(name);
        value = field.value();
        have = true;
      }
      if (good && name == wanted) {
        good = set_value(target, value);
        have = false;
        ++at;
      }
    });
    return good && !have && !(at != end);
  }

  template <class Target>
  static bool set_value(Target& target, simdjson::ondemand::value& value) {
    if constexpr (std::is_integral_v<Target>) {
      return set_number(target, value);
    } else {
      std::string_view text;
      return !value.get_string().get(text) && set_from(text, target);
    }
  }

  template <class Int>
  static bool set_number(Int& target, simdjson::ondemand::value& value) {
    std::conditional_t<std::is_unsigned_v<Int>, std::uint64_t, std::int64_t> number = 0;
    if (value.get(number)) {
      return false;
    }
    target = static_cast<Int>(number);
    return true;
  }

  simdjson::ondemand::parser parser_;
  std::string padded_;
};

RecordDecoder::RecordDecoder() : parser_(std::make_unique<Parser>()) {}
RecordDecoder::~RecordDecoder() = default;

Result<Record> RecordDecoder::decode(std::string_view body) {
  Record record;
  if (!parser_->read(body, record)) {
    return fail(Code::corrupt, "the record's body is not a JSON object of known fields");
  }
  if (encode_record(record) != body) {
    return fail(Code::corrupt, "the record's body is not in its one canonical spelling");
  }
  return record;
}

std::string format_time(UnixMillis unix_ms) {
  constexpr UnixMillis kYear10000 = 253'402'300'800'000;
  if (unix_ms < 0 || unix_ms >= kYear10000) {
    return fmt::format("{}", unix_ms);
  }
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     unix_ms % 1000);
}

std::string to_json_line(const Entry& entry) {
  const std::string body = encode_record(entry.record);
  return fmt::format(R"({{"sequence":{},"time":"{}","unix_ms":{},{})", entry.sequence,
                     format_time(entry.record.unix_ms), entry.record.unix_ms,
                     std::string_view(body).substr(1));
}

}  // namespace deepmoat::audit
