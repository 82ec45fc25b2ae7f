// Which calls' content is kept, and for how long: what an auditor sets. Without a policy nothing of
// what is asked and answered is kept.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "crypto/hmac.h"
#include "crypto/key_file.h"
#include "identity/audited_action.h"
#include "identity/row_seal.h"
#include "store/oversight_table.h"

namespace deepmoat::oversight {

inline constexpr std::int64_t kKeepDaysMax = 3650;
inline constexpr std::uint32_t kSampleAll = 1'000'000;  // shares are in millionths
inline constexpr std::size_t kPoliciesMax = 100;        // of one tenant, and of all tenants

struct NewContentPolicy {
  std::string tenant;      // empty: all; only an auditor of the home tenant
  std::string model;       // as the audit log names it; empty: all
  std::string data_class;  // exactly this one; empty: all
  double sample_rate = 1;  // of the calls that fit, 0 to 1
  std::int64_t keep_days = 0;
  std::string reason;
};

struct ContentPolicy {
  std::string id;
  std::string tenant;
  std::string model;
  std::string data_class;
  std::uint32_t sample_ppm = kSampleAll;
  std::int64_t keep_days = 0;
  std::string reason;
  std::string created_by;  // "tenant/client_id"
  UnixMillis created_ms = 0;
  bool intact = true;  // false: the row was altered from outside, and none of the above is certain
};

// What a policy looks at.
struct CallFacts {
  std::string_view tenant;
  std::string_view model;
  std::string_view data_class;
  std::string_view request_id;
  std::uint64_t intent_sequence = 0;  // of the call's intent in the audit log
};

// Days for which a call is kept whose draw is `draw`, below kSampleAll: the longest of the policies
// that fit. Pure.
[[nodiscard]] std::optional<std::int64_t> matches(std::span<const ContentPolicy> policies,
                                                  const CallFacts& call, std::uint32_t draw);

// Changes and lists on the database's thread; match() and any() on any.
class ContentPolicies {
 public:
  // All that is referred to must outlive it. An altered row is no error here: it is one of every
  // match().
  static Result<std::unique_ptr<ContentPolicies>> open(store::Database& database,
                                                       identity::AppendAudit append,
                                                       const crypto::RootSecrets& secrets,
                                                       const Clock& clock);
  ContentPolicies(const ContentPolicies&) = delete;
  ContentPolicies& operator=(const ContentPolicies&) = delete;

  // Each is on record. Code::invalid_argument and Code::permission_denied name the field.
  Result<ContentPolicy> add(const identity::Actor& actor, const NewContentPolicy& request);
  // Code::not_found also for those of tenants that the actor does not reach. An altered one is
  // removed by an auditor of the home tenant.
  Result<> remove(const identity::Actor& actor, const std::string& id);
  // Those that the actor reaches, the oldest first; altered ones for the home tenant alone.
  Result<std::vector<ContentPolicy>> list(const identity::Actor& actor);

  // Whether match() can say anything but "no". One atomic load.
  [[nodiscard]] bool any() const { return any_.load(std::memory_order_acquire); }
  // Days for which this call's content is kept; none: not at all. Code::corrupt while a policy's
  // row is altered or the policies cannot be read: what should be kept is not known.
  [[nodiscard]] Result<std::optional<std::int64_t>> match(const CallFacts& call) const;
  // Below kSampleAll, the same for the same call, and known to nobody without the root secrets. A
  // client may choose its request ids, and use one twice, but not the sequence.
  [[nodiscard]] std::uint32_t draw_of(std::string_view request_id,
                                      std::uint64_t intent_sequence) const;

 private:
  // None: they are not certain.
  using Snapshot = std::optional<std::vector<ContentPolicy>>;

  ContentPolicies(store::Database& database, identity::AppendAudit append,
                  const crypto::RootSecrets& secrets, const Clock& clock);
  Result<> reload();
  void publish(Snapshot policies);
  [[nodiscard]] std::string row_mac(const store::ContentPolicyRow& row) const;
  [[nodiscard]] ContentPolicy policy_of(const store::ContentPolicyRow& row) const;
  Result<ContentPolicy> insert(const identity::Actor& actor, const NewContentPolicy& request);

  store::Database& database_;
  store::OversightTable table_;
  identity::AppendAudit append_;
  identity::RowSeal rows_;
  crypto::HmacSha256 draws_;
  const Clock& clock_;
  std::atomic<bool> any_ = false;
  std::atomic<std::shared_ptr<const Snapshot>> snapshot_;
};

}  // namespace deepmoat::oversight
