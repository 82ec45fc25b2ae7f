// Two persons for what cannot be undone (the four-eyes principle): what one person asks for waits,
// durably, until another one lets it happen, refuses it, or its time is over.
//
// Knows nothing of HTTP: which calls need two is the gateway's route table, and what carries one
// out is handed in. Every row is sealed by a MAC over all of it. Everything is audited. Blocking;
// on the database's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "crypto/key_file.h"
#include "identity/audited_action.h"
#include "identity/authenticator.h"
#include "identity/person_rows.h"
#include "identity/row_seal.h"
#include "store/approval_table.h"
#include "store/database.h"

namespace deepmoat::identity {

inline constexpr std::size_t kHeldBodyBytesMax = std::size_t{16} * 1024;
inline constexpr std::size_t kApprovalsWaitingMax = 100;  // of one tenant

// The call that waits, as it will be carried out. Holds no secret.
struct HeldCall {
  std::string route;  // "POST /admin/v1/catalog/{}/remove"
  std::string argument;
  std::string body;
  std::string action;    // as in the audit log
  std::string resource;  // for people: what it is about
};

enum class ApprovalState : std::uint8_t {
  waiting,
  expired,      // nobody decided in time
  done,         // approved, and carried out
  failed,       // approved, and what carried it out said no
  interrupted,  // approved, and how it ended is not known: the server ended before it
  refused,      // by a second person
  withdrawn,    // by whoever had asked
  altered,      // its row's MAC does not fit: nobody can approve it
};
[[nodiscard]] std::string_view state_name(ApprovalState state);

struct Approval {
  store::ApprovalRow row;
  ApprovalState state = ApprovalState::waiting;

  [[nodiscard]] std::string requester() const;  // "tenant/client_id"
  [[nodiscard]] std::string decider() const;    // likewise; empty: nobody has decided
};

// Whether `actor` is the person who asked. A person is a client of a tenant, whatever key he
// uses; the machine itself is one person whatever the user, as whoever can become one user of the
// data folder can become the other.
[[nodiscard]] bool asked_for(const Actor& actor, const Approval& approval);

class Approvals {
 public:
  // Whether the actor's own permissions cover the call.
  using Permitted = std::function<Result<>(const Approval&)>;
  // Carries the call out as `requester`, who names the approver; returns the HTTP status.
  using CarryOut = std::function<int(const Actor& requester, const HeldCall& call)>;

  // All that is referred to must outlive it.
  Approvals(store::Database& database, AppendAudit append, const Authenticator& authenticator,
            const crypto::RootSecrets& secrets, const Clock& clock);
  Approvals(const Approvals&) = delete;
  Approvals& operator=(const Approvals&) = delete;

  // Lets `call` wait for `hours`. What the actor has waiting already stays, and is the answer.
  // Code::resource_exhausted when the tenant has too many.
  Result<Approval> request(const Actor& actor, const HeldCall& call, std::int64_t hours);

  // Of the tenants that the actor reaches, the newest first.
  Result<std::vector<Approval>> list(const Actor& actor);

  // Decides, durably, then carries out: a crash between the two leaves it `interrupted`, and
  // nothing is ever carried out twice. The answer's state says how it ended.
  // Code::not_found also for tenants that the actor does not reach; what `permitted` says;
  // Code::permission_denied for whoever asked; Code::already_exists when it is decided or expired,
  // or when the key that asked is no longer in force; Code::corrupt when the row was altered.
  Result<Approval> approve(const Actor& actor, const std::string& id, const Permitted& permitted,
                           const CarryOut& carry_out);

  // Ends it; whoever asked withdraws it so. Errors as above, and Code::invalid_argument without a
  // reason.
  Result<Approval> refuse(const Actor& actor, const std::string& id, const Permitted& permitted,
                          const std::string& reason);

  // For whoever words a refusal. Not audited. Code::not_found as above.
  Result<Approval> find(const Actor& actor, const std::string& id);

 private:
  [[nodiscard]] UnixMillis now_ms() const;
  [[nodiscard]] std::string row_mac(const store::ApprovalRow& row) const;
  [[nodiscard]] Approval approval_of(store::ApprovalRow row) const;
  [[nodiscard]] bool requester_in_force(const store::ApprovalRow& row);
  Result<> save(store::ApprovalRow& row, std::string_view state_before);
  Result<> decide(Approval& approval, const Actor& actor, std::string_view state);
  Result<Approval> find_waiting(const Actor& actor, const HeldCall& call);
  [[nodiscard]] AuditedAction decision(std::string_view name, const Actor& actor,
                                       const std::string& id);

  store::ApprovalTable table_;
  PersonRows people_;
  AppendAudit append_;
  const Authenticator& authenticator_;
  RowSeal rows_;
  const Clock& clock_;
};

}  // namespace deepmoat::identity
