// The audit log over HTTP: receipts for everybody, questions, exports and the monthly report for
// auditors. Reading it is on record as everything else is.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <memory>

#include "audit/checkpointer.h"
#include "audit/record.h"
#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"
#include "review/evidence.h"
#include "review/index_keeper.h"
#include "transparency/witness.h"

namespace deepmoat::gateway {

// What the routes of this file work with.
struct AuditDesk {
  review::IndexKeeper& keeper;
  audit::Checkpointer& checkpointer;
  asio::thread_pool& readers;  // threads of its own: a question may take seconds
  transparency::Witness& witness;
  // A log that waits for its witness does not wait behind questions, which may wait for a witness.
  asio::thread_pool& witnessing;
};

// After which a caller is told to come again.
inline constexpr std::chrono::seconds kIndexPatience{5};

[[nodiscard]] bool is_audit(Handler handler);

// What is asked for, into the record of the call before its intent is written: `resource` (a
// request's id, a month) and `reason` (the filter, or what is signed off). Refused: what no record
// holds whole, since what an auditor asked has to be known, and everything where nobody reads.
[[nodiscard]] wire::OrRefusal<> note_reading(const ReceivedCall& call, const Services& services,
                                             audit::Record& record);

// A checkpoint that covers all that the log has by now, its tree, and an index that holds as much.
// Blocking. Code::unavailable when the index is behind.
struct CurrentLog {
  review::SignedTree tree;
  std::unique_ptr<review::AuditIndex> index;
};
[[nodiscard]] Result<CurrentLog> current_log(const Services& services);

// Runs the route's action on a reader's thread. REQUIRES: note_reading() has not refused. The
// export has a file of its own.
asio::awaitable<Response> answer_audit(std::shared_ptr<const AuthenticatedCall> call,
                                       Services& services);

}  // namespace deepmoat::gateway
