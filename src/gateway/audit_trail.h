// The audit record of one call, filled in as the call goes through the stages.
#pragma once

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <string_view>

#include "audit/log.h"
#include "audit/record.h"
#include "base/clock.h"
#include "base/secret.h"
#include "gateway/call.h"
#include "gateway/metrics.h"

namespace deepmoat::gateway {

namespace asio = boost::asio;

// Belongs to one call and its coroutine.
class AuditTrail {
 public:
  AuditTrail(const Services& services, Metrics& metrics, const ReceivedCall& call);

  // What the stages learn goes straight into the record.
  audit::Record record;
  // Who may go on when the disk is full: set by whoever finds out who calls.
  audit::Lane lane = audit::Lane::calls;

  // Fingerprint of text of `record.tenant`: equal texts of one tenant have equal fingerprints,
  // texts of two tenants cannot be compared, and nothing can be read out of one.
  [[nodiscard]] std::string fingerprint(std::string_view text) const;

  // Which files answer: of the model, and of `record.adapter`.
  void note_model(const backend::ModelIdentity& identity);

  // Durable before the effect. An error: answer 503 audit_unavailable and do nothing.
  asio::awaitable<Result<>> intent();

  // Durable before the last byte leaves.
  asio::awaitable<Result<>> result(audit::Outcome outcome, int status, std::string reason);

  // `x-audit-record`: the sequence of the call's first record, its intent or, where it has none,
  // its result. Nothing before that is durable.
  [[nodiscard]] Headers record_header() const;

  // Into the metrics; result() does it too.
  void count(int status, std::string_view reason) const;

 private:
  asio::awaitable<Result<std::uint64_t>> append(audit::Record record_to_write);

  audit::Log& log_;
  const Clock& clock_;
  const Secret& fingerprint_secret_;
  Metrics& metrics_;
  const Route* route_;
  std::uint64_t first_sequence_ = 0;
  MonoNanos received_ns_;
};

// As AuditTrail::record_header(), of a record that something else wrote; 0: none.
[[nodiscard]] Headers record_header(std::uint64_t sequence);

// The refusal when the log cannot be written.
[[nodiscard]] wire::Refusal audit_unavailable();

}  // namespace deepmoat::gateway
