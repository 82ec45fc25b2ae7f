#include "gateway/audit_reports.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "audit/record_json.h"
#include "base/hex.h"
#include "gateway/admin_fields.h"
#include "gateway/audit_admin.h"
#include "gateway/audit_reading.h"
#include "review/monthly_figures.h"
#include "review/report_html.h"
#include "review/report_json.h"
#include "review/report_pdf.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kDigestDigits = 64;

wire::Refusal not_home() {
  return {.status = 403,
          .type = "permission_error",
          .code = "permission_denied",
          .message = fmt::format("The report is about all tenants, so only auditors of tenant {} "
                                 "read it and sign it off.",
                                 identity::kHomeTenant)};
}

wire::OrRefusal<> reads_reports(const AuthenticatedCall& call) {
  if (call.principal.tenant.value() != identity::kHomeTenant) {
    return std::unexpected(not_home());
  }
  return {};
}

Result<review::MonthlyReport> report_of(const Services& services, const std::string& month) {
  TRY(const CurrentLog log, current_log(services));
  TRY(review::MonthlyReport report,
      review::monthly_figures(*log.index, month, services.clock.unix_ms(),
                              log.tree.checkpoint.origin));
  report.checkpoint = log.tree.note;
  return report;
}

struct Wanted {
  std::string format;
  review::Language language = review::Language::english;
};

wire::OrRefusal<Wanted> read_wanted(const ReceivedCall& call) {
  Parameters parameters(call);
  Wanted wanted{.format = parameters.take("format")};
  const std::string language = parameters.take("language");
  CHECK_OK(parameters.finish());
  if (wanted.format.empty()) {
    wanted.format = "json";
  }
  if (wanted.format != "json" && wanted.format != "html" && wanted.format != "pdf") {
    return std::unexpected(wire::invalid("format", "format: html, pdf or json"));
  }
  if (!language.empty() && language != "en" && language != "zh") {
    return std::unexpected(wire::invalid("language", "language: en or zh"));
  }
  wanted.language = language == "zh" ? review::Language::chinese : review::Language::english;
  return wanted;
}

Response shown(const review::MonthlyReport& report, const Wanted& wanted) {
  if (wanted.format == "json") {
    return {.body = review::report_json(report)};
  }
  if (wanted.format == "html") {
    return {.body = review::report_html(report, wanted.language),
            .content_type = "text/html; charset=utf-8"};
  }
  auto pdf = review::report_pdf(report, wanted.language);
  if (!pdf) {
    return to_response(wire::to_refusal(pdf.error()));
  }
  return {.body = *std::move(pdf),
          .content_type = "application/pdf",
          .headers = {{"content-disposition",
                       fmt::format("attachment; filename=\"audit-{}.pdf\"", report.month)}}};
}

wire::Refusal conflict(std::string code, std::string message) {
  return {.status = 409,
          .type = "invalid_request_error",
          .code = std::move(code),
          .message = std::move(message)};
}

wire::OrRefusal<> may_be_signed(const review::MonthlyReport& report, const std::string& sha256) {
  if (!report.month_over) {
    return std::unexpected(
        conflict("month_not_over", report.month + " is not over: its figures still change."));
  }
  if (report.figures_sha256 != sha256) {
    return std::unexpected(conflict(
        "figures_changed", fmt::format("The figures of {} are {} by now: read the report again.",
                                       report.month, report.figures_sha256)));
  }
  return {};
}

}  // namespace

wire::OrRefusal<SignOffRequest> read_sign_off(const std::string& body) {
  TRY(const Json json, object_in(body, {"figures_sha256", "note"}));
  TRY(auto sha256, text_in(json, "figures_sha256"));
  TRY(auto note, text_in(json, "note"));
  SignOffRequest request{.figures_sha256 = std::move(sha256).value_or(""),
                         .note = std::move(note).value_or("")};
  if (request.figures_sha256.size() != kDigestDigits || !from_hex(request.figures_sha256)) {
    return std::unexpected(wire::invalid(
        "figures_sha256", "figures_sha256: the report's, 64 lower-case hexadecimal digits"));
  }
  const Json reason = request.reason();
  const std::size_t bytes = reason.dump(-1, ' ', true, Json::error_handler_t::replace).size() - 2;
  if (bytes > audit::kTextBytesMax) {
    return std::unexpected(
        wire::invalid("note",
                      "note: too long for its record, which holds 191 characters of ASCII "
                      "or 31 others"));
  }
  return request;
}

Response show_report(const Services& services, const AuthenticatedCall& call) {
  const auto wanted = read_wanted(call.received);
  if (const auto may = reads_reports(call); !may) {
    return to_response(may.error());
  }
  if (!wanted) {
    return to_response(wanted.error());
  }
  const auto report = report_of(services, call.received.argument);
  return report ? shown(*report, *wanted) : to_response(wire::to_field_refusal(report.error()));
}

Response sign_off_report(const Services& services, const AuthenticatedCall& call) {
  if (const auto may = reads_reports(call); !may) {
    return to_response(may.error());
  }
  const auto request = read_sign_off(call.received.body);
  if (!request) {
    return to_response(request.error());
  }
  const auto report = report_of(services, call.received.argument);
  if (!report) {
    return to_response(wire::to_field_refusal(report.error()));
  }
  if (const auto may = may_be_signed(*report, request->figures_sha256); !may) {
    return to_response(may.error());
  }
  const Json answer = {{"object", "audit.report.sign_off"},
                       {"month", report->month},
                       {"figures_sha256", report->figures_sha256},
                       {"reviewer", call.principal.client_id.value()},
                       {"note", request->note}};
  return {.body = answer.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

}  // namespace deepmoat::gateway
