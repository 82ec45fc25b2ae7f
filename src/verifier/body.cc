// A scanner that knows the one allowed spelling, so it never builds a document. Any thread.
#include "verifier/body.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace deepmoat::verifier {

namespace {

constexpr std::size_t kTextBytesMax = 256;

constexpr std::array<std::string_view, 2> kPhases{"intent\"", "result\""};
constexpr std::array<std::string_view, 4> kOperations{"READ\"", "WRITE\"", "DELETE\"", "EXECUTE\""};
constexpr std::array<std::string_view, 5> kOutcomes{"pending\"", "success\"", "refused\"",
                                                    "failed\"", "cancelled\""};

enum class Type : std::uint8_t { phase, operation, outcome, text, count, signed64, signed32 };

struct Field {
  std::string_view key;  // with its quotation marks and colon
  Type type = Type::text;
  std::uint16_t since_version = 1;
};

constexpr std::size_t kAlwaysThere = 3;
constexpr std::size_t kRequestId = 4;
constexpr std::size_t kIntentSequence = 5;
constexpr std::size_t kAction = 12;
constexpr std::array kFields{
    Field{"\"phase\":", Type::phase},
    Field{"\"operation\":", Type::operation},
    Field{"\"outcome\":", Type::outcome},
    Field{"\"mono_ns\":", Type::signed64},
    Field{"\"request_id\":"},
    Field{"\"intent_sequence\":", Type::count},
    Field{"\"tenant\":"},
    Field{"\"operator\":"},
    Field{"\"key_id\":"},
    Field{"\"role\":"},
    Field{"\"authentication\":"},
    Field{"\"ip_address\":"},
    Field{"\"action\":"},
    Field{"\"resource\":"},
    Field{"\"route\":"},
    Field{"\"data_class\":"},
    Field{"\"model\":"},
    Field{"\"model_version\":"},
    Field{"\"adapter\":", Type::text, 2},
    Field{"\"adapter_version\":", Type::text, 2},
    Field{"\"knowledge\":", Type::text, 2},
    Field{"\"input_fingerprint\":"},
    Field{"\"output_fingerprint\":"},
    Field{"\"content\":", Type::text, 2},
    Field{"\"tokens_in\":", Type::count},
    Field{"\"tokens_cached\":", Type::count},
    Field{"\"tokens_out\":", Type::count},
    Field{"\"bytes_out\":", Type::count},
    Field{"\"queue_ms\":", Type::count},
    Field{"\"first_token_ms\":", Type::count},
    Field{"\"duration_ms\":", Type::count},
    Field{"\"status\":", Type::signed32},
    Field{"\"reason\":"},
};
static_assert(kFields[kRequestId].key == "\"request_id\":");
static_assert(kFields[kIntentSequence].key == "\"intent_sequence\":");
static_assert(kFields[kAction].key == "\"action\":");

constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < 0x7f; ++c) {
    plain[c] = c != '"' && c != '\\';
  }
  return plain;
}();

class Scanner {
 public:
  Scanner(std::string_view body, std::uint16_t version) : rest_(body), version_(version) {}

  const char* read(BodyFacts& facts) {
    if (!take('{')) {
      return "the record's body is not a JSON object";
    }
    std::size_t next = 0;  // the first field that may still come
    for (bool first = true; first || take(','); first = false) {
      const std::size_t at = take_key(next);
      if (at == kFields.size()) {
        return "the record's body has a field that is unknown or out of its order";
      }
      if (next < kAlwaysThere && at != next) {
        break;
      }
      next = at + 1;
      if (!take_value(at, facts)) {
        return "the record's body is not in its one canonical spelling";
      }
    }
    if (next < kAlwaysThere) {
      return "the record's body lacks its phase, operation or outcome";
    }
    return rest_ == "}" ? nullptr : "the record's body does not end as it should";
  }

 private:
  bool take(char c) {
    if (rest_.empty() || rest_[0] != c) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }

  std::size_t take_key(std::size_t next) {
    for (; next < kFields.size(); ++next) {
      const std::string_view key = kFields[next].key;
      // Behind the quotation mark: most keys differ there.
      if (rest_.size() > key.size() && rest_[1] == key[1] && rest_.starts_with(key) &&
          kFields[next].since_version <= version_) {
        rest_.remove_prefix(key.size());
        return next;
      }
    }
    return kFields.size();
  }

  bool take_value(std::size_t at, BodyFacts& facts) {
    std::uint64_t number = 0;
    std::int64_t with_sign = 0;
    std::string_view text;
    switch (kFields[at].type) {
      case Type::phase:
        if (!take_one_of(kPhases, text)) {
          return false;
        }
        facts.intent = text == "intent";
        return true;
      case Type::operation:
        return take_one_of(kOperations, facts.operation);
      case Type::outcome:
        return take_one_of(kOutcomes, facts.outcome);
      case Type::count:
        if (!take_number(std::numeric_limits<std::uint64_t>::max(), number)) {
          return false;
        }
        if (at == kIntentSequence) {
          facts.intent_sequence = number;
        }
        return true;
      case Type::signed64:
        return take_signed(std::numeric_limits<std::int64_t>::max(), with_sign);
      case Type::signed32:
        if (!take_signed(std::numeric_limits<std::int32_t>::max(), with_sign)) {
          return false;
        }
        facts.status = static_cast<std::int32_t>(with_sign);  // the one field of this type
        return true;
      case Type::text:
        if (!take_text(text)) {
          return false;
        }
        if (at == kRequestId) {
          facts.request_id = text;
        } else if (at == kAction) {
          facts.action = text;
        }
        return true;
    }
    return false;
  }

  bool take_one_of(std::span<const std::string_view> choices, std::string_view& text) {
    if (!take('"')) {
      return false;
    }
    for (const std::string_view choice : choices) {
      if (rest_.starts_with(choice)) {
        text = rest_.substr(0, choice.size() - 1);
        rest_.remove_prefix(choice.size());
        return true;
      }
    }
    return false;
  }

  // 1 to `most` without leading zeros; a zero is left out of a body.
  bool take_number(std::uint64_t most, std::uint64_t& number) {
    number = 0;
    std::size_t digits = 0;
    for (; digits < rest_.size(); ++digits) {
      const auto digit =
          static_cast<std::uint64_t>(static_cast<unsigned char>(rest_[digits])) - '0';
      if (digit > 9) {
        break;
      }
      if ((digits == 0 && digit == 0) || number > (most - digit) / 10) {
        return false;
      }
      number = number * 10 + digit;
    }
    rest_.remove_prefix(digits);
    return digits > 0;
  }

  bool take_signed(std::int64_t most, std::int64_t& value) {
    const bool negative = take('-');
    std::uint64_t number = 0;
    if (!take_number(static_cast<std::uint64_t>(most) + (negative ? 1 : 0), number)) {
      return false;
    }
    value = static_cast<std::int64_t>(negative ? 0 - number : number);
    return true;
  }

  bool take_text(std::string_view& text) {
    if (!take('"')) {
      return false;
    }
    std::size_t at = 0;
    for (;;) {
      while (at < rest_.size() && kPlain[static_cast<unsigned char>(rest_[at])]) {
        ++at;
      }
      if (at >= rest_.size() || at > kTextBytesMax) {
        return false;
      }
      if (rest_[at] == '"') {
        break;
      }
      const std::size_t bytes = escape_bytes(rest_.substr(at));
      if (bytes == 0) {
        return false;
      }
      at += bytes;
    }
    text = rest_.substr(0, at);
    rest_.remove_prefix(at + 1);
    return at > 0;
  }

  // Of the one code point that is escaped at the start of `text`; 0: it is none, or one that
  // stands for itself.
  static std::size_t escape_bytes(std::string_view text) {
    if (text.size() >= 2 && text[0] == '\\' && (text[1] == '"' || text[1] == '\\')) {
      return 2;
    }
    std::uint32_t unit = 0;
    if (!read_unit(text, unit)) {
      return 0;
    }
    if (unit < 0xd800 || unit > 0xdfff) {
      return unit >= 0x20 && unit < 0x7f ? 0 : 6;
    }
    std::uint32_t low = 0;
    const bool pair =
        unit <= 0xdbff && read_unit(text.substr(6), low) && low >= 0xdc00 && low <= 0xdfff;
    return pair ? 12 : 0;
  }

  // "\uXXXX" in lower-case digits.
  static bool read_unit(std::string_view text, std::uint32_t& unit) {
    if (text.size() < 6 || text[0] != '\\' || text[1] != 'u') {
      return false;
    }
    unit = 0;
    for (const char c : text.substr(2, 4)) {
      const bool digit = c >= '0' && c <= '9';
      if (!digit && (c < 'a' || c > 'f')) {
        return false;
      }
      unit = unit * 16 + static_cast<std::uint32_t>(digit ? c - '0' : c - 'a' + 10);
    }
    return true;
  }

  std::string_view rest_;
  const std::uint16_t version_;
};

}  // namespace

const char* read_body(std::string_view body, std::uint16_t version, BodyFacts& facts) {
  facts = {};
  return Scanner(body, version).read(facts);
}

}  // namespace deepmoat::verifier
