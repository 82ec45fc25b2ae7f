// For this module's tests: what auditors set, over a server's database and log.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "gateway/oversight_admin.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

class ScratchOversightDesk {
 public:
  struct Parts {
    store::Database& database;
    identity::AppendAudit append;
    crypto::FieldCipher& cipher;
    const crypto::RootSecrets& secrets;
    const Clock& clock;
  };
  explicit ScratchOversightDesk(Parts parts) : parts_(std::move(parts)) { reopen(); }

  // As a start does, which finds the rows as they are on the disk now.
  void reopen() {
    auto policies = oversight::ContentPolicies::open(parts_.database, parts_.append, parts_.secrets,
                                                     parts_.clock);
    auto holds =
        oversight::LegalHolds::open(parts_.database, parts_.append, parts_.secrets, parts_.clock);
    ASSERT_TRUE(policies && holds);
    policies_ = *std::move(policies);
    holds_ = *std::move(holds);
    contents_ = std::make_unique<oversight::ContentStore>(
        parts_.database, parts_.append, parts_.cipher, *holds_, parts_.secrets, parts_.clock);
    desk_ = std::make_unique<OversightDesk>(
        OversightDesk{.policies = *policies_, .holds = *holds_, .contents = *contents_});
  }
  [[nodiscard]] const OversightDesk* desk() const { return desk_.get(); }

 private:
  Parts parts_;
  std::unique_ptr<oversight::ContentPolicies> policies_;
  std::unique_ptr<oversight::LegalHolds> holds_;
  std::unique_ptr<oversight::ContentStore> contents_;
  std::unique_ptr<OversightDesk> desk_;
};

}  // namespace deepmoat::gateway
