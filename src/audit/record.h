// One audit record: who did what to which thing, from where, with what outcome. Never the text
// of a prompt or an answer, never a key: only keyed fingerprints of them.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace deepmoat::audit {

// An intent is durable before the effect, a result before the last byte of the answer leaves.
enum class Phase : std::uint8_t { intent, result };

// The operations of the promised `audit_log` view.
enum class Operation : std::uint8_t { read, write, erase, execute };  // READ WRITE DELETE EXECUTE

enum class Outcome : std::uint8_t {
  pending,  // an intent: not known yet
  success,
  refused,    // a stage said no: `status` and `reason` say which
  failed,     // something broke after the effect had begun
  cancelled,  // the caller went away
};

// Fields that do not apply stay empty or 0 and are not stored.
struct Record {
  Phase phase = Phase::intent;
  Operation operation = Operation::execute;
  Outcome outcome = Outcome::pending;
  UnixMillis unix_ms = 0;  // set by the log
  MonoNanos mono_ns = 0;   // set by the log
  std::string request_id;
  std::uint64_t intent_sequence = 0;  // of a result: the sequence of its intent
  std::string tenant;
  std::string operator_id;  // client_id of the key, or "local:<uid>" at the machine itself
  std::string key_id;
  std::string role;
  std::string authentication;  // "api_key", "local_socket", "command_line", "none"
  std::string ip_address;
  std::string action;      // "chat.completions", "key.create", ...
  std::string resource;    // model name, key id, ...
  std::string route;       // "local" or the remote's name
  std::string data_class;  // "public", "internal", "sensitive", "restricted"
  std::string model;
  std::string model_version;      // SHA-256 of the model file, first 16 digits
  std::string adapter;            // the LoRA adapter that the model answered with, and its version
  std::string adapter_version;    // as model_version
  std::string knowledge;          // snapshot of the knowledge base that the answer rests on
  std::string input_fingerprint;  // HMAC under the tenant's audit key, hexadecimal
  std::string output_fingerprint;
  std::string content;  // SHA-256 of the sealed content, where a policy kept it
  std::uint64_t tokens_in = 0;
  std::uint64_t tokens_cached = 0;
  std::uint64_t tokens_out = 0;
  // Of the answer's body: a whole one as it leaves now, of a stream what had been sent.
  std::uint64_t bytes_out = 0;
  std::uint64_t queue_ms = 0;
  std::uint64_t first_token_ms = 0;
  std::uint64_t duration_ms = 0;
  int status = 0;      // HTTP status of the answer
  std::string reason;  // error code of a refusal or failure
};

}  // namespace deepmoat::audit
