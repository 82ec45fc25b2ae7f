// A leak between the withdrawal of its key and the end of its record. It is in the database from
// the same moment on as the withdrawal, so that no stop of the server leaves it half done; signed,
// as the record that is made of it later is signed too. Pure.
#pragma once

#include <string>

#include "base/clock.h"
#include "crypto/signature.h"
#include "identity/key_service.h"
#include "store/leak_table.h"

namespace deepmoat::gateway {

struct OpenLeak {
  std::string incident_id;
  std::string reason;
  UnixMillis reported_ms = 0;
  identity::Actor reporter;
  // Of `key.info` only the id is kept; whoever reads a row completes it. `key.audit_sequence` is 0
  // when the server ended before it was known.
  identity::LeakedKey key;
};

[[nodiscard]] Result<store::OpenLeakRow> row_of(const OpenLeak& leak,
                                                const crypto::SigningKey& signing_key);
// Code::corrupt when the row is not one that row_of() made with this key.
[[nodiscard]] Result<OpenLeak> open_leak_of(const store::OpenLeakRow& row,
                                            const crypto::SigningKey& signing_key);

}  // namespace deepmoat::gateway
