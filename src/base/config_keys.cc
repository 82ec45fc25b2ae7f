#include "base/config_keys.h"

#include <fmt/format.h>

#include <charconv>

namespace deepmoat::config_internal {

namespace {

using Problem = std::optional<std::string>;

struct Description {
  const char* section;
  const char* name;
  const char* meaning;
  bool reloadable = false;
};

constexpr bool kReloadable = true;

ConfigKey shown(const Description& d, std::string type, std::string fallback,
                std::string bounds = "") {
  return {d.section,         d.name,      std::move(type), std::move(fallback), d.meaning,
          std::move(bounds), d.reloadable};
}

Problem check_bounds(std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) {
    return fmt::format("is {} and must be {} to {}", value, low, high);
  }
  return std::nullopt;
}

// `field` maps a Target to the integer to set.
template <class Field>
KeyRule integer(Description d, Field field, std::int64_t low, std::int64_t high) {
  Config defaults;
  ModelConfig model;
  const std::int64_t fallback = field(Target{defaults, &model});
  const auto assign = [field, low, high](Target target, std::int64_t value) -> Problem {
    if (auto problem = check_bounds(value, low, high)) {
      return problem;
    }
    field(target) = value;
    return std::nullopt;
  };
  return {
      shown(d, "integer", std::to_string(fallback), fmt::format("{} to {}", low, high)),
      [assign](Target target, const toml::node& node) -> Problem {
        const auto value = node.value_exact<std::int64_t>();
        return value ? assign(target, *value) : Problem("must be a whole number without quotes");
      },
      [assign](Target target, const std::string& text) -> Problem {
        std::int64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || end != text.data() + text.size()) {
          return "must be a whole number";
        }
        return assign(target, value);
      }};
}

template <class Field>
KeyRule boolean(Description d, Field field) {
  Config defaults;
  const bool fallback = field(Target{defaults, nullptr});
  return {shown(d, "boolean", fallback ? "true" : "false"),
          [field](Target target, const toml::node& node) -> Problem {
            const auto value = node.value_exact<bool>();
            if (!value) {
              return "must be true or false, without quotes";
            }
            field(target) = *value;
            return std::nullopt;
          },
          [field](Target target, const std::string& text) -> Problem {
            if (text != "true" && text != "false") {
              return "must be true or false";
            }
            field(target) = text == "true";
            return std::nullopt;
          }};
}

template <class Field>
KeyRule text(Description d, Field field) {
  Config defaults;
  ModelConfig model;
  const std::string fallback = field(Target{defaults, &model});
  return {shown(d, "text", '"' + fallback + '"'),
          [field](Target target, const toml::node& node) -> Problem {
            const auto value = node.value_exact<std::string>();
            if (!value) {
              return "must be text in quotes";
            }
            field(target) = *value;
            return std::nullopt;
          },
          [field](Target target, const std::string& value) -> Problem {
            field(target) = value;
            return std::nullopt;
          }};
}

template <class Field>
KeyRule text_list(Description d, Field field) {
  return {shown(d, "list of text", "[]"),
          [field](Target target, const toml::node& node) -> Problem {
            const toml::array* list = node.as_array();
            if (list == nullptr) {
              return "must be a list such as [\"a\", \"b\"]";
            }
            std::vector<std::string> values;
            for (const toml::node& item : *list) {
              const auto value = item.value_exact<std::string>();
              if (!value) {
                return "must hold only text in quotes";
              }
              values.push_back(*value);
            }
            field(target) = std::move(values);
            return std::nullopt;
          },
          [field](Target target, const std::string& value) -> Problem {
            field(target).clear();
            for (std::size_t begin = 0; begin <= value.size();) {
              const std::size_t end = std::min(value.find(',', begin), value.size());
              if (end > begin) {
                field(target).push_back(value.substr(begin, end - begin));
              }
              begin = end + 1;
            }
            return std::nullopt;
          }};
}

#define AT(path) [](Target t) -> auto& { return t.config.path; }
#define IN_MODEL(path) [](Target t) -> auto& { return t.model->path; }

void add_server_rules(std::vector<KeyRule>& rules) {
  rules.push_back(
      text({"server", "https_address", "Address on which HTTPS (TLS 1.3 only) listens."},
           AT(server.https_address)));
  rules.push_back(
      integer({"server", "https_port", "Port of HTTPS."}, AT(server.https_port), 1, 65535));
  rules.push_back(text({"server", "http_address",
                        "Address on which plain HTTP listens; only loopback unless the next key "
                        "but one allows more."},
                       AT(server.http_address)));
  rules.push_back(integer({"server", "http_port", "Port of plain HTTP; 0 turns it off."},
                          AT(server.http_port), 0, 65535));
  rules.push_back(boolean({"server", "insecure_http_beyond_loopback",
                           "Lets plain HTTP listen on an address that other machines reach: keys "
                           "and prompts then cross the network unencrypted."},
                          AT(server.insecure_http_beyond_loopback)));
  rules.push_back(integer({"server", "threads", "Threads that serve connections; 0: one a core."},
                          AT(server.threads), 0, 1024));
  rules.push_back(integer({"server", "body_bytes_max",
                           "Largest request body in bytes; larger ones get 413.", kReloadable},
                          AT(server.body_bytes_max), 1024, 1LL << 30));
  rules.push_back(
      integer({"server", "connections_max",
               "Open connections in all; further ones are closed at once.", kReloadable},
              AT(server.connections_max), 1, 1'000'000));
  rules.push_back(integer(
      {"server", "connections_per_address_max", "Open connections from one address.", kReloadable},
      AT(server.connections_per_address_max), 1, 1'000'000));
  rules.push_back(
      integer({"server", "idle_timeout_s",
               "Seconds that an idle connection stays open between calls.", kReloadable},
              AT(server.idle_timeout_s), 1, 86'400));
  rules.push_back(integer({"server", "request_timeout_s",
                           "Seconds for a client to send a whole request, for a TLS handshake, and "
                           "for a client that does not read.",
                           kReloadable},
                          AT(server.request_timeout_s), 1, 3'600));
  rules.push_back(integer(
      {"server", "keep_alive_s",
       "Seconds without an event after which a stream gets a keep-alive comment.", kReloadable},
      AT(server.keep_alive_s), 1, 3'600));
  rules.push_back(integer({"server", "drain_timeout_s",
                           "Seconds that running calls get to finish after SIGTERM.", kReloadable},
                          AT(server.drain_timeout_s), 0, 3'600));
}

void add_security_rules(std::vector<KeyRule>& rules) {
  rules.push_back(
      text({"tls", "certificate",
            "Certificate chain in PEM; empty: the data folder's own, signed by its local CA.",
            kReloadable},
           AT(tls.certificate)));
  rules.push_back(text(
      {"tls", "private_key", "Private key in PEM that belongs to the certificate.", kReloadable},
      AT(tls.private_key)));
  rules.push_back(text_list({"tls", "names",
                             "Host names and addresses in the certificate that the local CA makes, "
                             "beside localhost and this host's name."},
                            AT(tls.names)));
  rules.push_back(
      text({"log", "level", "debug, info, warn or error.", kReloadable}, AT(log.level)));
  rules.push_back(integer(
      {"keys", "lifetime_days", "Days until a new key ends; 90 is the longest.", kReloadable},
      AT(keys.lifetime_days), 1, 90));
  rules.push_back(
      boolean({"keys", "accept_bare_hex", "Also accepts a key as its bare 64 hexadecimal digits."},
              AT(keys.accept_bare_hex)));
  rules.push_back(text({"keys", "passphrase_file",
                        "File with the passphrase that seals the key file; empty: only the file's "
                        "rights protect it."},
                       AT(keys.passphrase_file)));
  rules.push_back(integer({"limits", "requests_per_minute",
                           "Requests a minute that one key may send; 0: no limit.", kReloadable},
                          AT(limits.requests_per_minute), 0, 10'000'000));
  rules.push_back(integer({"limits", "concurrent_calls_per_key",
                           "Calls of one key that may run at once; 0: no limit.", kReloadable},
                          AT(limits.concurrent_calls_per_key), 0, 1'000'000));
  rules.push_back(integer({"limits", "concurrent_calls",
                           "Calls of all keys that may run at once; 0: no limit.", kReloadable},
                          AT(limits.concurrent_calls), 0, 1'000'000));
  rules.push_back(integer({"limits", "authentication_failures_per_minute",
                           "Failed authentications a minute after which an address is refused "
                           "before its key is looked at.",
                           kReloadable},
                          AT(limits.authentication_failures_per_minute), 1, 1'000'000));
  rules.push_back(integer({"audit", "segment_mib", "Size of one file of the audit log in MiB."},
                          AT(audit.segment_mib), 1, 4096));
}

void add_model_rules(std::vector<KeyRule>& rules) {
  rules.push_back(
      text({"model", "name",
            "Name that callers write into \"model\"; empty: the file's name without its ending."},
           IN_MODEL(name)));
  rules.push_back(text({"model", "path", "The model's GGUF file."}, IN_MODEL(path)));
  rules.push_back(integer({"model", "threads", "Threads of the model's worker; 0: one a core."},
                          IN_MODEL(threads), 0, 1024));
  rules.push_back(
      integer({"model", "cells",
               "Tokens of context that all calls of the model share; 0: chosen by memory."},
              IN_MODEL(cells), 0, 100'000'000));
  rules.push_back(integer({"model", "max_batch_size", "Most calls in one batch."},
                          IN_MODEL(max_batch_size), 1, 4096));
  rules.push_back(integer(
      {"model", "step_tokens", "Token budget of one scheduler step; 0: chosen by the worker."},
      IN_MODEL(step_tokens), 0, 65'536));
  rules.push_back(text({"model", "cpu_variant",
                        "CPU variant of the engine, e.g. \"haswell\"; \"auto\": the best one that "
                        "passes its self-test."},
                       IN_MODEL(cpu_variant)));
}

#undef AT
#undef IN_MODEL

}  // namespace

const std::vector<KeyRule>& key_rules() {
  static const std::vector<KeyRule> rules = [] {
    std::vector<KeyRule> made;
    add_server_rules(made);
    add_security_rules(made);
    add_model_rules(made);
    return made;
  }();
  return rules;
}

}  // namespace deepmoat::config_internal
