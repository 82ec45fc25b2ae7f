#include "base/config.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>

#include "base/file.h"
#include "base/scratch_folder.h"

namespace deepmoat {
namespace {

using Variables = std::map<std::string, std::string>;

EnvironmentLookup environment_of(Variables variables) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

ConfigLoad parse(std::string_view text, Variables variables = {}) {
  return parse_config(text, "a.toml", environment_of(std::move(variables)));
}

// The one problem of a text, as a person reads it.
std::string problem_of(std::string_view text, Variables variables = {}) {
  const ConfigLoad load = parse(text, std::move(variables));
  EXPECT_EQ(load.problems.size(), 1U) << text;
  return load.problems.empty() ? "" : load.problems.front().text();
}

std::string variable_of(const ConfigKey& key) {
  std::string name = "DEEPMOAT_" + key.section + "_" + key.name;
  for (char& c : name) {
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

// A file with this one key; a model also needs its path, a tenant its name.
std::string one_key(const ConfigKey& key, const std::string& value) {
  const std::string line = key.name + " = " + value + "\n";
  if (!key.repeated) {
    return "[" + key.section + "]\n" + line;
  }
  const std::string needed = key.section == "model" ? "path" : "name";
  return "[[" + key.section + "]]\n" + line + (key.name == needed ? "" : needed + " = \"m\"\n");
}

// Every value of a configuration, to compare two.
std::string values_of(const Config& c) {
  std::string text;
  for (const auto& item : {c.server.https_address, c.server.http_address, c.tls.certificate,
                           c.tls.private_key, c.log.level, c.keys.passphrase_file}) {
    text += item + "\n";
  }
  for (const std::int64_t item : {c.server.https_port,
                                  c.server.http_port,
                                  c.server.threads,
                                  c.server.body_bytes_max,
                                  c.server.connections_max,
                                  c.server.connections_per_address_max,
                                  c.server.idle_timeout_s,
                                  c.server.request_timeout_s,
                                  c.server.keep_alive_s,
                                  c.server.drain_timeout_s,
                                  c.keys.lifetime_days,
                                  c.limits.requests_per_minute,
                                  c.limits.tokens_per_minute,
                                  c.limits.concurrent_calls_per_key,
                                  c.limits.concurrent_calls,
                                  c.limits.authentication_failures_per_minute,
                                  c.audit.segment_mib,
                                  c.limits.queue_per_tenant,
                                  c.limits.queue_total,
                                  c.limits.wait_s_max,
                                  c.memory.budget_mib,
                                  static_cast<std::int64_t>(c.metrics.vllm_names),
                                  static_cast<std::int64_t>(c.metrics.open_on_loopback),
                                  static_cast<std::int64_t>(c.models.size()),
                                  static_cast<std::int64_t>(c.tenants.size()),
                                  static_cast<std::int64_t>(c.tls.names.size()),
                                  static_cast<std::int64_t>(c.server.insecure_http_beyond_loopback),
                                  static_cast<std::int64_t>(c.keys.accept_bare_hex)}) {
    text += std::to_string(item) + "\n";
  }
  return text;
}

TEST(Config, NothingGivenIsTheDefaults) {
  const ConfigLoad load = load_config("", environment_of({}));
  EXPECT_TRUE(load.problems.empty());
  EXPECT_EQ(values_of(load.config), values_of(Config{}));
}

TEST(Config, ExampleIsTheDefaults) {
  const ConfigLoad load = parse(config_example());
  EXPECT_TRUE(load.problems.empty());
  EXPECT_EQ(values_of(load.config), values_of(Config{}));
}

TEST(Config, ExampleAndPageNameEveryKey) {
  const std::string example = config_example();
  const std::string page = config_markdown();
  for (const ConfigKey& key : config_keys()) {
    const std::string line = key.name + " = " + key.fallback + "\n";
    EXPECT_NE(example.find(line), std::string::npos) << line;
    EXPECT_NE(example.find("# " + key.meaning), std::string::npos) << key.name;
    EXPECT_NE(page.find("| `" + key.name + "` |"), std::string::npos) << key.name;
    if (!key.repeated) {
      EXPECT_NE(page.find(variable_of(key)), std::string::npos) << key.name;
    }
    EXPECT_GT(key.meaning.size(), 10U) << key.name;
  }
}

TEST(Config, PageInTheDocumentationIsTheProgramsOwn) {
  const auto page = read_file(DEEPMOAT_SOURCE_DIR "/docs/configuration.md", 1'000'000);
  ASSERT_TRUE(page);
  EXPECT_EQ(*page, config_markdown()) << "deepmoat config markdown > docs/configuration.md";
}

TEST(Config, EveryKeyTakesItsDefaultFromFileAndEnvironment) {
  for (const ConfigKey& key : config_keys()) {
    const bool needed = key.name == "path" || (key.section == "tenant" && key.name == "name");
    const std::string value = needed ? "\"m\"" : key.fallback;
    EXPECT_TRUE(parse(one_key(key, value)).problems.empty()) << one_key(key, value);
    if (key.repeated) {
      continue;
    }
    std::string plain = key.fallback;
    std::erase_if(plain, [](char c) { return c == '"' || c == '[' || c == ']'; });
    EXPECT_TRUE(parse("", {{variable_of(key), plain}}).problems.empty()) << variable_of(key);
  }
}

TEST(Config, EveryKeyRefusesAnotherType) {
  for (const ConfigKey& key : config_keys()) {
    const ConfigLoad load = parse(one_key(key, "{ nested = 1979-05-27 }"));
    const auto typed = std::ranges::find(load.problems, 2U, &ConfigProblem::line);
    ASSERT_NE(typed, load.problems.end()) << key.name;
    EXPECT_EQ(typed->key, key.section + "." + key.name);
    EXPECT_TRUE(typed->message.starts_with("must be")) << typed->message;
  }
}

TEST(Config, EveryNumberHoldsItsBounds) {
  int checked = 0;
  for (const ConfigKey& key : config_keys()) {
    if (key.type != "integer") {
      continue;
    }
    const std::size_t middle = key.bounds.find(" to ");
    const std::int64_t low = std::stoll(key.bounds);
    const std::int64_t high = std::stoll(key.bounds.substr(middle + 4));
    for (const std::int64_t bad : {low - 1, high + 1}) {
      EXPECT_EQ(problem_of(one_key(key, std::to_string(bad))),
                "a.toml:2: " + key.section + "." + key.name + " is " + std::to_string(bad) +
                    " and must be " + key.bounds);
    }
    for (const std::int64_t good : {low, high}) {
      for (const ConfigProblem& problem : parse(one_key(key, std::to_string(good))).problems) {
        EXPECT_EQ(problem.line, 0U) << problem.text();  // ports may still collide
      }
    }
    ++checked;
  }
  EXPECT_GT(checked, 15);
}

TEST(Config, NumbersMayHaveAFraction) {
  const ConfigLoad load = parse(
      "[[tenant]]\nname = \"a\"\nweight = 2.5\n[[tenant]]\nname = \"b\"\nweight = 3\n"
      "[[model]]\npath = \"m\"\ndefault_temperature = 0\n");
  ASSERT_TRUE(load.problems.empty());
  EXPECT_EQ(load.config.tenants[0].weight, 2.5);
  EXPECT_EQ(load.config.tenants[1].weight, 3);
  EXPECT_EQ(load.config.models[0].default_temperature, 0);
  EXPECT_EQ(load.config.models[0].default_top_p, -1);
}

TEST(Config, TenantHasItsOwnSettingsOrTheLimits) {
  const ConfigLoad load = parse(
      "[limits]\nqueue_per_tenant = 7\nwait_s_max = 9\n"
      "[[tenant]]\nname = \"a\"\nweight = 4\nqueue_max = 3\n"
      "[[tenant]]\nname = \"b\"\npriority = 0\nwait_s_max = 2\n");
  ASSERT_TRUE(load.problems.empty());
  EXPECT_EQ(load.config.tenant("a"),
            (TenantConfig{.name = "a", .weight = 4, .queue_max = 3, .wait_s_max = 9}));
  EXPECT_EQ(load.config.tenant("b"),
            (TenantConfig{.name = "b", .priority = 0, .queue_max = 7, .wait_s_max = 2}));
  EXPECT_EQ(load.config.tenant("c"), (TenantConfig{.name = "c", .queue_max = 7, .wait_s_max = 9}));
}

TEST(Config, ModelMayComeFromTheCatalogue) {
  const ConfigLoad load = parse(
      "[[model]]\nname = \"imported\"\nreplicas = 2\nload = \"demand\"\n"
      "adapters = [\"a=a.gguf:0.5\", \"b\"]\n");
  ASSERT_TRUE(load.problems.empty()) << load.problems[0].text();
  EXPECT_EQ(load.config.models[0].name, "imported");
  EXPECT_EQ(load.config.models[0].path, "");
  EXPECT_EQ(load.config.models[0].replicas, 2);
  EXPECT_EQ(load.config.models[0].adapters, (std::vector<std::string>{"a=a.gguf:0.5", "b"}));
}

struct Finding {
  const char* text;
  const char* expected;
};
class Findings : public testing::TestWithParam<Finding> {};
INSTANTIATE_TEST_SUITE_P(
    Kinds, Findings,
    testing::Values(
        Finding{"[server]\nhttps_prot = 1\n",
                "a.toml:2: server.https_prot is not a key; did you mean server.https_port?"},
        Finding{"[server]\n\nsomething_else_entirely = 1\n",
                "a.toml:3: server.something_else_entirely is not a key of [server]; `deepmoat "
                "config example` lists them all"},
        Finding{"\n\n[sever]\nhttps_port = 1\n",
                "a.toml:3: sever is not a section; sections are server, tls, log, keys, "
                "sessions, custody, limits, audit, memory, metrics, approval, webhooks, model, "
                "tenant"},
        Finding{"server = 3\n", "a.toml:1: server must be a section, written [server]"},
        Finding{"https_port = 3\n",
                "a.toml:1: https_port is not a section; sections are server, tls, log, keys, "
                "sessions, custody, limits, audit, memory, metrics, approval, webhooks, model, "
                "tenant"},
        Finding{"[server]\nhttps_port = \"8443\"\n",
                "a.toml:2: server.https_port must be a whole number without quotes"},
        Finding{"[server]\nhttps_port = 84.5\n",
                "a.toml:2: server.https_port must be a whole number without quotes"},
        Finding{"[server]\nhttps_port = 0\n",
                "a.toml:2: server.https_port is 0 and must be 1 to 65535"},
        Finding{"[keys]\naccept_bare_hex = \"yes\"\n",
                "a.toml:2: keys.accept_bare_hex must be true or false, without quotes"},
        Finding{"[custody]\nkind = \"hsm\"\n",
                "a.toml:2: custody.kind is \"hsm\" and must be file, pkcs11 or sdf"},
        Finding{"[log]\nlevel = 3\n", "a.toml:2: log.level must be text in quotes"},
        Finding{"[tls]\nnames = \"a\"\n",
                R"(a.toml:2: tls.names must be a list such as ["a", "b"])"},
        Finding{"[tls]\nnames = [\"a\", 3]\n", "a.toml:2: tls.names must hold only text in quotes"},
        Finding{"[model]\npath = \"m\"\n",
                "a.toml:1: model must be written as [[model]], with two brackets"},
        Finding{"[[model]]\nthreads = 1\n",
                "a.toml:1: model.path is missing: name the model's GGUF file, or set model.name to "
                "an imported one"},
        Finding{"[[model]]\npath = \"m\"\nadapters = [\"=f\"]\n",
                "a.toml:1: model.adapters has \"=f\"; write \"NAME=FILE\", \"NAME=FILE:SCALE\" or "
                "the name of an imported adapter"},
        Finding{"[[model]]\npath = \"m\"\nload = \"later\"\n",
                "a.toml:3: model.load is \"later\" and must be start or demand"},
        Finding{"[[model]]\npath = \"m\"\ndefault_temperature = 2.5\n",
                "a.toml:3: model.default_temperature is 2.5 and must be -1 to 2"},
        Finding{"[[tenant]]\nweight = 1\n",
                "a.toml:1: tenant.name is missing: name the tenant as its keys do"},
        Finding{"[[tenant]]\nname = \"a\"\n[[tenant]]\nname = \"a\"\n",
                "a.toml:3: tenant.name \"a\" is used twice; give each tenant its own name"},
        Finding{"[[tenant]]\nname = \"a\"\nweight = \"2\"\n",
                "a.toml:3: tenant.weight must be a number without quotes"},
        Finding{"[tenant]\nname = \"a\"\n",
                "a.toml:1: tenant must be written as [[tenant]], with two brackets"},
        Finding{"[[model]]\npath = \"a/m.gguf\"\n[[model]]\npath = \"b/m.gguf\"\n",
                "a.toml:3: model.name \"m\" is used twice; give each model its own name"},
        Finding{"[server]\nhttp_address = \"0.0.0.0\"\n",
                "a.toml: server.http_address is not loopback, and plain HTTP would carry keys and "
                "prompts unencrypted; use HTTPS, or set server.insecure_http_beyond_loopback = "
                "true if you accept that"},
        Finding{"[server]\nhttp_port = 8443\n",
                "a.toml: server.http_port equals server.https_port; choose another"},
        Finding{"[tls]\ncertificate = \"c.pem\"\n",
                "a.toml: tls.certificate and tls.private_key belong together: set both or "
                "neither"},
        Finding{"[tls]\nprivate_key = \"k.pem\"\n",
                "a.toml: tls.certificate and tls.private_key belong together: set both or "
                "neither"},
        Finding{"[log]\nlevel = \"loud\"\n",
                "a.toml:2: log.level is \"loud\" and must be debug, info, warn or error"}));

TEST_P(Findings, NameFileLineKeyAndFix) {
  EXPECT_EQ(problem_of(GetParam().text), GetParam().expected);
}

TEST(Config, SyntaxErrorsNameTheirLine) {
  const std::string problem = problem_of("[server]\nhttps_port = \n");
  EXPECT_TRUE(problem.starts_with("a.toml:2: syntax: ")) << problem;
  EXPECT_TRUE(problem_of("[server]\nthreads = 1\nthreads = 2\n").starts_with("a.toml:3: syntax: "));
  EXPECT_TRUE(problem_of("a = \"\xff\"").starts_with("a.toml:1: syntax: "));
}

TEST(Config, EveryProblemIsReported) {
  const ConfigLoad load = parse("[server]\nhttps_port = 0\nx = 1\n[log]\nlevel = 3\n",
                                {{"DEEPMOAT_AUDIT_SEGMENT_MIB", "many"}});
  EXPECT_EQ(load.problems.size(), 4U);
}

TEST(Config, EnvironmentGoesOverTheFile) {
  const ConfigLoad load = parse("[server]\nhttps_port = 1\n", {{"DEEPMOAT_SERVER_HTTPS_PORT", "2"},
                                                               {"DEEPMOAT_TLS_NAMES", "a,,b"},
                                                               {"DEEPMOAT_LOG_LEVEL", "warn"},
                                                               {"UNRELATED", "x"}});
  ASSERT_TRUE(load.problems.empty());
  EXPECT_EQ(load.config.server.https_port, 2);
  EXPECT_EQ(load.config.tls.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(load.config.log.level, "warn");
}

TEST(Config, EnvironmentProblemsNameTheVariable) {
  EXPECT_EQ(problem_of("", {{"DEEPMOAT_SERVER_HTTPS_PORT", "8443x"}}),
            "environment: DEEPMOAT_SERVER_HTTPS_PORT must be a whole number");
  EXPECT_EQ(problem_of("", {{"DEEPMOAT_SERVER_HTTPS_PORT", ""}}),
            "environment: DEEPMOAT_SERVER_HTTPS_PORT must be a whole number");
  EXPECT_EQ(problem_of("", {{"DEEPMOAT_SERVER_HTTPS_PORT", "70000"}}),
            "environment: DEEPMOAT_SERVER_HTTPS_PORT is 70000 and must be 1 to 65535");
  EXPECT_EQ(problem_of("", {{"DEEPMOAT_KEYS_ACCEPT_BARE_HEX", "yes"}}),
            "environment: DEEPMOAT_KEYS_ACCEPT_BARE_HEX must be true or false");
}

TEST(Config, ModelTakesItsNameFromItsFile) {
  const ConfigLoad load = parse(
      "[[model]]\npath = \"/models/SmolLM2.Q4_1.gguf\"\nthreads = 3\n"
      "[[model]]\nname = \"b\"\npath = \"b.gguf\"\n");
  ASSERT_TRUE(load.problems.empty());
  ASSERT_EQ(load.config.models.size(), 2U);
  EXPECT_EQ(load.config.models[0].name, "SmolLM2.Q4_1");
  EXPECT_EQ(load.config.models[0].threads, 3);
  EXPECT_EQ(load.config.models[0].max_batch_size, 128);
  EXPECT_EQ(load.config.models[1].name, "b");
}

TEST(Config, PlainHttpIsKeptOnLoopback) {
  for (const char* address : {"127.0.0.1", "127.8.8.8", "::1", "localhost"}) {
    EXPECT_TRUE(
        parse("[server]\nhttp_address = \"" + std::string(address) + "\"\n").problems.empty());
  }
  for (const char* address : {"0.0.0.0", "::", "192.0.2.1", "", "128.0.0.1"}) {
    EXPECT_FALSE(
        parse("[server]\nhttp_address = \"" + std::string(address) + "\"\n").problems.empty());
  }
  EXPECT_TRUE(parse("[server]\nhttp_address = \"0.0.0.0\"\nhttp_port = 0\n").problems.empty());
  EXPECT_TRUE(parse("[server]\nhttp_address = \"0.0.0.0\"\ninsecure_http_beyond_loopback = true\n")
                  .problems.empty());
}

TEST(Config, FileThatCannotBeRead) {
  const ScratchFolder folder;
  const auto none = load_config(folder / "none.toml", environment_of({}));
  ASSERT_EQ(none.problems.size(), 1U);
  EXPECT_NE(none.problems[0].text().find("No such file"), std::string::npos);
  ASSERT_TRUE(write_file_atomic(folder / "big.toml", std::string(2 << 20, '#'), 0600));
  EXPECT_EQ(load_config(folder / "big.toml", environment_of({})).problems.size(), 1U);
}

TEST(Config, ProcessEnvironmentIsTheProcessOwn) {
  ASSERT_EQ(::setenv("DEEPMOAT_TEST_VARIABLE", "value", 1), 0);
  EXPECT_EQ(process_environment()("DEEPMOAT_TEST_VARIABLE"), "value");
  ::unsetenv("DEEPMOAT_TEST_VARIABLE");
  EXPECT_EQ(process_environment()("DEEPMOAT_TEST_VARIABLE"), std::nullopt);
}

RC_GTEST_PROP(Config, AnyTextGivesAConfigurationOrProblems, (const std::string& text)) {
  const ConfigLoad load = parse(text);
  for (const ConfigProblem& problem : load.problems) {
    RC_ASSERT(problem.text().find(": ") != std::string::npos);
  }
}

}  // namespace
}  // namespace deepmoat
