// What may not be deleted, whatever a policy says: an auditor's hold on the records and the content
// of a tenant, a key, a client or a span of time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/record.h"
#include "base/clock.h"
#include "base/result.h"
#include "crypto/key_file.h"
#include "identity/audited_action.h"
#include "identity/row_seal.h"
#include "store/oversight_table.h"

namespace deepmoat::oversight {

inline constexpr std::size_t kHoldsMax = 1000;  // in force, of one tenant and of all tenants

// At least one of the five says what is held; what is empty or 0 narrows nothing.
struct NewLegalHold {
  std::string tenant;  // empty: all; only an auditor of the home tenant
  std::string key_id;  // or a prefix of one
  std::string operator_id;
  std::int64_t since_s = 0;  // Unix time, of what happened then or later
  std::int64_t until_s = 0;  // before then
  std::string reason;
};

struct LegalHold {
  std::string id;
  std::string tenant;
  std::string key_id;
  std::string operator_id;
  UnixMillis since_ms = 0;
  UnixMillis until_ms = 0;
  std::string reason;
  std::string placed_by;  // "tenant/client_id"
  UnixMillis placed_ms = 0;
  std::string released_by;     // likewise
  UnixMillis released_ms = 0;  // 0: in force
  bool intact = true;  // false: the row was altered from outside, and none of the above is certain
};

// What a hold looks at.
struct HoldFacts {
  std::string_view tenant;
  std::string_view key_id;
  std::string_view operator_id;
  UnixMillis happened_ms = 0;
};

// Whether the hold is about it, in force or not. Pure.
[[nodiscard]] bool covers(const LegalHold& hold, const HoldFacts& facts);

// Changes and lists on the database's thread; held() on any.
class LegalHolds {
 public:
  // All that is referred to must outlive it. An altered row is no error here: it holds everything.
  static Result<std::unique_ptr<LegalHolds>> open(store::Database& database,
                                                  identity::AppendAudit append,
                                                  const crypto::RootSecrets& secrets,
                                                  const Clock& clock);
  LegalHolds(const LegalHolds&) = delete;
  LegalHolds& operator=(const LegalHolds&) = delete;

  // Each is on record. Code::invalid_argument and Code::permission_denied name the field.
  Result<LegalHold> place(const identity::Actor& actor, const NewLegalHold& request);
  // Code::not_found also for those of tenants that the actor does not reach, Code::already_exists
  // for one that was released. An altered one is taken away by an auditor of the home tenant.
  Result<LegalHold> release(const identity::Actor& actor, const std::string& id);
  // Those that the actor reaches, the oldest first, released ones too; altered ones for the home
  // tenant alone.
  Result<std::vector<LegalHold>> list(const identity::Actor& actor);

  // Whether a hold in force covers it. True for everything while uncertain(), which is logged when
  // it is found.
  [[nodiscard]] bool held(const HoldFacts& facts) const;
  // The same of a record of the audit log that was written at `happened_ms`; one about a key (its
  // resource) counts as one of that key.
  [[nodiscard]] bool held(const audit::Record& record, UnixMillis happened_ms) const;
  // A row was altered from outside, or the holds cannot be read: nothing may be deleted.
  [[nodiscard]] bool uncertain() const;
  // Rises with each change.
  [[nodiscard]] std::uint64_t generation() const { return generation_.load(); }
  // When a hold was last released, or an altered one taken away: what it held may be deleted now,
  // however long ago its time ended. 0: never since the rows that are there.
  [[nodiscard]] UnixMillis newest_release_ms() const { return newest_release_ms_.load(); }

 private:
  // Those in force; none: they are not certain.
  using Snapshot = std::optional<std::vector<LegalHold>>;

  LegalHolds(store::Database& database, identity::AppendAudit append,
             const crypto::RootSecrets& secrets, const Clock& clock);
  Result<> reload();
  Result<> read_rows();
  [[nodiscard]] std::string row_mac(const store::LegalHoldRow& row) const;
  [[nodiscard]] LegalHold hold_of(const store::LegalHoldRow& row) const;
  Result<LegalHold> insert(const identity::Actor& actor, const NewLegalHold& request);
  Result<LegalHold> end(const identity::Actor& actor, const std::string& id,
                        identity::AuditedAction& action);

  store::Database& database_;
  store::OversightTable table_;
  identity::AppendAudit append_;
  identity::RowSeal rows_;
  const Clock& clock_;
  std::atomic<std::shared_ptr<const Snapshot>> snapshot_;
  std::atomic<UnixMillis> newest_release_ms_ = 0;
  std::atomic<std::uint64_t> generation_ = 0;
};

}  // namespace deepmoat::oversight
