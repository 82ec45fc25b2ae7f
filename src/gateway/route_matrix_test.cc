// Every route x every role x {own, another's, missing}, over HTTP. The routes come from the route
// table and the roles from the permission table: one that is new is in here without anybody's help.
// docs/route-matrix.md holds what was found; a difference is either a hole or a page to write anew.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "backend/model_fleet.h"
#include "catalog/catalog.h"
#include "gateway/leak_admin.h"
#include "gateway/scratch_server.h"

namespace deepmoat::gateway {
namespace {

using Json = nlohmann::json;
using identity::Role;

// Of the tenant "acme", whose keys may use the model "demo", or of the home tenant, whose keys may
// use all.
struct Caller {
  std::optional<Role> role;  // none: no key
  bool home = false;
  std::string key;

  [[nodiscard]] std::string name() const {
    return role ? fmt::format("{} of {}", identity::role_name(*role), home ? "default" : "acme")
                : "no key";
  }
};

enum class Object : std::uint8_t { own, others, missing };
constexpr std::array kObjects{Object::own, Object::others, Object::missing};

struct Answer {
  int status = 0;
  std::string body;  // without the object's name
};

// What "{}" of a route, or its body, names.
enum class Subject : std::uint8_t {
  none,          // the server itself, or all that the caller reaches
  key,           // of a tenant
  tenant,        //
  person,        // of a tenant
  model,         // that the key may use
  receipt,       // of a call of the caller, of somebody of another tenant, of none
  month,         // of the whole installation
  served_model,  // of the whole installation
  version,       // of the whole installation
};

Subject subject_of(const Route& route) {
  if (runs_inference(route.handler) || route.handler == Handler::show_model) {
    return Subject::model;
  }
  switch (route.handler) {
    case Handler::create_key:
    case Handler::create_tenant:
    case Handler::show_tenant:
    case Handler::change_tenant:
      return Subject::tenant;
    case Handler::show_person:
    case Handler::change_person:
    case Handler::reset_person_password:
    case Handler::sign_person_out:
    case Handler::remove_person:
      return Subject::person;
    case Handler::show_receipt:
      return Subject::receipt;
    case Handler::show_report:
    case Handler::sign_off_report:
      return Subject::month;
    case Handler::load_model:
    case Handler::unload_model:
    case Handler::swap_model:
      return Subject::served_model;
    case Handler::pin_version:
    case Handler::unpin_version:
    case Handler::remove_version:
      return Subject::version;
    default:
      return route.pattern.starts_with("/admin/v1/keys/") ? Subject::key : Subject::none;
  }
}

class RouteMatrix : public testing::Test {
 protected:
  RouteMatrix() : catalog_(server_.database(), server_.folder() / "models") {
    server_.services().fleet = &fleet_;
    server_.services().catalog = &catalog_;
    server_.services().leak_desk = &leak_desk_;
    server_.services().reports = &reports_;
    callers_.push_back({});
    for (const bool home : {false, true}) {
      for (const Role role : identity::kRoles) {
        const auto made = server_.keys().create(
            ScratchServer::boss(),
            {.client_id = "caller",
             .role = role,
             .tenant = home ? "default" : "acme",
             .label = "",
             .attributes = {.models = home ? std::vector<std::string>()
                                           : std::vector<std::string>{"demo"}}});
        EXPECT_TRUE(made) << made.error().message;
        callers_.push_back({role, home, std::string(made->shown.reveal())});
      }
    }
    const auto stranger = server_.keys().create(
        ScratchServer::boss(),
        {.client_id = "object", .role = Role::user, .tenant = "globex", .label = ""});
    EXPECT_TRUE(stranger) << stranger.error().message;
    stranger_ = std::string(stranger->shown.reveal());
  }

  // A call by whoever has the key; says its id.
  std::string call_with(const std::string& key, const std::string& id) {
    RawClient client = server_.client();
    client.send(
        fmt::format("GET /v1/audit/key HTTP/1.1\r\nHost: a\r\nx-request-id: {}\r\n"
                    "Authorization: Bearer {}\r\n\r\n",
                    id, key));
    EXPECT_TRUE(client.answer().starts_with("HTTP/1.1 200 "));
    return id;
  }

  std::string make_key(const std::string& tenant) {
    const auto made = server_.keys().create(
        ScratchServer::boss(),
        {.client_id = "object", .role = Role::user, .tenant = tenant, .label = ""});
    EXPECT_TRUE(made) << made.error().message;
    return made->info.key_id.value();
  }

  // A new one for each call that could change it. What all tenants share has no owner: "another's"
  // is one more that exists.
  std::string make_object(const Route& route, const Caller& caller, Object object) {
    const std::string fresh = "new-" + std::to_string(++objects_);
    switch (subject_of(route)) {
      case Subject::none:
        return "";
      case Subject::key:
        return object == Object::missing ? "key_00000000000000000000dead"
                                         : make_key(object == Object::own ? "acme" : "globex");
      case Subject::tenant:
        return object == Object::own ? "acme" : object == Object::others ? "globex" : fresh;
      case Subject::person: {
        const std::string tenant = object == Object::others ? "globex" : "acme";
        return tenant + "/" + (object == Object::missing ? fresh : make_person(tenant, fresh));
      }
      case Subject::model:
        return object == Object::own ? "demo" : object == Object::others ? "second" : fresh;
      case Subject::receipt:
        return object == Object::missing || !caller.role
                   ? fresh
                   : call_with(object == Object::own ? caller.key : stranger_, fresh);
      case Subject::month:
        return object == Object::missing ? "1999-13" : "1999-12";
      case Subject::served_model:
        if (object != Object::missing) {
          fleet_.add(
              {.name = fresh, .on_demand = true, .find = []() -> Result<backend::ModelBuild> {
                 return fail(Code::not_found, "it is not started here");
               }});
        }
        return fresh;
      case Subject::version:
        return object == Object::missing ? fresh : make_version(fresh);
    }
    return fresh;
  }

  std::string make_person(const std::string& tenant, const std::string& name) {
    const auto made = server_.people().create(
        ScratchServer::boss(),
        {.who = {.tenant = tenant, .name = name}, .role = Role::user, .label = ""});
    EXPECT_TRUE(made) << made.error().message;
    return name;
  }

  std::string make_version(const std::string& name) {
    store::ModelRow row;
    row.name = name;
    row.number = 1;
    row.kind = "model";
    row.sha256 = std::string(64, 'a');
    row.file = name + "/1-aaaaaaaaaaaaaaaa.gguf";
    row.task = "generate";
    row.measurements = "{}";
    std::filesystem::create_directories(server_.folder() / "models" / name);
    std::ofstream(server_.folder() / "models" / row.file) << "GGUF";
    const auto inserted = server_.database().insert_model(row);
    EXPECT_TRUE(inserted) << inserted.error().message;
    return name;
  }

  [[nodiscard]] std::string body_of(const Route& route, const std::string& object) const {
    const Json message = {{{"role", "user"}, {"content", "hello"}}};
    switch (route.handler) {
      case Handler::completions:
        return Json{{"model", object}, {"prompt", "hello"}}.dump();
      case Handler::embeddings:
        return Json{{"model", object}, {"input", "hello"}}.dump();
      case Handler::rerank:
        return Json{{"model", object}, {"query", "a"}, {"documents", {"b"}}}.dump();
      case Handler::responses:
      case Handler::predict:
        return Json{{"model", object}, {"input", "hello"}}.dump();
      case Handler::chat_completions:
      case Handler::messages:
      case Handler::count_tokens:
        return Json{{"model", object}, {"messages", message}, {"max_tokens", 5}}.dump();
      case Handler::create_key:
        return Json{{"client_id", "made"}, {"tenant", object}}.dump();
      case Handler::create_tenant:
        return Json{{"name", object}}.dump();
      case Handler::create_person:
        return Json{{"name", "made-" + std::to_string(objects_)}, {"role", "user"}}.dump();
      case Handler::change_key:
      case Handler::change_tenant:
      case Handler::change_person:
        return R"({"label":"changed"})";
      case Handler::sign_off_report:
        return Json{{"figures_sha256", std::string(64, '0')}}.dump();
      case Handler::revoke_key:
      case Handler::leak_key:
        return R"({"reason":"over"})";
      case Handler::expire_key:
        return R"({"expires_at":1})";
      default:
        return "{}";
    }
  }

  Answer ask(const Route& route, const Caller& caller, Object object) {
    const std::string name = make_object(route, caller, object);
    std::string path(route.pattern);
    if (const std::size_t hole = path.find("{}"); hole != std::string::npos) {
      path.replace(hole, 2, name.empty() ? "nothing" : name);
    }
    const std::string body = route.method == "GET" ? "" : body_of(route, name);
    std::string request =
        fmt::format("{} {} HTTP/1.1\r\nHost: a\r\nx-request-id: matrix\r\nContent-Length: {}\r\n",
                    route.method, path, body.size());
    if (caller.role) {
      request += "Authorization: Bearer " + caller.key + "\r\n";
    }
    RawClient client = server_.client();
    client.send(request + "\r\n" + body);
    const std::string answer = client.answer();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 ")) << route.method << " " << path;
    Answer got{std::stoi(answer.substr(9, 3)), answer.substr(answer.find("\r\n\r\n") + 4)};
    for (std::size_t at = 0; !name.empty() && (at = got.body.find(name)) != std::string::npos;) {
      got.body.replace(at, name.size(), "{}");
    }
    return got;
  }

  using Cell = std::array<Answer, kObjects.size()>;

  Cell cell(const Route& route, const Caller& caller) {
    Cell answers;
    for (const Object object : kObjects) {
      const bool alone = subject_of(route) == Subject::none && object != Object::own;
      answers[static_cast<std::size_t>(object)] = alone ? answers[0] : ask(route, caller, object);
    }
    return answers;
  }

  // What the two tables say, without a list of routes.
  static void hold_to_the_tables(const Route& route, const Caller& caller, const Cell& cell) {
    const std::string where =
        fmt::format("{} {} by {}", route.method, route.pattern, caller.name());
    const auto& [own, others, missing] = cell;
    const auto all_are = [&](int status) {
      return own.status == status && others.status == status && missing.status == status;
    };
    if (!route.permission) {
      EXPECT_TRUE(all_are(200)) << where;
      return;
    }
    if (route.handler == Handler::open_session) {
      EXPECT_TRUE(all_are(400)) << where << ": the body says who it is, and a key says nothing";
      return;
    }
    if (!caller.role) {
      EXPECT_TRUE(all_are(401)) << where;
      return;
    }
    const bool may = identity::allowed(*caller.role, *route.permission) &&
                     (caller.home || (!identity::needs_home_tenant(*route.permission) &&
                                      subject_of(route) != Subject::month));
    if (!may) {
      EXPECT_TRUE(all_are(403)) << where;
      return;
    }
    EXPECT_NE(own.status, 401) << where;
    EXPECT_LT(own.status, 500) << where << " " << own.body;
    const Subject subject = subject_of(route);
    const bool belongs_to_somebody = subject == Subject::key || subject == Subject::tenant ||
                                     subject == Subject::model || subject == Subject::person ||
                                     subject == Subject::receipt;
    if (belongs_to_somebody && !caller.home) {
      // Another's thing is like none: same status, same words.
      EXPECT_EQ(others.status, missing.status) << where;
      EXPECT_EQ(others.body, missing.body) << where;
      EXPECT_TRUE(others.status == 404 || others.status == 403) << where << " " << others.status;
    }
    if (subject == Subject::receipt) {
      // Nobody sees those of another tenant, but who audits all tenants.
      const bool audits_all = caller.home && caller.role == Role::auditor;
      EXPECT_EQ(own.status, 200) << where << " " << own.body;
      EXPECT_EQ(others.status, audits_all ? 200 : 404) << where;
      EXPECT_EQ(missing.status, 404) << where;
    }
    if ((subject == Subject::key || subject == Subject::person) && caller.home) {
      EXPECT_EQ(own.status, 200) << where << " " << own.body;
      EXPECT_EQ(others.status, 200) << where;
      EXPECT_EQ(missing.status, 404) << where;
    }
  }

  std::string line_of(const Route& route) {
    std::string line = fmt::format("| {} `{}` |", route.method, route.pattern);
    for (const Caller& caller : callers_) {
      const Cell answers = cell(route, caller);
      hold_to_the_tables(route, caller, answers);
      const bool same =
          answers[0].status == answers[1].status && answers[0].status == answers[2].status;
      line += same ? fmt::format(" {} |", answers[0].status)
                   : fmt::format(" {} {} {} |", answers[0].status, answers[1].status,
                                 answers[2].status);
    }
    return line + "\n";
  }

  identity::AppendAudit append_ = [this](audit::Record record) {
    return server_.audit_log().append_and_wait(std::move(record));
  };

  boost::asio::thread_pool reports_{1};
  SystemClock clock_;
  crypto::ScratchFieldCipher cipher_{Secret(std::string(32, 'r'))};
  crypto::RootSecrets secrets_{.signing = Secret(std::string(32, 'm')),
                               .pepper = Secret(),
                               .audit_fingerprint = Secret(),
                               .id = ""};
  ScratchServer server_;
  crypto::SigningKey signing_key_ = *crypto::SigningKey::from_seed(Secret(std::string(32, 'i')));
  webhook::WebhookService webhooks_{server_.database(), append_, cipher_, clock_};
  identity::Successors successors_{{.database = server_.database(),
                                    .append = append_,
                                    .authenticator = server_.services().authenticator,
                                    .cipher = cipher_,
                                    .secrets = secrets_,
                                    .keys = server_.keys(),
                                    .factors = *server_.services().second_factors,
                                    .sessions = server_.services().people_desk->sessions,
                                    .tls_folder = server_.folder() / "tls",
                                    .clock = clock_}};
  LeakService leaks_{{.database = server_.database(),
                      .keys = server_.keys(),
                      .append = append_,
                      .audit_folder = server_.folder() / "audit",
                      .incident_folder = server_.folder() / "incidents",
                      .signing_key = signing_key_,
                      .webhooks = webhooks_,
                      .successors = successors_,
                      .clock = clock_}};
  LeakDesk leak_desk_{leaks_, webhooks_, successors_};
  backend::ModelFleet fleet_{0, clock_};
  catalog::Catalog catalog_;
  std::vector<Caller> callers_;
  std::string stranger_;  // a key of another tenant
  int objects_ = 0;
};

TEST_F(RouteMatrix, IsWhatThePageSays) {
  std::string table = "| route |";
  std::string rule = "|---|";
  for (const Caller& caller : callers_) {
    table += " " + caller.name() + " |";
    rule += "---|";
  }
  table += "\n" + rule + "\n";
  for (const Route& route : routes()) {
    table += line_of(route);
  }
  const auto page =
      read_file(std::string(DEEPMOAT_SOURCE_DIR) + "/docs/route-matrix.md", 1'000'000);
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_NE(page->find(table), std::string::npos) << "docs/route-matrix.md must hold:\n" << table;
}

// No answer of a route changes with the case or the dress of a role's name (Vault CVE-2025-5999).
TEST_F(RouteMatrix, NoOtherSpellingOfARoleMakesAKey) {
  const Caller& admin =
      callers_.back().role == Role::auditor ? callers_[callers_.size() - 2] : callers_.back();
  ASSERT_EQ(admin.role, Role::admin);
  for (const Role role : identity::kRoles) {
    const std::string name(identity::role_name(role));
    std::string upper = name;
    std::string first = name;
    upper[0] = first[0] = static_cast<char>(name[0] - 'a' + 'A');
    for (char& c : upper) {
      c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    for (const std::string& dressed :
         {upper, first, name + " ", " " + name, name + "\t", name + std::string(1, '\0'),
          name + "\u200b", "\uff41" + name.substr(1), name.substr(1), name + "s"}) {
      const std::string body = Json{{"client_id", "x"}, {"role", dressed}}.dump();
      RawClient client = server_.client();
      client.send(
          fmt::format("POST /admin/v1/keys HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n"
                      "Authorization: Bearer {}\r\n\r\n{}",
                      body.size(), admin.key, body));
      const std::string answer = client.answer();
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << dressed << "\n" << answer;
      EXPECT_NE(answer.find(R"("param":"role")"), std::string::npos) << answer;
    }
  }
}

}  // namespace
}  // namespace deepmoat::gateway
