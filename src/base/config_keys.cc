#include "base/config_keys.h"

#include "base/config_rule.h"

namespace deepmoat::config_internal {

namespace {

#define AT(path) [](Target t) -> auto& { return t.config.path; }

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

void add_custody_rules(std::vector<KeyRule>& rules) {
  rules.push_back(choice({"custody", "kind",
                          "Where the root keys live: file (the data folder's sealed key file) or "
                          "pkcs11 (a token or HSM). See docs/custody.md."},
                         AT(custody.kind), {"file", "pkcs11", "sdf"}));
  rules.push_back(text({"custody", "module", "PKCS#11 library of the token, an absolute path."},
                       AT(custody.module)));
  rules.push_back(
      text({"custody", "token_label", "Label of the PKCS#11 token."}, AT(custody.token_label)));
  rules.push_back(text({"custody", "key_label",
                        "What the labels of this installation's keys in the token begin with; two "
                        "installations on one token need two."},
                       AT(custody.key_label)));
  rules.push_back(text({"custody", "pin_file",
                        "File with the token's user PIN, mode 0600; empty: the systemd credential "
                        "deepmoat.pin."},
                       AT(custody.pin_file)));
  rules.push_back(choice({"custody", "gcm_layout",
                          "Form of the AES-GCM parameters that the module takes: with_iv_bits "
                          "(PKCS#11 2.40), without_iv_bits (older), auto: found out at the start."},
                         AT(custody.gcm_layout), {"auto", "with_iv_bits", "without_iv_bits"}));
  rules.push_back(choice({"custody", "field_cipher",
                          "Cipher of encrypted database fields whose tenant gets its key from now "
                          "on: aes-256-gcm or sm4-gcm."},
                         AT(custody.field_cipher), {"aes-256-gcm", "sm4-gcm"}));
  rules.push_back(integer({"custody", "grace_hours",
                           "Hours for which calls are still answered while the root keys cannot be "
                           "reached; then nothing is served."},
                          AT(custody.grace_hours), 0, 720));
}

void add_audit_rules(std::vector<KeyRule>& rules) {
  rules.push_back(integer({"audit", "segment_mib", "Size of one file of the audit log in MiB."},
                          AT(audit.segment_mib), 1, 1024));
  rules.push_back(text({"audit", "origin",
                        "Name of the log in its checkpoints, such as \"audit.hospital.example/"
                        "llm\"; empty: deepmoat/ and the id of the root keys. Do not change it "
                        "later: checkpoints of another name are not this log's."},
                       AT(audit.origin)));
  rules.push_back(boolean({"audit", "sm",
                           "Keeps a second Merkle tree with SM3 and signs checkpoints with SM2, "
                           "too."},
                          AT(audit.sm)));
  rules.push_back(text_list(
      {"audit", "checkpoint_places",
       "Second places that keep the newest checkpoint: \"directory:/path\" (on another disk or "
       "machine), \"syslog\", \"token\" (the PKCS#11 token of the root keys), "
       "\"node:https://host:port\" (another Deepmoat). A server whose log is older than what one "
       "of them keeps does not start."},
      AT(audit.checkpoint_places)));
  rules.push_back(text({"audit", "node_key_file",
                        "File with an API key that the other server has issued; for \"node:\" in "
                        "checkpoint_places."},
                       AT(audit.node_key_file)));
  rules.push_back(text({"audit", "node_ca_file",
                        "File with the certificates (PEM) of the authorities that the other server "
                        "is checked against; empty: the system's."},
                       AT(audit.node_ca_file)));
  rules.push_back(text_list({"audit", "witness_keys",
                             "Keys of the logs of other servers whose checkpoints this one keeps, "
                             "each the first line that `deepmoat audit key` prints there."},
                            AT(audit.witness_keys)));
  rules.push_back(integer({"audit", "keep_days",
                           "Days for which records of the audit log keep their text (network logs: "
                           "six months at least)."},
                          AT(audit.keep_days), 184, 36'500));
  rules.push_back(integer({"audit", "keep_personal_days",
                           "The same for calls of data class sensitive or restricted, and for what "
                           "administrators did (PIPL: three years)."},
                          AT(audit.keep_personal_days), 184, 36'500));
  rules.push_back(integer({"audit", "keep_medical_days",
                           "The same for all records of audit.medical_tenants (HIPAA: six years)."},
                          AT(audit.keep_medical_days), 184, 36'500));
  rules.push_back(
      text_list({"audit", "medical_tenants", "Tenants whose records are medical documentation."},
                AT(audit.medical_tenants)));
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
  rules.push_back(choice({"log", "level", "debug, info, warn or error.", kReloadable},
                         AT(log.level), {"debug", "info", "warn", "error"}));
  rules.push_back(integer(
      {"keys", "lifetime_days", "Days until a new key ends; 90 is the longest.", kReloadable},
      AT(keys.lifetime_days), 1, 90));
  rules.push_back(
      boolean({"keys", "accept_bare_hex", "Also accepts a key as its bare 64 hexadecimal digits."},
              AT(keys.accept_bare_hex)));
  rules.push_back(text({"keys", "passphrase_file",
                        "File with the passphrase that seals the key file; empty: the systemd "
                        "credential deepmoat.passphrase, and without that only the file's rights "
                        "protect it."},
                       AT(keys.passphrase_file)));
  rules.push_back(integer({"sessions", "idle_minutes",
                           "Minutes without a call after which a person who signed in has to sign "
                           "in again."},
                          AT(sessions.idle_minutes), 1, 60));
  rules.push_back(integer(
      {"sessions", "hours", "Hours after which a person has to sign in again whatever he does."},
      AT(sessions.hours), 1, 24));
  add_custody_rules(rules);
  rules.push_back(integer({"limits", "requests_per_minute",
                           "Requests a minute that one key may send; 0: no limit.", kReloadable},
                          AT(limits.requests_per_minute), 0, 10'000'000));
  rules.push_back(integer({"limits", "tokens_per_minute",
                           "Tokens a minute, of prompts and answers, that one key may use; 0: no "
                           "limit.",
                           kReloadable},
                          AT(limits.tokens_per_minute), 0, 1'000'000'000));
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
  rules.push_back(
      integer({"limits", "queue_per_tenant",
               "Calls of one tenant that may wait in one worker; further ones get 429."},
              AT(limits.queue_per_tenant), 1, 100'000));
  rules.push_back(
      integer({"limits", "queue_total",
               "Calls of all tenants that may wait in one worker; further ones get 429."},
              AT(limits.queue_total), 1, 100'000));
  rules.push_back(integer({"limits", "wait_s_max",
                           "Seconds that a call may wait for its turn before it gets 429; 0: no "
                           "limit.",
                           kReloadable},
                          AT(limits.wait_s_max), 0, 86'400));
  add_audit_rules(rules);
}

void add_running_rules(std::vector<KeyRule>& rules) {
  rules.push_back(integer({"memory", "budget_mib",
                           "Memory in MiB that the workers of all models may take together; 0: 90 "
                           "% of the machine's. A model that does not fit is refused.",
                           kReloadable},
                          AT(memory.budget_mib), 0, 1LL << 30));
  rules.push_back(boolean({"metrics", "vllm_names",
                           "Also writes the figures of GET /metrics under vLLM's names, for boards "
                           "made for it.",
                           kReloadable},
                          AT(metrics.vllm_names)));
  rules.push_back(boolean({"metrics", "open_on_loopback",
                           "Answers GET /metrics without a key when the request comes from this "
                           "machine; otherwise it needs one that may see the status.",
                           kReloadable},
                          AT(metrics.open_on_loopback)));
  rules.push_back(boolean({"approval", "two_persons",
                           "What cannot be undone, and a key for who may approve, waits until a "
                           "second person approves it. See docs/two-persons.md.",
                           kReloadable},
                          AT(approval.two_persons)));
  rules.push_back(
      integer({"approval", "hours", "Hours for which it waits; then it has to be asked for again.",
               kReloadable},
              AT(approval.hours), 1, 168));
  rules.push_back(text({"webhooks", "ca_file",
                        "File with the certificates (PEM) of the authorities that the receivers "
                        "of webhooks are checked against; empty: the system's."},
                       AT(webhooks.ca_file)));
  rules.push_back(boolean({"webhooks", "tenants_reach_private_networks",
                           "Lets webhooks that administrators of tenants other than default add "
                           "lead to private addresses too (10.0.0.0/8 and the like); never to this "
                           "machine or its link."},
                          AT(webhooks.tenants_reach_private_networks)));
}

#undef AT

}  // namespace

const std::vector<KeyRule>& key_rules() {
  static const std::vector<KeyRule> rules = [] {
    std::vector<KeyRule> made;
    add_server_rules(made);
    add_security_rules(made);
    add_running_rules(made);
    add_model_rules(made);
    add_tenant_rules(made);
    return made;
  }();
  return rules;
}

}  // namespace deepmoat::config_internal
