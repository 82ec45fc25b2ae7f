// For this module's tests: a server over real services in a folder that goes away, with a scripted
// backend instead of a worker, and a client (raw_client.h).
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
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
#include "gateway/server.h"
#include "identity/key_service.h"
#include "store/database.h"

namespace deepmoat::gateway {

// Does with a call what its first message says, on a thread of its own.
class ScriptedBackend final : public backend::Backend {
 public:
  CallId submit(wire::InferRequest request, backend::EventSink sink) override {
    const std::lock_guard lock(mutex_);
    const CallId id(++last_id_);
    last_request_ = request;
    const std::string wish =
        request.has_chat() ? request.chat().messages(0).content() : request.text();
    if (wish == "wait") {
      sink(delta("begun"));
      waiting_.emplace(id, std::move(sink));
      return id;
    }
    threads_.emplace_back(
        [wish, n = request.n(), sink = std::move(sink)]() mutable { play(wish, n, sink); });
    return id;
  }

  void cancel(CallId call) override {
    const std::lock_guard lock(mutex_);
    const auto found = waiting_.find(call);
    if (found != waiting_.end()) {
      wire::Finished finished;
      finished.set_cancelled(true);
      found->second(finished);
      waiting_.erase(found);
      ++cancelled_;
    }
  }

  // Lets the calls that wait end well.
  void finish_waiting() {
    const std::lock_guard lock(mutex_);
    for (auto& [id, sink] : std::exchange(waiting_, {})) {
      sink(wire::Finished());
    }
  }

  [[nodiscard]] backend::BackendStatus status() const override {
    const std::lock_guard lock(mutex_);
    backend::BackendStatus status{.health = backend::Health::ready};
    for (const std::string& adapter : adapters_) {
      status.facts.add_adapters(adapter);
    }
    return status;
  }
  void set_adapters(std::vector<std::string> names) {
    const std::lock_guard lock(mutex_);
    adapters_ = std::move(names);
  }
  [[nodiscard]] backend::ModelIdentity identity() const override { return {.version = "v"}; }
  void shut_down() override {}
  [[nodiscard]] wire::InferRequest last_request() const {
    const std::lock_guard lock(mutex_);
    return last_request_;
  }
  [[nodiscard]] std::size_t waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }
  [[nodiscard]] int cancelled() const {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

 private:
  static wire::Delta delta(const std::string& text, std::uint32_t index = 0) {
    wire::Delta made;
    made.set_content(text);
    made.set_index(index);
    return made;
  }

  static void play(const std::string& wish, std::uint32_t n, backend::EventSink& sink) {
    if (wish == "refuse") {
      sink(wire::Refusal{.status = 503, .code = "model_loading", .retry_after_s = 5});
      return;
    }
    for (std::uint32_t index = 0; index < n; ++index) {
      sink(delta("you said ", index));
      sink(delta(wish, index));
    }
    if (wish == "break") {
      sink(backend::Broken{{.status = 500, .code = "worker_crashed", .message = "It died."}});
      return;
    }
    for (std::uint32_t index = 0; index < n; ++index) {
      wire::ChoiceFinished done;
      done.set_index(index);
      done.set_reason(wire::FINISH_STOP);
      sink(done);
    }
    wire::Finished finished;
    finished.mutable_usage()->set_prompt_tokens(3);
    finished.mutable_usage()->set_completion_tokens(2);
    sink(finished);
  }

  mutable std::mutex mutex_;
  std::vector<std::string> adapters_;
  std::uint64_t last_id_ = 0;
  wire::InferRequest last_request_;
  int cancelled_ = 0;
  std::map<CallId, backend::EventSink> waiting_;
  std::vector<std::jthread> threads_;
};

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
