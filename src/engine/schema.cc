// What of JSON Schema can be held to. llama.cpp's converter ignores keywords that it does not know
// and takes a pattern that it cannot express for "any string"; an answer would then not be what
// the caller was promised.
#include <json-schema-to-grammar.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "base/limits.h"
#include "engine/grammar.h"

namespace deepmoat::engine {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kNodesMax = 2000;             // schemas in a schema
constexpr std::size_t kOptionalPropertiesMax = 64;  // the grammar grows with their square
constexpr std::size_t kPropertiesMax = 500;         // of one object
constexpr std::size_t kEnumMax = 2000;
constexpr std::size_t kPatternBytesMax = 512;
constexpr std::size_t kReferencesDepthMax = 32;  // a $ref to a $ref to a ...

constexpr std::array kIgnoredKeywords = {"not",           "if",
                                         "then",          "else",
                                         "contains",      "minContains",
                                         "maxContains",   "patternProperties",
                                         "propertyNames", "dependentRequired",
                                         "dependencies",  "dependentSchemas",
                                         "minProperties", "maxProperties",
                                         "multipleOf",    "unevaluatedProperties",
                                         "$dynamicRef",   "unevaluatedItems",
                                         "$recursiveRef"};
constexpr std::array kNumberKeywords = {"minimum", "maximum", "exclusiveMinimum",
                                        "exclusiveMaximum"};

// A rough reading of what llama.cpp's converter takes, because it prints the patterns that it does
// not, and those are the caller's.
class PatternCheck {
 public:
  explicit PatternCheck(std::string_view pattern) : text_(pattern) {}

  bool expressible() {
    if (text_.size() < 2 || text_.front() != '^' || text_.back() != '$') {
      return false;
    }
    text_ = text_.substr(1, text_.size() - 2);
    while (at_ < text_.size()) {
      if (!step()) {
        return false;
      }
    }
    return depth_ == 0;
  }

 private:
  bool step() {
    const char c = text_[at_++];
    switch (c) {
      case '\\':
        return escape("^$.[](){}|*+?trn\\\"-");
      case '[':
        return char_class();
      case '(':
        ++depth_;
        if (at_ < text_.size() && text_[at_] == '?') {
          at_ += 2;
          return at_ <= text_.size() && text_[at_ - 1] == ':';
        }
        return true;
      case ')':
        return depth_-- > 0;
      case '{': {
        const std::size_t end = text_.find('}', at_);
        const bool numbers =
            end != std::string_view::npos && end > at_ &&
            text_.substr(at_, end - at_).find_first_not_of("0123456789,") == std::string_view::npos;
        at_ = numbers ? end + 1 : at_;
        return numbers;
      }
      default:
        return c != '^' && c != '$' && c != ']' && c != '}';
    }
  }

  bool escape(std::string_view plain) {
    if (at_ >= text_.size()) {
      return false;
    }
    const char c = text_[at_++];
    return plain.find(c) != std::string_view::npos || c == 'x' || c == 'u' || c == 'U';
  }

  bool char_class() {
    while (at_ < text_.size() && text_[at_] != ']') {
      if (text_[at_++] == '\\' && !escape("trn\\\"[]-")) {
        return false;
      }
    }
    return at_++ < text_.size();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

class SchemaCheck {
 public:
  SchemaCheck(const Json& root, bool exact) : root_(root), exact_(exact) {}

  Result<> node(const Json& schema, const std::string& place, std::size_t depth) {
    if (!schema.is_object()) {
      return refuse(place, "a schema must be an object");
    }
    if (++nodes_ > kNodesMax || depth > limits::kJsonDepthMax) {
      return refuse(place, "it is too large or too deep");
    }
    if (schema.contains("$ref")) {
      return reference(schema, place, 0);
    }
    if (exact_) {
      CHECK_OK(only_known(schema, place));
    }
    CHECK_OK(string_limits(schema, place));
    CHECK_OK(object_limits(schema, place));
    if (schema.contains("enum") && schema.at("enum").size() > kEnumMax) {
      return refuse(place, "too many values in enum");
    }
    return children(schema, place, depth);
  }

 private:
  static std::unexpected<Error> refuse(const std::string& place, const std::string& why) {
    return fail(Code::invalid_argument,
                (place.empty() ? "at its root" : "at " + place) + ": " + why);
  }

  // A $ref must lead to a schema without coming back to itself: alone, or by allOf.
  Result<> reference(const Json& schema, const std::string& place, std::size_t steps) {
    const Json* at = &schema;
    for (; at->is_object() && at->contains("$ref"); ++steps) {
      const Json& ref = at->at("$ref");
      if (!ref.is_string() || !ref.get_ref<const std::string&>().starts_with("#/")) {
        return refuse(place, "a $ref must begin with #/");
      }
      if (steps > kReferencesDepthMax) {
        return refuse(place, "a $ref leads back to itself");
      }
      try {
        at = &root_.at(Json::json_pointer(ref.get_ref<const std::string&>().substr(1)));
      } catch (const Json::exception&) {
        return refuse(place, "a $ref leads nowhere");
      }
    }
    if (at->is_object() && at->contains("allOf") && at->at("allOf").is_array()) {
      for (const Json& part : at->at("allOf")) {
        if (part.is_object() && part.contains("$ref")) {
          CHECK_OK(reference(part, place, steps + 1));
        }
      }
    }
    return {};
  }

  static Result<> only_known(const Json& schema, const std::string& place) {
    for (const char* keyword : kIgnoredKeywords) {
      if (schema.contains(keyword)) {
        return refuse(place, std::string(keyword) + " cannot be enforced; leave it out");
      }
    }
    if (schema.value("uniqueItems", Json(false)) == Json(true)) {
      return refuse(place, "uniqueItems cannot be enforced; leave it out");
    }
    const Json type = schema.value("type", Json());
    const bool number =
        type == "number" || (type.is_array() && std::ranges::find(type, "number") != type.end());
    for (const char* keyword : kNumberKeywords) {
      if (number && schema.contains(keyword)) {
        return refuse(place, std::string(keyword) +
                                 " can be enforced for integers only; leave it out for numbers");
      }
    }
    return {};
  }

  [[nodiscard]] Result<> string_limits(const Json& schema, const std::string& place) const {
    if (!schema.contains("pattern")) {
      return {};
    }
    const Json& pattern = schema.at("pattern");
    if (!pattern.is_string() || pattern.get_ref<const std::string&>().size() > kPatternBytesMax) {
      return refuse(place, "pattern must be a text of " + std::to_string(kPatternBytesMax) +
                               " bytes at most");
    }
    if (!exact_) {
      return {};
    }
    if (schema.contains("minLength") || schema.contains("maxLength") || schema.contains("format")) {
      return refuse(place, "pattern cannot be combined with minLength, maxLength or format");
    }
    const std::string cannot =
        "this pattern cannot be enforced: begin it with ^, end it with $, and use no lookaround, "
        "anchors inside, or classes like \\d";
    if (!PatternCheck(pattern.get_ref<const std::string&>()).expressible()) {
      return refuse(place, cannot);
    }
    try {
      const std::string grammar = json_schema_to_grammar(
          common_json::parse(Json{{"type", "string"}, {"pattern", pattern}}.dump()));
      if (grammar.find("root ::= string\n") != std::string::npos) {
        return refuse(place,
                      "this pattern cannot be enforced: begin it with ^, end it with $, and "
                      "use no lookaround, anchors inside, or classes like \\d");
      }
    } catch (const std::exception& error) {
      return refuse(place, error.what());
    }
    return {};
  }

  static Result<> object_limits(const Json& schema, const std::string& place) {
    if (!schema.contains("properties") || !schema.at("properties").is_object()) {
      return {};
    }
    const std::size_t all = schema.at("properties").size();
    const Json required = schema.value("required", Json::array());
    const std::size_t named = required.is_array() ? std::min(required.size(), all) : 0;
    if (all > kPropertiesMax || all - named > kOptionalPropertiesMax) {
      return refuse(place, "at most " + std::to_string(kPropertiesMax) + " properties, and " +
                               std::to_string(kOptionalPropertiesMax) + " that are not required");
    }
    return {};
  }

  Result<> children(const Json& schema, const std::string& place, std::size_t depth) {
    for (const char* keyword : {"properties", "$defs", "definitions"}) {
      if (schema.contains(keyword) && schema.at(keyword).is_object()) {
        for (const auto& [name, child] : schema.at(keyword).items()) {
          CHECK_OK(node(child, place + "/" + keyword + "/" + name, depth + 1));
        }
      }
    }
    for (const char* keyword : {"anyOf", "oneOf", "allOf", "prefixItems", "items"}) {
      if (!schema.contains(keyword) || !schema.at(keyword).is_array()) {
        continue;
      }
      for (std::size_t i = 0; i < schema.at(keyword).size(); ++i) {
        CHECK_OK(node(schema.at(keyword)[i], place + "/" + keyword + "/" + std::to_string(i),
                      depth + 1));
      }
    }
    for (const char* keyword : {"items", "additionalProperties"}) {
      if (schema.contains(keyword) && schema.at(keyword).is_object()) {
        CHECK_OK(node(schema.at(keyword), place + "/" + keyword, depth + 1));
      }
    }
    return {};
  }

  const Json& root_;
  bool exact_;
  std::size_t nodes_ = 0;
};

}  // namespace

Result<> check_schema(const std::string& json, bool exact) {
  if (json.size() > limits::kSchemaBytesMax) {
    return fail(Code::invalid_argument, "it is too large");
  }
  std::size_t depth = 0;
  std::size_t deepest = 0;
  for (const char c : json) {  // an upper bound, before anything recurses into it
    depth += c == '{' || c == '[' ? 1 : 0;
    depth -= (c == '}' || c == ']') && depth > 0 ? 1 : 0;
    deepest = std::max(deepest, depth);
  }
  if (deepest > 4 * limits::kJsonDepthMax) {
    return fail(Code::invalid_argument, "it is too deep");
  }
  const Json schema = Json::parse(json, nullptr, false);
  if (schema.is_discarded()) {
    return fail(Code::invalid_argument, "it is not JSON");
  }
  return SchemaCheck(schema, exact).node(schema, "", 0);
}

}  // namespace deepmoat::engine
