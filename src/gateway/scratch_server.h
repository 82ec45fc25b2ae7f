// For this module's tests: a server over real services in a folder that goes away, with a scripted
// backend instead of a worker, and a client (raw_client.h).
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "audit/log.h"
#include "base/file.h"
#include "base/scratch_folder.h"
#include "crypto/certificate.h"
#include "crypto/key_file.h"
#include "crypto/scratch_field_cipher.h"
#include "gateway/people_admin.h"
#include "gateway/raw_client.h"
#include "gateway/scratch_audit_desk.h"
#include "gateway/scratch_oversight.h"
#include "gateway/scripted_backend.h"
#include "gateway/server.h"
#include "identity/key_service.h"
#include "store/database.h"

namespace deepmoat::gateway {

class ScratchServer {
 public:
  static constexpr std::size_t kBodyBytesMax = 64 * 1024;

  ScratchServer()
      : authority_(secrets_), authenticator_(authority_), config_(configuration()), blocking_(1) {
    log_ =
        taken(audit::Log::open({.directory = folder_ / "audit", .segment_bytes = 1 << 20}, clock_));
    database_ = taken(store::Database::open(folder_ / "deepmoat.db"));
    keys_ = taken(identity::KeyService::open(
        *database_,
        [this](audit::Record record) { return log_->append_and_wait(std::move(record)); },
        authenticator_, authority_, clock_, secrets_.id));
    tenants_ = std::make_unique<identity::TenantService>(
        *database_,
        [this](audit::Record record) { return log_->append_and_wait(std::move(record)); }, clock_);
    const identity::AppendAudit append = [this](audit::Record record) {
      return log_->append_and_wait(std::move(record));
    };
    factors_ = std::make_unique<identity::SecondFactors>(*database_, append, authenticator_,
                                                         cipher_, secrets_, clock_);
    rotation_ = std::make_unique<identity::KeyRotation>(*database_, append, *keys_, authenticator_,
                                                        authority_, *factors_, clock_);
    successors_ = std::make_unique<identity::Successors>(
        identity::Successors::Parts{.database = *database_,
                                    .append = append,
                                    .authenticator = authenticator_,
                                    .cipher = cipher_,
                                    .secrets = secrets_,
                                    .keys = *keys_,
                                    .factors = *factors_,
                                    .sessions = sessions_,
                                    .tls_folder = folder_ / "tls",
                                    .clock = clock_});
    people_ = std::make_unique<identity::People>(
        *database_, append, authenticator_, *factors_, sessions_, secrets_, clock_,
        crypto::PasswordCost{.memory_kib = 64, .passes = 1});
    sign_in_ = std::make_unique<identity::SignIn>(append, authenticator_, *people_, *factors_,
                                                  *successors_, sessions_, clock_);
    people_desk_ = std::make_unique<PeopleDesk>(
        PeopleDesk{.people = *people_, .sessions = sessions_, .sign_in = *sign_in_});
    auto backend = std::make_unique<ScriptedBackend>();
    backend_ = backend.get();
    std::vector<Model> list;
    list.push_back({.name = ModelName("demo"), .backend = std::move(backend)});
    list.push_back({.name = ModelName("second"), .backend = std::make_unique<ScriptedBackend>()});
    models_ = std::make_unique<Models>();
    EXPECT_TRUE(models_->publish(std::move(list)));
    services_ = std::make_unique<Services>(clock_, config_, *log_, secrets_.audit_fingerprint,
                                           authenticator_, failures_, *keys_, *tenants_, ledger_,
                                           *models_, blocking_);
    services_->second_factors = factors_.get();
    services_->rotation = rotation_.get();
    services_->people_desk = people_desk_.get();
    services_->sign_ins = &sign_ins_;
    approvals_ =
        std::make_unique<identity::Approvals>(*database_, append, authenticator_, secrets_, clock_);
    services_->approvals = approvals_.get();
    oversight_ = std::make_unique<ScratchOversightDesk>(
        ScratchOversightDesk::Parts{*database_, append, cipher_, secrets_, clock_});
    services_->oversight = oversight_->desk();
    audit_ = std::make_unique<ScratchAuditDesk>(*log_, folder_.path(), clock_);
    services_->audit_desk = &audit_->desk;
    const auto tls = taken(
        crypto::ensure_certificates({.directory = folder_ / "tls", .names = {}}, clock_.unix_ms()));
    options_ = {.certificate = tls.server_certificate,
                .private_key = tls.server_key,
                .local_socket = folder_ / "socket"};
    server_ = taken(Server::start(*services_, options_));
  }
  ~ScratchServer() {
    server_->stop();
    audit_->readers.join();
    sign_ins_.join();
    blocking_.join();
  }
  ScratchServer(const ScratchServer&) = delete;
  ScratchServer& operator=(const ScratchServer&) = delete;

  [[nodiscard]] RawClient client() const { return RawClient(http_port_); }
  [[nodiscard]] RawClient local_client() const { return RawClient(folder_ / "socket"); }
  ScriptedBackend& backend() { return *backend_; }
  Server& server() { return *server_; }
  identity::KeyService& keys() { return *keys_; }
  identity::TenantService& tenants() { return *tenants_; }
  identity::People& people() { return *people_; }
  identity::Successors& successors() { return *successors_; }
  identity::SecondFactors& second_factors() { return *factors_; }
  store::Database& database() { return *database_; }
  audit::Log& audit_log() { return *log_; }
  [[nodiscard]] const transparency::NoteSigner& checkpoint_key() const { return audit_->signer; }
  Services& services() { return *services_; }
  void reopen_oversight() {
    oversight_->reopen();
    services_->oversight = oversight_->desk();
  }
  [[nodiscard]] std::filesystem::path folder() const { return folder_.path(); }
  LiveConfig& config() { return config_; }
  [[nodiscard]] const ServerOptions& options() const { return options_; }

  static identity::Actor boss() {
    return {.operator_id = "boss", .role = "admin", .authentication = "command_line"};
  }

 private:
  template <class T>
  static T taken(Result<T> result) {
    EXPECT_TRUE(result) << result.error().message;
    return *std::move(result);
  }
  static crypto::RootSecrets root_secrets() {
    return {.signing = Secret(std::string(32, 's')),
            .pepper = Secret(std::string(32, 'p')),
            .audit_fingerprint = Secret(std::string(32, 'f')),
            .id = std::string(32, 'a')};
  }
  Config configuration() const {
    Config config;
    config.server.https_address = "127.0.0.1";
    config.server.https_port = https_port_;
    config.server.http_port = http_port_;
    config.server.threads = 2;
    config.server.body_bytes_max = kBodyBytesMax;
    return config;
  }

  ScratchFolder folder_;
  SystemClock clock_;
  std::uint16_t https_port_ = free_port();
  std::uint16_t http_port_ = free_port();
  crypto::RootSecrets secrets_ = root_secrets();
  identity::KeyAuthority authority_;
  identity::Authenticator authenticator_;
  identity::FailureLimiter failures_{{.failures_per_minute = 0}};
  quota::Ledger ledger_;
  LiveConfig config_;
  boost::asio::thread_pool blocking_;
  boost::asio::thread_pool sign_ins_{1};
  std::unique_ptr<audit::Log> log_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<identity::KeyService> keys_;
  std::unique_ptr<identity::TenantService> tenants_;
  crypto::ScratchFieldCipher cipher_{secrets_.signing};
  std::unique_ptr<identity::SecondFactors> factors_;
  std::unique_ptr<identity::KeyRotation> rotation_;
  identity::Sessions sessions_;
  std::unique_ptr<identity::Successors> successors_;
  std::unique_ptr<identity::People> people_;
  std::unique_ptr<identity::SignIn> sign_in_;
  std::unique_ptr<PeopleDesk> people_desk_;
  std::unique_ptr<identity::Approvals> approvals_;
  std::unique_ptr<ScratchOversightDesk> oversight_;
  std::unique_ptr<ScratchAuditDesk> audit_;
  ScriptedBackend* backend_ = nullptr;
  std::unique_ptr<Models> models_;
  std::unique_ptr<Services> services_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
};

}  // namespace deepmoat::gateway
