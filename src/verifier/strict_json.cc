// Over nlohmann-json, without its exceptions. Any thread.
#include "verifier/strict_json.h"

#include <algorithm>
#include <set>
#include <vector>

namespace deepmoat::verifier {

namespace {
constexpr std::size_t kDepthMax = 8;
}  // namespace

std::optional<Json> parse_object(std::string_view text) {
  std::vector<std::set<std::string>> names;  // of the objects and arrays that are open
  bool good = true;
  const auto watch = [&](int /*depth*/, Json::parse_event_t event, Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        names.emplace_back();
        good = good && names.size() <= kDepthMax;
        break;
      case Json::parse_event_t::object_end:
      case Json::parse_event_t::array_end:
        names.pop_back();
        break;
      case Json::parse_event_t::key:
        good = good && names.back().insert(parsed.get_ref<const std::string&>()).second;
        break;
      case Json::parse_event_t::value:
        break;
    }
    return good;
  };
  // What the callback drops has no end event; `good` is false by then.
  const auto guarded = [&](int depth, Json::parse_event_t event, Json& parsed) {
    return good && watch(depth, event, parsed);
  };
  Json json = Json::parse(text, guarded, /*allow_exceptions=*/false);
  if (!good || !json.is_object()) {
    return std::nullopt;
  }
  return json;
}

bool has_exactly(const Json& object, std::initializer_list<std::string_view> names,
                 std::string_view optional) {
  const bool all = std::ranges::all_of(
      names, [&](std::string_view name) { return object.contains(std::string(name)); });
  const std::size_t more = !optional.empty() && object.contains(std::string(optional)) ? 1 : 0;
  return all && object.size() == names.size() + more;
}

const std::string* text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

bool number_of(const Json& object, const char* name, std::uint64_t& number) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) {
    return false;
  }
  number = found->get<std::uint64_t>();
  return true;
}

}  // namespace deepmoat::verifier
