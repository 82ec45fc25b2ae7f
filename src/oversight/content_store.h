// The content of calls that a policy keeps: sealed, with a digest that stands in the call's audit
// record, read by auditors who say why, and deleted when its time is over.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "crypto/field_cipher.h"
#include "crypto/key_file.h"
#include "identity/audited_action.h"
#include "identity/row_seal.h"
#include "oversight/legal_hold.h"
#include "store/oversight_table.h"

namespace deepmoat::oversight {

inline constexpr std::size_t kContentBytesMax = std::size_t{4} * 1024 * 1024;  // of each text
inline constexpr std::int64_t kContentsShownMax = 10;  // of one request id, at once

// One call; all but the texts as in its audit record.
struct ContentToKeep {
  std::string_view tenant;
  std::string_view request_id;
  std::string_view key_id;
  std::string_view operator_id;
  std::string_view model;
  std::string_view data_class;
  std::string_view input;   // the request's body, as it came
  std::string_view output;  // all that the model said
  std::int64_t keep_days = 0;
};

struct KeptContent {
  std::string tenant;
  std::string request_id;
  std::string key_id;
  std::string operator_id;
  std::string model;
  std::string data_class;
  Secret input;  // as content may be one
  Secret output;
  bool input_cut = false;  // only its first kContentBytesMax bytes were kept
  bool output_cut = false;
  UnixMillis kept_ms = 0;
  UnixMillis kept_until_ms = 0;
  std::string digest;  // as in the audit record's `content`
};

struct ContentQuery {
  std::string request_id;
  std::string digest;  // of one of several calls with this id; empty: whatever it is
  std::string reason;
};

struct FoundContents {
  std::vector<KeptContent> contents;  // the newest first: clients may use a request id twice
  bool more = false;                  // than kContentsShownMax; ask by digest
};

// At most `bytes_max` bytes of the text, without half a character at the end. Pure.
[[nodiscard]] std::string_view cut_at_character(std::string_view text, std::size_t bytes_max);

// On the database's thread.
class ContentStore {
 public:
  // All that is referred to must outlive it.
  ContentStore(store::Database& database, identity::AppendAudit append, crypto::FieldCipher& cipher,
               const LegalHolds& holds, const crypto::RootSecrets& secrets, const Clock& clock);
  ContentStore(const ContentStore&) = delete;
  ContentStore& operator=(const ContentStore&) = delete;

  // Durable when it returns. The digest for the audit record, 64 hex digits: SHA-256 of
  // "deepmoat kept content 1", the sealed input and the sealed output, each with its length before
  // it in 4 bytes, big-endian.
  Result<std::string> keep(const ContentToKeep& content);

  // On record, with the reason, before the database is read. Code::invalid_argument names the
  // field; Code::not_found also for tenants that the actor does not reach; Code::corrupt for rows
  // that were altered or moved.
  Result<FoundContents> read(const identity::Actor& actor, const ContentQuery& query);

  // Deletes what is due at `now_ms` and not held; how many. On record where there are any. Rows
  // that were altered stay, and are logged: their time is not certain.
  Result<std::size_t> expire(UnixMillis now_ms);

 private:
  [[nodiscard]] std::string row_mac(const store::CallContentRow& row) const;
  [[nodiscard]] bool may_be_erased(const store::CallContentRow& row, std::size_t& altered) const;
  Result<std::vector<std::string>> due(UnixMillis now_ms);
  Result<KeptContent> open(const store::CallContentRow& row);
  Result<FoundContents> find(const identity::Actor& actor, const ContentQuery& query);

  store::OversightTable table_;
  identity::AppendAudit append_;
  crypto::FieldCipher& cipher_;
  const LegalHolds& holds_;
  identity::RowSeal rows_;
  const Clock& clock_;
};

}  // namespace deepmoat::oversight
