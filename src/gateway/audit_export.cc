#include "gateway/audit_export.h"

#include <memory>
#include <utility>

#include "base/log.h"
#include "gateway/audit_admin.h"
#include "gateway/audit_reading.h"
#include "gateway/blocking.h"
#include "review/evidence.h"

namespace deepmoat::gateway {

namespace {

using review::Export;
using Begun = wire::OrRefusal<std::shared_ptr<Export>>;

struct Piece {
  std::string bytes;
  bool more = false;
};

wire::OrRefusal<review::Filter> read_filter(const AuthenticatedCall& call,
                                            const Services& services) {
  Parameters parameters(call.received);
  TRY(review::Filter filter,
      take_filter(parameters, call.principal, services.clock.unix_ms(), review::PhaseFilter::all));
  CHECK_OK(parameters.finish());
  return filter;
}

Begun begin(const Services& services, const review::Filter& filter) {
  auto log = current_log(services);
  if (!log) {
    return std::unexpected(wire::to_refusal(log.error()));
  }
  auto made = Export::begin({.index = std::move(log->index),
                             .log_folder = services.audit_desk->keeper.log_folder(),
                             .tree = std::move(log->tree),
                             .signer = services.audit_desk->checkpointer.signer(),
                             .made_ms = services.clock.unix_ms()},
                            filter);
  if (!made) {
    return std::unexpected(wire::to_field_refusal(made.error()));
  }
  return std::shared_ptr<Export>(*std::move(made));
}

asio::awaitable<Begun> begin_on_reader(const AuthenticatedCall& call, Services& services) {
  auto filter = read_filter(call, services);
  if (!filter) {
    co_return std::unexpected(std::move(filter).error());
  }
  std::move_only_function<Begun()> work = [&services, filter = *std::move(filter)] {
    return begin(services, filter);
  };
  Begun begun = co_await run_blocking<Begun>(services.audit_desk->readers, std::move(work));
  co_return begun;
}

asio::awaitable<Result<Piece>> next_piece(std::shared_ptr<Export> made, Services& services) {
  std::move_only_function<Result<Piece>()> work = [made]() -> Result<Piece> {
    Piece piece;
    TRY(piece.more, made->next(piece.bytes));
    return piece;
  };
  Result<Piece> piece =
      co_await run_blocking<Result<Piece>>(services.audit_desk->readers, std::move(work));
  co_return piece;
}

// 499 as for streams of models.
struct End {
  audit::Outcome outcome = audit::Outcome::success;
  int status = 200;
  std::string reason;
};

// All but the last piece, which `last` gets.
asio::awaitable<End> pass_on(std::shared_ptr<Export> made, Responder& responder, Services& services,
                             std::string& last) {
  for (;;) {
    auto piece = co_await next_piece(made, services);
    if (!piece) {
      const std::string error = piece.error().message;
      log::error("an export of the audit log broke off", {{"error", error}});
      co_return End{audit::Outcome::failed, 200, std::string(code_name(piece.error().code))};
    }
    if (!piece->more) {
      last = std::move(piece->bytes);
      co_return End{};
    }
    const bool alive = co_await responder.stream(std::move(piece->bytes));
    if (!alive) {
      co_return End{audit::Outcome::cancelled, 499, ""};
    }
  }
}

}  // namespace

asio::awaitable<void> stream_export(AuthenticatedCall call, Responder& responder,
                                    Services& services, AuditTrail& trail) {
  Begun begun = co_await begin_on_reader(call, services);
  if (!begun) {
    const wire::Refusal& refusal = begun.error();
    const auto outcome = refusal.status < 500 ? audit::Outcome::refused : audit::Outcome::failed;
    const auto written = co_await trail.result(outcome, refusal.status, refusal.code);
    Response response = to_response(written ? refusal : audit_unavailable());
    co_await responder.send(std::move(response));
    co_return;
  }
  Headers headers = {{"content-type", "application/x-ndjson"},
                     {"cache-control", "no-store"},
                     {"content-disposition", "attachment; filename=\"audit-export.ndjson\""}};
  co_await responder.begin_stream(std::move(headers));
  std::string last;
  End end = co_await pass_on(*begun, responder, services, last);
  trail.record.bytes_out = responder.bytes_sent() + last.size();
  const bool whole = end.outcome == audit::Outcome::success;
  const auto written = co_await trail.result(end.outcome, end.status, std::move(end.reason));
  if (whole && written) {
    co_await responder.stream(std::move(last));
  }
  co_await responder.end_stream(whole && written.has_value());
}

}  // namespace deepmoat::gateway
