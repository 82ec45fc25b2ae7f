#include "gateway/audit_trail.h"

#include <boost/asio/this_coro.hpp>

#include "base/hex.h"
#include "crypto/digest.h"
#include "gateway/mailbox.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

AuditTrail::AuditTrail(const Services& services, Metrics& metrics, const ReceivedCall& call)
    : log_(services.audit_log),
      clock_(services.clock),
      fingerprint_secret_(services.fingerprint_secret),
      metrics_(metrics),
      route_(call.route),
      received_ns_(call.received_ns) {
  record.request_id = call.request_id.value();
  record.ip_address = call.address;
  record.authentication = "none";
  if (call.route != nullptr) {
    record.action = call.route->action;
    record.operation = call.route->operation;
  } else {
    record.action = "unknown_route";
    record.operation = audit::Operation::read;
  }
}

std::string AuditTrail::fingerprint(std::string_view text) const {
  const crypto::Digest tenant_key =
      crypto::hmac_sha256(fingerprint_secret_, "tenant:" + record.tenant);
  const Secret key = Secret::copy_of(crypto::view(tenant_key));
  return to_hex(crypto::view(crypto::hmac_sha256(key, text)));
}

asio::awaitable<Result<std::uint64_t>> AuditTrail::append(audit::Record record_to_write) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto answer = std::make_shared<Mailbox<Result<std::uint64_t>>>(executor);
  log_.append(
      std::move(record_to_write),
      [answer](Result<std::uint64_t> sequence) { answer->push(std::move(sequence)); }, lane);
  for (;;) {
    auto taken = co_await answer->take(std::chrono::hours(1));
    if (!taken.empty()) {
      co_return std::move(taken.front());
    }
  }
}

void AuditTrail::note_model(const backend::ModelIdentity& identity) {
  record.model_version = identity.version;
  const auto adapter = identity.adapter_versions.find(record.adapter);
  record.adapter_version = adapter == identity.adapter_versions.end() ? "" : adapter->second;
}

asio::awaitable<Result<>> AuditTrail::intent() {
  audit::Record written = record;
  written.phase = audit::Phase::intent;
  written.outcome = audit::Outcome::pending;
  const auto sequence = co_await append(std::move(written));
  if (!sequence) {
    co_return std::unexpected(sequence.error());
  }
  record.intent_sequence = *sequence;
  first_sequence_ = *sequence;
  co_return Result<>();
}

asio::awaitable<Result<>> AuditTrail::result(audit::Outcome outcome, int status,
                                             std::string reason) {
  record.phase = audit::Phase::result;
  record.outcome = outcome;
  record.status = status;
  record.reason = std::move(reason);
  count(status, record.reason);
  record.duration_ms = static_cast<std::uint64_t>((clock_.mono_ns() - received_ns_) / 1'000'000);
  const auto sequence = co_await append(record);
  if (!sequence) {
    co_return std::unexpected(sequence.error());
  }
  if (first_sequence_ == 0) {
    first_sequence_ = *sequence;
  }
  co_return Result<>();
}

void AuditTrail::count(int status, std::string_view reason) const {
  metrics_.count(route_, status, reason, clock_.mono_ns() - received_ns_);
}

Headers AuditTrail::record_header() const {
  return gateway::record_header(first_sequence_);
}

Headers record_header(std::uint64_t sequence) {
  return sequence == 0 ? Headers() : Headers{{"x-audit-record", std::to_string(sequence)}};
}

wire::Refusal audit_unavailable() {
  return wire::to_refusal({Code::audit_unavailable, ""});
}

}  // namespace deepmoat::gateway
