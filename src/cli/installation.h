// Opens a data folder: its lock, secrets, audit log, database and keys, in the order in which one
// needs the other. `deepmoat serve` holds one; commands without a running server open it too.
#pragma once

#include <memory>

#include "audit/checkpointer.h"
#include "audit/log.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/file.h"
#include "cli/data_folder.h"
#include "crypto/custody_watch.h"
#include "crypto/envelope.h"
#include "crypto/key_file.h"
#include "crypto/signature.h"
#include "gateway/leak_admin.h"
#include "gateway/oversight_admin.h"
#include "gateway/people_admin.h"
#include "identity/approvals.h"
#include "identity/authenticator.h"
#include "identity/key_authority.h"
#include "identity/key_rotation.h"
#include "identity/key_service.h"
#include "identity/people.h"
#include "identity/second_factor.h"
#include "identity/sessions.h"
#include "identity/sign_in.h"
#include "identity/successors.h"
#include "identity/tenant_service.h"
#include "store/database.h"
#include "webhook/service.h"

namespace deepmoat::cli {

class Installation {
 public:
  // Code::already_exists when another process holds the folder. Makes what a first start lacks.
  static Result<std::unique_ptr<Installation>> open(const DataFolder& folder, const Config& config,
                                                    const Clock& clock);

  [[nodiscard]] audit::Log& audit_log() { return *audit_log_; }
  [[nodiscard]] audit::Checkpointer& checkpointer() { return *checkpointer_; }
  [[nodiscard]] store::Database& database() { return *database_; }
  [[nodiscard]] identity::Authenticator& authenticator() { return *authenticator_; }
  [[nodiscard]] identity::KeyService& keys() { return *keys_; }
  [[nodiscard]] identity::TenantService& tenants() { return *tenants_; }
  [[nodiscard]] crypto::KeyCustody& root_keys() { return *root_keys_; }
  [[nodiscard]] crypto::CustodyWatch& custody_watch() { return *custody_watch_; }
  [[nodiscard]] crypto::Envelope& envelope() { return *envelope_; }
  [[nodiscard]] identity::SecondFactors& second_factors() { return *second_factors_; }
  [[nodiscard]] identity::KeyRotation& rotation() { return *rotation_; }
  [[nodiscard]] identity::Approvals& approvals() { return *approvals_; }
  [[nodiscard]] webhook::WebhookService& webhooks() { return *webhooks_; }
  [[nodiscard]] const gateway::LeakDesk& leak_desk() const { return *leak_desk_; }
  [[nodiscard]] const gateway::PeopleDesk& people_desk() const { return *people_desk_; }
  [[nodiscard]] const gateway::OversightDesk& oversight_desk() const { return *oversight_desk_; }
  [[nodiscard]] const Secret& fingerprint_secret() const { return secrets_.audit_fingerprint; }

 private:
  Installation() = default;
  Result<> open_custody(const DataFolder& folder, const Config& config, const Clock& clock,
                        bool first_start);
  Result<> open_audit_log(const DataFolder& folder, const Config& config, const Clock& clock);
  Result<> open_envelope(const DataFolder& folder, const Config& config, const Clock& clock);
  Result<> observe_recorded_time(const DataFolder& folder, const Clock& clock);
  bool hear(const crypto::CustodyHealth& health);
  Result<> open_leak_desk(const DataFolder& folder, const Config& config, const Clock& clock);
  void open_people_desk(const Config& config, const Clock& clock);
  Result<> open_oversight_desk(const Clock& clock);

  // Destroyed from the last to the first.
  UniqueFd lock_;
  std::unique_ptr<crypto::KeyCustody> root_keys_;
  crypto::RootSecrets secrets_;
  std::unique_ptr<transparency::NoteSigner> checkpoint_key_;
  std::unique_ptr<audit::Log> audit_log_;
  std::unique_ptr<audit::Checkpointer> checkpointer_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<crypto::Envelope> envelope_;  // asks custody_watch_ before it makes a key
  std::unique_ptr<identity::KeyAuthority> authority_;
  std::unique_ptr<identity::Authenticator> authenticator_;
  std::unique_ptr<identity::KeyService> keys_;
  std::unique_ptr<identity::TenantService> tenants_;
  std::unique_ptr<identity::SecondFactors> second_factors_;
  std::unique_ptr<identity::KeyRotation> rotation_;
  std::unique_ptr<identity::Approvals> approvals_;
  std::unique_ptr<crypto::SigningKey> incident_key_;
  std::unique_ptr<webhook::WebhookService> webhooks_;
  std::unique_ptr<identity::Sessions> sessions_;
  std::unique_ptr<identity::Successors> successors_;
  std::unique_ptr<gateway::LeakService> leaks_;
  std::unique_ptr<gateway::LeakDesk> leak_desk_;
  std::unique_ptr<identity::People> people_;
  std::unique_ptr<identity::SignIn> sign_in_;
  std::unique_ptr<gateway::PeopleDesk> people_desk_;
  std::unique_ptr<oversight::ContentPolicies> policies_;
  std::unique_ptr<oversight::LegalHolds> holds_;
  std::unique_ptr<oversight::ContentStore> contents_;
  std::unique_ptr<gateway::OversightDesk> oversight_desk_;
  std::unique_ptr<crypto::CustodyWatch> custody_watch_;  // its thread uses what is above
};

}  // namespace deepmoat::cli
