// Auditors' questions: parameters of a route as a filter, records as an answer.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"
#include "review/query.h"

namespace deepmoat::gateway {

inline constexpr std::uint64_t kRecordsOfPageMax = 10'000;

// The parameters of a call, each taken once. What is left at the end is a typing error: to leave a
// filter out would answer another question.
class Parameters {
 public:
  // "?" alone, or an "&" at the end, asks for nothing.
  explicit Parameters(const ReceivedCall& call) : left_(call.query) {
    std::erase(left_, std::pair<std::string, std::string>());
  }

  // Empty where it is absent. An error that finish() tells when it is there twice, or with no
  // value: a variable of a script that is not set would else mean all tenants.
  std::string take(std::string_view name);
  [[nodiscard]] wire::OrRefusal<> finish() const;

 private:
  std::vector<std::pair<std::string, std::string>> left_;
  std::optional<wire::Refusal> refusal_;  // the first
};

// Takes those that say which records; somebody of another tenant than the home one reads his own
// alone, and another's is like none: 404. `phase`: where nothing is said.
[[nodiscard]] wire::OrRefusal<review::Filter> take_filter(Parameters& parameters,
                                                          const identity::Principal& principal,
                                                          UnixMillis now_ms,
                                                          review::PhaseFilter phase);

// A page of records. Blocking, on a thread for reading the log. REQUIRES: services.audit_desk.
[[nodiscard]] Response list_records(const Services& services, const AuthenticatedCall& call);

}  // namespace deepmoat::gateway
