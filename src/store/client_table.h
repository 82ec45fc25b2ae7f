// The rows of client certificates and of keys that wait for their owners. One thread at a time, as
// all of Database.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/database.h"

namespace deepmoat::store {

struct ClientCertificateRow {
  std::string fingerprint;  // SHA-256 of the certificate, "AB:CD:..."
  std::string tenant;
  std::string client_id;
  std::string created_by;
  UnixMillis created_ms = 0;
  UnixMillis ends_ms = 0;
  UnixMillis revoked_ms = 0;  // 0 = not revoked
  std::string row_mac = {};   // HMAC over all of the above, 64 hex digits (docs/formats/keys.md)

  bool operator==(const ClientCertificateRow&) const = default;
};

// A new key that the holder of an old one may fetch, once.
struct SuccessorRow {
  std::string old_key_id;
  std::string new_key_id;
  std::string tenant;
  std::string client_id;
  std::string sealed_key;  // hex; empty once it was fetched
  UnixMillis created_ms = 0;
  UnixMillis ends_ms = 0;     // not to be had any more
  UnixMillis fetched_ms = 0;  // 0 = not yet

  bool operator==(const SuccessorRow&) const = default;
};

class ClientTable {
 public:
  // `database` outlives it.
  explicit ClientTable(Database& database) : database_(database) {}

  Result<> insert_certificate(const ClientCertificateRow& row);
  // Oldest first.
  Result<std::vector<ClientCertificateRow>> list_certificates();
  // Code::not_found.
  Result<ClientCertificateRow> find_certificate(std::string_view fingerprint);
  // Takes over when it was revoked, and the MAC. Code::not_found when none is in force.
  Result<> revoke_certificate(const ClientCertificateRow& row);

  // Code::already_exists when the old key has one.
  Result<> insert_successor(const SuccessorRow& row);
  // Code::not_found.
  Result<SuccessorRow> find_successor(std::string_view old_key_id);
  // Takes the sealed key out of the row. False: somebody has fetched it before.
  Result<bool> take_successor(std::string_view old_key_id, UnixMillis now_ms);
  // Forgets the sealed keys of rows that ended before `now_ms`.
  Result<> end_successors(UnixMillis now_ms);

 private:
  Database& database_;
};

}  // namespace deepmoat::store
