// Second places that keep the newest checkpoint of the log: what makes a log that was rolled back,
// cut or replaced show (docs/formats/audit.md, "Checkpoint").
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "audit/log_tree.h"
#include "base/clock.h"
#include "base/result.h"
#include "crypto/custody.h"

namespace deepmoat::audit {

// One thread at a time.
class CheckpointPlace {
 public:
  virtual ~CheckpointPlace() = default;
  // For people: "directory:/mnt/worm", "syslog".
  [[nodiscard]] virtual std::string name() const = 0;
  // The note that was kept last; none when there is none, or the place cannot be read back.
  [[nodiscard]] virtual Result<std::optional<std::string>> newest() = 0;
  // False: newest() never has one.
  [[nodiscard]] virtual bool reads_back() const { return true; }
  // The tree that keep()'s checkpoints are of, for places that want a proof. Before the first
  // keep().
  virtual void attach(const LogTree& /*tree*/) {}
  // True: durable there, as far as the place can promise that. False: not yet, it has to be asked
  // again. `last`: it will not be, because the server ends.
  [[nodiscard]] virtual Result<bool> keep(const std::string& note, bool last) = 0;
};

// For places that are slow, or wear.
class OnceAMinute {
 public:
  explicit OnceAMinute(const Clock& clock) : clock_(clock) {}
  // Counts as asking. `last`: always.
  [[nodiscard]] bool due(bool last);

 private:
  static constexpr MonoNanos kMinuteNs = 60'000'000'000;
  const Clock& clock_;
  std::optional<MonoNanos> asked_ns_;
};

// A file in another folder: another disk, a network share, a write-once medium. The folder must be
// there: one that is not mounted must not look like one without a checkpoint. `origin` names the
// file, so that many logs can share a folder.
[[nodiscard]] std::unique_ptr<CheckpointPlace> directory_place(std::string directory,
                                                               const std::string& origin);

// One line a checkpoint, facility authpriv, to whatever host the system's syslog sends it to. It
// cannot be read back: people and `deepmoat-verify log --checkpoint` compare.
[[nodiscard]] std::unique_ptr<CheckpointPlace> syslog_place();

// A data object in the PKCS#11 token of the root keys. Tokens wear and are slow: it is written once
// a minute at most, and when the server ends.
[[nodiscard]] std::unique_ptr<CheckpointPlace> token_place(crypto::KeyCustody& custody,
                                                           const Clock& clock);

// "directory:/path", "syslog" or "token". Code::invalid_argument for anything else.
[[nodiscard]] Result<std::unique_ptr<CheckpointPlace>> make_checkpoint_place(
    const std::string& text, const std::string& origin, crypto::KeyCustody& custody,
    const Clock& clock);

}  // namespace deepmoat::audit
