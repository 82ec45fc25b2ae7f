// The rows of what auditors set: which content is kept, what may not be deleted, and the sealed
// content itself. One thread at a time, as all of Database.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/database.h"

namespace deepmoat::store {

// Which calls' content is kept; oversight/content_policy.h says what each field means.
struct ContentPolicyRow {
  std::string policy_id;  // "pol_" + 24 hex digits
  std::string tenant;
  std::string model;
  std::string data_class;
  std::int64_t sample_ppm = 0;
  std::int64_t keep_days = 0;
  std::string reason;
  std::string created_by;
  UnixMillis created_ms = 0;
  std::string row_mac;  // HMAC over all of the above, 64 hex digits

  bool operator==(const ContentPolicyRow&) const = default;
};

// What may not be deleted; oversight/legal_hold.h says what each field means.
struct LegalHoldRow {
  std::string hold_id;  // "hld_" + 24 hex digits
  std::string tenant;
  std::string key_id;
  std::string operator_id;
  UnixMillis since_ms = 0;
  UnixMillis until_ms = 0;
  std::string reason;
  std::string placed_by;
  UnixMillis placed_ms = 0;
  std::string released_by;
  UnixMillis released_ms = 0;
  std::string row_mac;  // HMAC over all of the above, 64 hex digits

  bool operator==(const LegalHoldRow&) const = default;
};

// The content of one call; oversight/content_store.h says what each field means.
struct CallContentRow {
  std::string content_id;  // "cnt_" + 24 hex digits; a request id is the client's to choose
  std::string tenant;
  std::string request_id;
  std::string key_id;
  std::string operator_id;
  std::string model;
  std::string data_class;
  std::int64_t cut = 0;  // bit 0: of the input, bit 1: of the output
  UnixMillis called_ms = 0;
  UnixMillis kept_until_ms = 0;
  std::string digest;   // over both sealed texts, 64 hex digits
  std::string row_mac;  // HMAC over all of the above, 64 hex digits
  // Sealed by a crypto::FieldCipher, in base64. Not read with the facts alone.
  std::string input;
  std::string output;

  bool operator==(const CallContentRow&) const = default;
};

class OversightTable {
 public:
  // `database` outlives it.
  explicit OversightTable(Database& database) : database_(database) {}

  Result<> insert_policy(const ContentPolicyRow& row);
  // The oldest first.
  Result<std::vector<ContentPolicyRow>> list_policies();
  // Code::not_found when there is none.
  Result<> erase_policy(std::string_view policy_id);

  Result<> insert_hold(const LegalHoldRow& row);
  // The oldest first, those that were released too.
  Result<std::vector<LegalHoldRow>> list_holds();
  // Sets what a release changes. Code::not_found when there is none.
  Result<> update_hold(const LegalHoldRow& row);
  // Code::not_found when there is none.
  Result<> erase_hold(std::string_view hold_id);

  Result<> insert_content(const CallContentRow& row);
  // Of the calls with this request id, the newest first. Empty `tenant`: of all; empty `digest`:
  // whatever it is.
  Result<std::vector<CallContentRow>> find_contents(std::string_view request_id,
                                                    std::string_view tenant,
                                                    std::string_view digest, std::int64_t count);
  // The facts alone of what is due at `now_ms`, in the order of (kept_until_ms, content_id), after
  // the row `after` where there is one.
  Result<std::vector<CallContentRow>> list_due_contents(UnixMillis now_ms,
                                                        const CallContentRow& after,
                                                        std::int64_t count);
  // All or none. Ids that are not there are no error. Their pages are overwritten, and the
  // write-ahead log is emptied, where nobody else reads it.
  Result<> erase_contents(std::span<const std::string> content_ids);

 private:
  Database& database_;
};

}  // namespace deepmoat::store
