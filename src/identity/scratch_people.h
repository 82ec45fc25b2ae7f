// For this module's tests: people, their second factors and their certificates over ScratchKeys.
#pragma once

#include <string>

#include "crypto/x509.h"
#include "identity/people.h"
#include "identity/scratch_keys.h"
#include "identity/sessions.h"
#include "identity/sign_in.h"
#include "identity/successors.h"

namespace deepmoat::identity {

class ScratchPeople : public ScratchKeys {
 public:
  ScratchPeople() { restart(); }
  ~ScratchPeople() {
    sign_in_.reset();
    people_.reset();
    successors_.reset();
  }

  void restart() {
    sign_in_.reset();
    people_.reset();
    successors_.reset();
    ScratchKeys::restart();
    const AppendAudit log = [this](audit::Record record) { return append(std::move(record)); };
    sessions_ = std::make_unique<Sessions>();
    successors_ = std::make_unique<Successors>(Successors::Parts{.database = *database_,
                                                                 .append = log,
                                                                 .authenticator = authenticator_,
                                                                 .cipher = cipher_,
                                                                 .secrets = secrets_,
                                                                 .keys = *service_,
                                                                 .factors = *factors_,
                                                                 .sessions = *sessions_,
                                                                 .tls_folder = folder_ / "tls",
                                                                 .clock = clock_});
    people_ =
        std::make_unique<People>(*database_, log, authenticator_, *factors_, *sessions_, secrets_,
                                 clock_, crypto::PasswordCost{.memory_kib = 64, .passes = 1});
    sign_in_ = std::make_unique<SignIn>(log, authenticator_, *people_, *factors_, *successors_,
                                        *sessions_, clock_);
  }

  // The person's first password.
  std::string created(const PersonName& who, Role role = Role::admin) {
    const auto made = people_->create(admin(), {.who = who, .role = role, .label = ""});
    EXPECT_TRUE(made) << made.error().message;
    return std::string(made->password.reveal());
  }

  struct Try {
    PersonName who;
    std::string password;
    std::string code;
    std::string new_password = {};
    std::string address = "192.0.2.1";
  };
  Result<OpenedSession> sign_in(const Try& tried) {
    SignInAttempt attempt{.who = tried.who,
                          .password = Secret::copy_of(tried.password),
                          .one_time_password = tried.code,
                          .new_password = Secret::copy_of(tried.new_password),
                          .address = tried.address,
                          .request_id = "req_2"};
    CHECK_OK(check_form(attempt, false));
    TRY(const std::string hash, sign_in_->begin(attempt));
    TRY(const PasswordProof proof, sign_in_->prove(attempt, hash));
    return sign_in_->finish(attempt, proof);
  }
  // "ok", or the name of the error's code.
  std::string tried(const Try& tried) {
    const auto session = sign_in(tried);
    return session ? "ok" : std::string(code_name(session.error().code));
  }

  Result<OpenedSession> sign_in_with(const PersonName& who, const CertifiedClient& certified,
                                     bool enough = true) {
    return sign_in_->with_certificate({.who = who, .address = "192.0.2.1", .request_id = "req_3"},
                                      certified, [enough](Role) { return enough; });
  }

  CertifiedClient certify(const PersonName& who) {
    const auto issued = successors_->issue(admin(), who.tenant, who.name, 365);
    EXPECT_TRUE(issued) << issued.error().message;
    return {.tenant = TenantId(who.tenant),
            .client_id = ClientId(who.name),
            .fingerprint = issued->info.row.fingerprint};
  }

  std::unique_ptr<Sessions> sessions_;
  std::unique_ptr<Successors> successors_;
  std::unique_ptr<People> people_;
  std::unique_ptr<SignIn> sign_in_;
};

}  // namespace deepmoat::identity
