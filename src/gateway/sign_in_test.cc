// People over HTTP: in, about, and out.
#include "gateway/sign_in.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "crypto/one_time_password.h"
#include "gateway/scratch_server.h"
#include "identity/scratch_keys.h"

namespace deepmoat::gateway {
namespace {

using Json = nlohmann::json;
using identity::Role;

constexpr std::string_view kChosen = "correct horse battery";

class SignInOverHttp : public testing::Test {
 protected:
  Answer ask(const std::string& method, const std::string& path, const std::string& token,
             const Json& body = nullptr) {
    return answer_of(server_.client(), method, path, token, body);
  }

  // Somebody with a second factor; the device's secret is in secret_.
  void make_person(const std::string& name, Role role, const std::string& tenant = "default") {
    const auto made = server_.people().create(
        ScratchServer::boss(),
        {.who = {.tenant = tenant, .name = name}, .role = role, .label = ""});
    ASSERT_TRUE(made) << made.error().message;
    given_ = made->password.reveal();
    const identity::FactorOwner owner{.tenant = tenant, .client_id = name};
    const auto enrolled = server_.second_factors().enrol(ScratchServer::boss(), owner,
                                                         crypto::OtpAlgorithm::totp_sha256);
    ASSERT_TRUE(enrolled);
    secret_ = enrolled->secret.reveal();
    const auto confirmed = server_.second_factors().confirm(ScratchServer::boss(), owner, code(-1));
    ASSERT_TRUE(confirmed) << confirmed.error().message;
    recovery_.clear();
    for (const Secret& recovery : confirmed->recovery_codes) {
      recovery_.emplace_back(recovery.reveal());
    }
  }

  // Recovery codes instead of waiting for the device's next password.
  Answer sign_in(const std::string& name, const std::string& password, Json more = Json::object()) {
    Json body = {{"name", name}, {"password", password}, {"one_time_password", recovery_.back()}};
    body.update(more);
    const Answer answer = ask("POST", "/v1/sessions", "", body);
    if (answer.status == 200) {
      recovery_.pop_back();
    }
    return answer;
  }

  std::string token_of(const std::string& name, Role role) {
    make_person(name, role);
    const Answer answer = sign_in(name, given_, {{"new_password", kChosen}});
    EXPECT_EQ(answer.status, 200) << answer.body.dump();
    return answer.body.value("token", "");
  }

  [[nodiscard]] std::string code(int steps) const {
    std::string bytes = identity::ScratchKeys::from_base32(secret_);
    const std::uint64_t counter =
        crypto::otp_counter(SystemClock().unix_ms() + steps * crypto::kOtpStepMs);
    return std::string(crypto::one_time_password(crypto::OtpAlgorithm::totp_sha256,
                                                 Secret(std::move(bytes)), counter)
                           ->reveal());
  }

  ScratchServer server_;
  std::string given_;
  std::string secret_;
  std::vector<std::string> recovery_;
};

TEST_F(SignInOverHttp, GivesATokenThatStandsForTheRole) {
  const std::string token = token_of("alice", Role::admin);
  const Answer shown = ask("GET", "/v1/sessions/current", token);
  ASSERT_EQ(shown.status, 200) << shown.body.dump();
  EXPECT_EQ(shown.body.at("name"), "alice");
  EXPECT_EQ(shown.body.at("role"), "admin");
  EXPECT_FALSE(shown.body.contains("token"));
  const Json permissions = shown.body.at("permissions");
  EXPECT_NE(std::ranges::find(permissions, "manage_keys"), permissions.end());
  EXPECT_EQ(std::ranges::find(permissions, "rotate_own_key"), permissions.end());
  const Answer made = ask("POST", "/admin/v1/keys", token, {{"client_id", "shop"}});
  EXPECT_EQ(made.status, 200) << made.body.dump();
  EXPECT_EQ(ask("POST", "/v1/keys/rotate", token, {{"one_time_password", "123456"}}).code(),
            "permission_denied");
  const Answer chat =
      ask("POST", "/v1/chat/completions", token,
          {{"model", "demo"}, {"messages", {{{"role", "user"}, {"content", "hello"}}}}});
  EXPECT_EQ(chat.status, 200) << chat.body.dump();
}

TEST_F(SignInOverHttp, EndsWithTheSession) {
  const std::string token = token_of("alice", Role::operator_);
  EXPECT_EQ(ask("GET", "/admin/v1/status", token).status, 200);
  EXPECT_EQ(ask("GET", "/admin/v1/keys", token).code(), "permission_denied");
  EXPECT_EQ(ask("POST", "/v1/sessions/end", token, Json::object()).status, 200);
  EXPECT_EQ(ask("GET", "/admin/v1/status", token).code(), "session_ended");
  EXPECT_EQ(ask("GET", "/admin/v1/status", token).status, 401);
}

TEST_F(SignInOverHttp, CutsAStreamOfASessionThatEnds) {
  const std::string token = token_of("alice", Role::operator_);
  RawClient stream = server_.client();
  const std::string body =
      R"({"model":"demo","stream":true,"messages":[{"role":"user","content":"wait"}]})";
  stream.send(
      fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "
                  "{}\r\nContent-Length: {}\r\n\r\n{}",
                  token, body.size(), body));
  stream.until("begun");
  ASSERT_TRUE(server_.people().sign_out(ScratchServer::boss(), {.name = "alice"}));
  server_.backend().finish_waiting();  // the next event
  EXPECT_NE(stream.rest().find("key_withdrawn"), std::string::npos);
}

TEST_F(SignInOverHttp, TellsAStrangerNothing) {
  const std::string token = token_of("alice", Role::admin);
  const Json wrong = {{"name", "alice"}, {"password", "x"}, {"one_time_password", "123456"}};
  const Answer known = ask("POST", "/v1/sessions", "", wrong);
  Json nobody = wrong;
  nobody["name"] = "nobody";
  const Answer unknown = ask("POST", "/v1/sessions", "", nobody);
  EXPECT_EQ(known.status, 401);
  EXPECT_EQ(known.code(), "sign_in_refused");
  EXPECT_EQ(unknown.status, known.status);
  EXPECT_EQ(unknown.body, known.body);
  Json with_key = wrong;
  const Answer keyed = ask("POST", "/v1/sessions", token, with_key);
  EXPECT_EQ(keyed.body, known.body) << "who is signed in is nobody new";
}

TEST_F(SignInOverHttp, NamesTheFieldAtFault) {
  const auto fault = [&](const Json& body) {
    const Answer answer = ask("POST", "/v1/sessions", "", body);
    EXPECT_EQ(answer.status, 400) << body.dump();
    return answer.body.at("error").at("param");
  };
  EXPECT_EQ(fault(Json::object()), "name");
  EXPECT_EQ(fault({{"name", "alice"}}), "password");
  EXPECT_EQ(fault({{"name", 1}}), "name");
  EXPECT_EQ(fault({{"name", "alice"}, {"password", "x"}}), "one_time_password");
  EXPECT_EQ(fault({{"name", "alice"},
                   {"password", "x"},
                   {"one_time_password", "123456"},
                   {"new_password", "short"}}),
            "new_password");
}

TEST_F(SignInOverHttp, AsksForANewPasswordAndASecondFactor) {
  make_person("alice", Role::admin);
  EXPECT_EQ(sign_in("alice", given_).code(), "password_change_required");
  ASSERT_TRUE(server_.second_factors().remove(ScratchServer::boss(), {.client_id = "alice"}));
  const Answer missing = sign_in("alice", given_, {{"new_password", kChosen}});
  EXPECT_EQ(missing.status, 403);
  EXPECT_EQ(missing.code(), "second_factor_missing");
}

TEST_F(SignInOverHttp, IsNotForKeys) {
  const auto key = server_.keys().create(ScratchServer::boss(),
                                         {.client_id = "shop", .role = Role::admin, .label = ""});
  const std::string shown(key->shown.reveal());
  EXPECT_EQ(ask("GET", "/v1/sessions/current", shown).code(), "no_session");
  EXPECT_EQ(ask("POST", "/v1/sessions/end", shown, Json::object()).code(), "no_session");
  EXPECT_EQ(ask("GET", "/v1/models", "dms_" + std::string(64, '0')).code(), "session_ended");
}

}  // namespace
}  // namespace deepmoat::gateway
