// The record of an incident: what happened to which key, who said so when, what the key had done,
// and where the audit log stood. One text has one spelling (canonical JSON, RFC 8785) and carries
// an Ed25519 signature, so that it can be given away and checked by anybody with the public key.
// Bytes in docs/formats/incident.md. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "audit/key_usage.h"
#include "base/clock.h"
#include "base/result.h"
#include "crypto/signature.h"
#include "identity/key_service.h"

namespace deepmoat::incident {

inline constexpr std::size_t kIncidentBytesMax = 8 * 1024 * 1024;

// All that the record of a leaked key says.
struct Leak {
  std::string id;  // "inc_" + 24 hex digits
  identity::LeakedKey key;
  std::string reason;
  identity::Actor reporter;
  UnixMillis recorded_ms = 0;
  audit::KeyUsage usage;
};

[[nodiscard]] nlohmann::json leak_json(const Leak& leak);

// The file's text, with a line end: {"incident":{...},"signature":{...}}.
[[nodiscard]] Result<std::string> sign(const nlohmann::json& incident,
                                       const crypto::SigningKey& key);

// The incident in a file's text, with or without its line end. Code::corrupt for any other spelling
// than sign()'s, and when the signature is not one of
// `public_key` (32 bytes) over exactly this incident.
[[nodiscard]] Result<nlohmann::json> verify(std::string_view text, std::string_view public_key);

// The same without the signature: for showing what lies in our own folder.
[[nodiscard]] Result<nlohmann::json> read_unverified(std::string_view text);

}  // namespace deepmoat::incident
