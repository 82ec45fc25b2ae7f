// For this module's tests: what reads and proves the log of a scratch server.
#pragma once

#include <boost/asio/thread_pool.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "audit/checkpointer.h"
#include "audit/log.h"
#include "gateway/audit_admin.h"
#include "review/index_keeper.h"
#include "transparency/note.h"

namespace deepmoat::gateway {

// The log must outlive it.
struct ScratchAuditDesk {
  ScratchAuditDesk(audit::Log& log, const std::filesystem::path& folder, const Clock& clock)
      : checkpointer(log, signer, {}, clock),
        keeper(log.directory(), folder / "audit-index.db", [&log] { return log.tree().size(); }),
        witness(transparency::Witness::open(folder / "witnessed", {other_log()}).value()) {}

  static transparency::NoteSigner make_signer() {
    auto key = crypto::SigningKey::from_seed(Secret(std::string(32, 'c')));
    return transparency::NoteSigner::make("deepmoat/scratch", std::move(key).value(), std::nullopt)
        .value();
  }

  // Of another server, whose checkpoints this one keeps.
  static transparency::NoteSigner other_signer() {
    auto key = crypto::SigningKey::from_seed(Secret(std::string(32, 'o')));
    return transparency::NoteSigner::make("deepmoat/other", std::move(key).value(), std::nullopt)
        .value();
  }
  static transparency::NoteVerifier other_log() {
    return transparency::NoteVerifier::parse(other_signer().verifier_key()).value();
  }

  transparency::NoteSigner signer = make_signer();
  audit::Checkpointer checkpointer;
  review::IndexKeeper keeper;
  boost::asio::thread_pool readers{2};
  boost::asio::thread_pool witnessing{1};
  std::unique_ptr<transparency::Witness> witness;
  AuditDesk desk{keeper, checkpointer, readers, *witness, witnessing};
};

}  // namespace deepmoat::gateway
