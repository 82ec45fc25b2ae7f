// The canonical text of a month's figures. Pure.
#include <nlohmann/json.hpp>

#include "base/hex.h"
#include "crypto/digest.h"
#include "review/monthly_figures.h"

namespace deepmoat::review {

namespace {

using Json = nlohmann::ordered_json;

Json to_json(const CallCount& one) {
  return {{"name", one.name},
          {"calls", one.calls},
          {"refused", one.refused},
          {"failed", one.failed},
          {"cancelled", one.cancelled},
          {"tokens_in", one.tokens_in},
          {"tokens_out", one.tokens_out}};
}

Json to_json(const EgressCount& one) {
  return {{"route", one.route},
          {"data_class", one.data_class},
          {"tenant", one.tenant},
          {"calls", one.calls},
          {"bytes_out", one.bytes_out}};
}

Json to_json(const RefusalCount& one) {
  return {{"reason", one.reason},
          {"count", one.count},
          {"keys", one.keys},
          {"addresses", one.addresses}};
}

Json to_json(const ChangeEvent& one) {
  return {{"unix_ms", one.unix_ms},   {"sequence", one.sequence}, {"action", one.action},
          {"resource", one.resource}, {"tenant", one.tenant},     {"operator_id", one.operator_id},
          {"outcome", one.outcome},   {"reason", one.reason}};
}

Json to_json(const Anomaly& one) {
  return {{"kind", anomaly_name(one.kind)},
          {"count", one.count},
          {"subject", one.subject},
          {"first_ms", one.first_ms},
          {"first_sequence", one.first_sequence}};
}

template <class One>
Json list(const std::vector<One>& all) {
  Json array = Json::array();
  for (const One& one : all) {
    array.push_back(to_json(one));
  }
  return array;
}

}  // namespace

std::string_view anomaly_name(AnomalyKind kind) {
  switch (kind) {
    case AnomalyKind::unfinished_calls:
      return "unfinished_calls";
    case AnomalyKind::new_address:
      return "new_address";
    case AnomalyKind::refusal_burst:
      return "refusal_burst";
    case AnomalyKind::call_surge:
      return "call_surge";
    case AnomalyKind::night_administration:
      return "night_administration";
    case AnomalyKind::clock_step:
      return "clock_step";
    case AnomalyKind::leaked_key:
      return "leaked_key";
  }
  return "";
}

std::string canonical_figures(const MonthlyReport& report) {
  const Json json = {{"origin", report.origin},
                     {"month", report.month},
                     {"from_ms", report.from_ms},
                     {"until_ms", report.until_ms},
                     {"first_sequence", report.first_sequence},
                     {"last_sequence", report.last_sequence},
                     {"records", report.records},
                     {"month_over", report.month_over},
                     {"tenants", list(report.tenants)},
                     {"models", list(report.models)},
                     {"data_classes", list(report.data_classes)},
                     {"routes", list(report.routes)},
                     {"egress", list(report.egress)},
                     {"refusals", list(report.refusals)},
                     {"changes", list(report.changes)},
                     {"changes_left_out", report.changes_left_out},
                     {"anomalies", list(report.anomalies)}};
  constexpr int kNoWhiteSpace = -1;
  constexpr bool kAsciiOnly = true;
  return json.dump(kNoWhiteSpace, ' ', kAsciiOnly, Json::error_handler_t::replace);
}

std::string figures_sha256(const MonthlyReport& report) {
  return to_hex(crypto::view(crypto::sha256(canonical_figures(report))));
}

}  // namespace deepmoat::review
