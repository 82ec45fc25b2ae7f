#include "gateway/audit_admin.h"

#include <fmt/format.h>

#include <cctype>
#include <nlohmann/json.hpp>

#include "audit/record_json.h"
#include "gateway/audit_reading.h"
#include "gateway/audit_reports.h"
#include "gateway/blocking.h"
#include "gateway/receipts.h"
#include "gateway/witness_admin.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kReadsWaitingMax = 32;

// What the home tenant's auditors see beyond others': places name hosts and folders.
Response audit_status(const Services& services, const AuthenticatedCall& call) {
  const AuditDesk& desk = *services.audit_desk;
  const review::KeeperState kept = desk.keeper.state();
  const bool home = call.principal.tenant.value() == identity::kHomeTenant;
  Json index = {{"records", kept.index.last_sequence}, {"complete", kept.index.complete}};
  if (home) {
    index["error"] = kept.error;
  }
  Json status = {{"object", "audit.status"},
                 {"log",
                  {{"state", audit::log_state_name(services.audit_log.state())},
                   {"records", services.audit_log.tree().size()}}},
                 {"checkpoint", desk.checkpointer.newest()},
                 {"index", std::move(index)}};
  if (home) {
    Json places = Json::array();
    for (const audit::PlaceHealth& place : desk.checkpointer.places()) {
      places.push_back({{"place", place.place}, {"records", place.size}, {"error", place.error}});
    }
    status["places"] = std::move(places);
  }
  return {.body = status.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

Response read_log(const Services& services, const AuthenticatedCall& call) {
  switch (call.received.route->handler) {
    case Handler::show_receipt:
      return show_receipt(services, call);
    case Handler::audit_key:
      return show_audit_key(services);
    case Handler::add_witnessed:
      return add_witnessed(services, call);
    case Handler::show_witnessed:
      return show_witnessed(services, call);
    case Handler::list_records:
      return list_records(services, call);
    case Handler::show_report:
      return show_report(services, call);
    case Handler::sign_off_report:
      return sign_off_report(services, call);
    case Handler::audit_status:
      return audit_status(services, call);
    default:
      return to_response(wire::to_refusal({Code::internal, "no such action"}));
  }
}

// As it stands in the record: everything but letters, digits and a few signs is escaped, so that no
// value can look like another parameter.
std::string query_text(const ReceivedCall& call) {
  std::string text;
  const auto add = [&text](std::string_view part) {
    for (const unsigned char c : part) {
      const bool plain = std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == ':';
      text += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
    }
  };
  for (const auto& [name, value] : call.query) {
    text += text.empty() ? "" : "&";
    add(name);
    text += '=';
    add(value);
  }
  return text;
}

}  // namespace

bool is_audit(Handler handler) {
  switch (handler) {
    case Handler::show_receipt:
    case Handler::audit_key:
    case Handler::add_witnessed:
    case Handler::show_witnessed:
    case Handler::list_records:
    case Handler::export_records:
    case Handler::show_report:
    case Handler::sign_off_report:
    case Handler::audit_status:
      return true;
    default:
      return false;
  }
}

wire::OrRefusal<> note_reading(const ReceivedCall& call, const Services& services,
                               audit::Record& record) {
  record.resource = call.argument;
  if (services.audit_desk == nullptr) {
    return std::unexpected(
        wire::to_refusal({Code::unavailable, "nobody reads the audit log of this server"}));
  }
  if (call.route->handler == Handler::sign_off_report) {
    const auto sign_off = read_sign_off(call.body);
    record.reason = sign_off ? sign_off->reason() : std::string();
    return {};
  }
  std::string asked = query_text(call);
  if (asked.size() > audit::kTextBytesMax) {
    return std::unexpected(wire::invalid(
        "query", fmt::format("query: it is on record, which holds {} bytes of it; ask in parts",
                             audit::kTextBytesMax)));
  }
  record.reason = std::move(asked);
  return {};
}

Result<CurrentLog> current_log(const Services& services) {
  const AuditDesk& desk = *services.audit_desk;
  TRY(std::string note, desk.checkpointer.covering(services.audit_log.tree().size()));
  TRY(review::SignedTree tree,
      review::signed_tree(std::move(note), services.audit_log.tree().view()));
  CHECK_OK(desk.keeper.wait_for(tree.checkpoint.size, kIndexPatience));
  TRY(std::unique_ptr<review::AuditIndex> index, desk.keeper.open_reader());
  return CurrentLog{std::move(tree), std::move(index)};
}

asio::awaitable<Response> answer_audit(std::shared_ptr<const AuthenticatedCall> call,
                                       Services& services) {
  const Handler handler = call->received.route->handler;
  const bool of_witness = handler == Handler::add_witnessed || handler == Handler::show_witnessed;
  std::move_only_function<Response()> work = [call = std::move(call), &services] {
    return read_log(services, *call);
  };
  if (of_witness) {
    Response response =
        co_await run_blocking<Response>(services.audit_desk->witnessing, std::move(work));
    co_return response;
  }
  // A broken index, or a question that reads it all, must not make everybody else's queue.
  const WaitingPlace place(services.log_reads_waiting, kReadsWaitingMax);
  if (!place.taken()) {
    co_return to_response(wire::Refusal{.status = 503,
                                        .type = "service_unavailable_error",
                                        .code = "audit_reading_busy",
                                        .message = "Too many read the audit log at this moment; "
                                                   "try again.",
                                        .retry_after_s = 2});
  }
  Response response =
      co_await run_blocking<Response>(services.audit_desk->readers, std::move(work));
  co_return response;
}

}  // namespace deepmoat::gateway
