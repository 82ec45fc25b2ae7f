#include "gateway/admin_fields.h"

#include <fmt/format.h>

#include <algorithm>

#include "wire/request_reader.h"

namespace deepmoat::gateway {

using Json = nlohmann::ordered_json;

namespace {
wire::Refusal wrong_type(const char* name, const char* type) {
  return wire::invalid(name, fmt::format("'{}' must be {}.", name, type), "invalid_type");
}
}  // namespace

wire::OrRefusal<Json> object_in(const std::string& body,
                                std::initializer_list<std::string_view> fields) {
  wire::RequestReader reader;
  TRY(Json request, reader.object(body));
  std::string known;
  for (const std::string_view field : fields) {
    known += (known.empty() ? "" : ", ") + std::string(field);
  }
  for (const auto& [name, value] : request.items()) {
    if (std::ranges::find(fields, name) == fields.end()) {
      return std::unexpected(wire::invalid(
          name.substr(0, 64), fmt::format("'{}' is no field here; the fields are {}.", name, known),
          "unsupported_parameter"));
    }
  }
  return request;
}

wire::OrRefusal<std::optional<std::string>> text_in(const Json& request, const char* name) {
  const auto found = request.find(name);
  if (found == request.end()) {
    return std::nullopt;
  }
  if (!found->is_string()) {
    return std::unexpected(wrong_type(name, "a string"));
  }
  return found->get<std::string>();
}

wire::OrRefusal<std::optional<std::int64_t>> whole_number_in(const Json& request,
                                                             const char* name) {
  const auto found = request.find(name);
  if (found == request.end()) {
    return std::nullopt;
  }
  const bool too_large =
      found->is_number_unsigned() && found->get<std::uint64_t>() > std::uint64_t{INT64_MAX};
  if (!found->is_number_integer() || too_large) {
    return std::unexpected(wrong_type(name, "a whole number"));
  }
  return found->get<std::int64_t>();
}

wire::OrRefusal<std::optional<double>> number_in(const Json& request, const char* name) {
  const auto found = request.find(name);
  if (found == request.end()) {
    return std::nullopt;
  }
  if (!found->is_number()) {
    return std::unexpected(wrong_type(name, "a number"));
  }
  return found->get<double>();
}

wire::Refusal missing_field(const char* name) {
  return wire::invalid(name, fmt::format("'{}' is missing.", name), "missing_required_parameter");
}

}  // namespace deepmoat::gateway
