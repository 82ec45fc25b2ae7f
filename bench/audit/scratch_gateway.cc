#include "scratch_gateway.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "audit/checkpointer.h"
#include "audit/log.h"
#include "base/file.h"
#include "crypto/certificate.h"
#include "crypto/key_file.h"
#include "gateway/server.h"
#include "identity/key_service.h"
#include "store/database.h"

namespace deepmoat::bench {

namespace {

// Answers every call with one short text, from one thread, as a worker's connection does.
class InstantBackend final : public backend::Backend {
 public:
  InstantBackend() : thread_([this] { run(); }) {}
  ~InstantBackend() override { shut_down(); }
  InstantBackend(const InstantBackend&) = delete;
  InstantBackend& operator=(const InstantBackend&) = delete;

  CallId submit(wire::InferRequest /*request*/, backend::EventSink sink) override {
    CallId id;
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(std::move(sink));
      id = CallId(++last_id_);
    }
    called_.notify_one();
    return id;
  }
  void cancel(CallId /*call*/) override {}
  [[nodiscard]] backend::BackendStatus status() const override {
    return {.health = backend::Health::ready};
  }
  void shut_down() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    called_.notify_one();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      called_.wait(lock, [this] { return stopping_ || !calls_.empty(); });
      if (calls_.empty()) {
        return;
      }
      backend::EventSink sink = std::move(calls_.front());
      calls_.pop_front();
      lock.unlock();
      answer(sink);
      lock.lock();
    }
  }

  static void answer(backend::EventSink& sink) {
    wire::Delta text;
    text.set_content("A short answer.");
    sink(text);
    wire::ChoiceFinished choice;
    choice.set_reason(wire::FINISH_STOP);
    sink(choice);
    wire::Finished finished;
    finished.mutable_usage()->set_prompt_tokens(3);
    finished.mutable_usage()->set_completion_tokens(4);
    sink(finished);
  }

  std::mutex mutex_;
  std::condition_variable called_;
  std::deque<backend::EventSink> calls_;
  std::uint64_t last_id_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

std::uint16_t free_port() {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ::bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), length);
  ::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

crypto::RootSecrets root_secrets() {
  return {.signing = Secret(std::string(32, 's')),
          .pepper = Secret(std::string(32, 'p')),
          .audit_fingerprint = Secret(std::string(32, 'f')),
          .id = std::string(32, 'a')};
}

Config configuration(int threads) {
  Config config;
  config.server.https_address = "127.0.0.1";
  config.server.https_port = free_port();
  config.server.http_port = free_port();
  config.server.threads = threads;
  return config;
}

}  // namespace

// Members end in the reverse of their order: what is used outlives its users.
class ScratchGateway::Parts {
 public:
  explicit Parts(int threads)
      : authority_(secrets_),
        authenticator_(authority_),
        config_(configuration(threads)),
        blocking_(1) {}
  ~Parts() {
    if (server_) {
      server_->stop();
    }
    blocking_.join();
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  Result<> start(const GatewayOptions& options) {
    CHECK_OK(make_directory(options.folder, 0700));
    TRY(log_,
        audit::Log::open({.directory = options.folder / "audit",
                          .disk = options.disk == nullptr ? &audit::system_disk() : options.disk},
                         clock_));
    if (options.checkpoints) {
      CHECK_OK(start_checkpoints(options.folder / "place"));
    }
    CHECK_OK(open_keys(options.folder));
    std::vector<gateway::Model> models;
    models.push_back({.name = ModelName("demo"), .backend = std::make_shared<InstantBackend>()});
    CHECK_OK(models_.publish(std::move(models)));
    services_ = std::make_unique<gateway::Services>(
        clock_, config_, *log_, secrets_.audit_fingerprint, authenticator_, failures_, *keys_,
        *tenants_, ledger_, models_, blocking_);
    services_->checkpointer = checkpointer_.get();
    TRY(const auto tls, crypto::ensure_certificates(
                            {.directory = options.folder / "tls", .names = {}}, clock_.unix_ms()));
    TRY(server_, gateway::Server::start(*services_, {.certificate = tls.server_certificate,
                                                     .private_key = tls.server_key,
                                                     .local_socket = {}}));
    return {};
  }

  [[nodiscard]] std::uint16_t port() const {
    return static_cast<std::uint16_t>(config_.get()->server.http_port);
  }
  [[nodiscard]] const std::string& key() const { return key_; }

 private:
  Result<> start_checkpoints(const std::filesystem::path& place) {
    constexpr const char* kOrigin = "deepmoat/bench";
    CHECK_OK(make_directory(place, 0700));
    TRY(crypto::SigningKey key, crypto::SigningKey::from_seed(secrets_.signing));
    TRY(transparency::NoteSigner signer,
        transparency::NoteSigner::make(kOrigin, std::move(key), std::nullopt));
    signer_ = std::make_unique<transparency::NoteSigner>(std::move(signer));
    std::vector<std::unique_ptr<audit::CheckpointPlace>> places;
    places.push_back(audit::directory_place(place.string(), kOrigin));
    checkpointer_ =
        std::make_unique<audit::Checkpointer>(*log_, *signer_, std::move(places), clock_);
    return {};
  }

  Result<> open_keys(const std::filesystem::path& folder) {
    const identity::AppendAudit append = [this](audit::Record record) {
      return log_->append_and_wait(std::move(record));
    };
    TRY(database_, store::Database::open(folder / "deepmoat.db"));
    TRY(keys_, identity::KeyService::open(*database_, append, authenticator_, authority_, clock_,
                                          secrets_.id));
    tenants_ = std::make_unique<identity::TenantService>(*database_, append, clock_);
    const identity::Actor operator_here{
        .operator_id = "bench", .role = "admin", .authentication = "command_line"};
    TRY(const auto made,
        keys_->create(operator_here,
                      {.client_id = "client", .role = identity::Role::user, .label = ""}));
    key_ = std::string(made.shown.reveal());
    return {};
  }

  SystemClock clock_;
  crypto::RootSecrets secrets_ = root_secrets();
  identity::KeyAuthority authority_;
  identity::Authenticator authenticator_;
  identity::FailureLimiter failures_;
  quota::Ledger ledger_;
  gateway::LiveConfig config_;
  boost::asio::thread_pool blocking_;
  std::unique_ptr<audit::Log> log_;
  std::unique_ptr<transparency::NoteSigner> signer_;
  std::unique_ptr<audit::Checkpointer> checkpointer_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<identity::KeyService> keys_;
  std::unique_ptr<identity::TenantService> tenants_;
  gateway::Models models_;
  std::unique_ptr<gateway::Services> services_;
  std::unique_ptr<gateway::Server> server_;
  std::string key_;
};

Result<std::unique_ptr<ScratchGateway>> ScratchGateway::start(const GatewayOptions& options) {
  auto parts = std::make_unique<Parts>(options.threads);
  CHECK_OK(parts->start(options));
  return std::unique_ptr<ScratchGateway>(new ScratchGateway(std::move(parts)));
}

ScratchGateway::ScratchGateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ScratchGateway::~ScratchGateway() = default;

std::uint16_t ScratchGateway::port() const {
  return parts_->port();
}
const std::string& ScratchGateway::key() const {
  return parts_->key();
}

}  // namespace deepmoat::bench
