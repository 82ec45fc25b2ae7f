#include "review/report_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "review/monthly_figures.h"

namespace deepmoat::review {

using Json = nlohmann::ordered_json;

std::string report_json(const MonthlyReport& report) {
  Json sign_offs = Json::array();
  for (const SignOff& one : report.sign_offs) {
    sign_offs.push_back({{"reviewer", one.reviewer},
                         {"unix_ms", one.unix_ms},
                         {"figures_sha256", one.report_sha256},
                         {"note", one.note}});
  }
  const auto text = [](const Json& json) {
    return json.dump(-1, ' ', true, Json::error_handler_t::replace);
  };
  return fmt::format(R"({{"object":"audit.report","figures":{},"figures_sha256":{},"made_ms":{},)"
                     R"("sign_offs":{},"checkpoint":{}}})",
                     canonical_figures(report), text(report.figures_sha256), report.made_ms,
                     text(sign_offs), text(report.checkpoint));
}

}  // namespace deepmoat::review
