#include "oversight/content_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/hex.h"
#include "base/log.h"
#include "crypto/base64.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "identity/key_attributes.h"
#include "oversight/setting.h"

namespace deepmoat::oversight {

namespace {

using audit::Operation;
using identity::Actor;
using identity::AuditedAction;
using store::CallContentRow;

constexpr std::string_view kRowPurpose = "deepmoat kept content row 1";
constexpr std::size_t kShownBytesMax = 16ULL * 1024 * 1024;  // of sealed texts, in one answer
constexpr std::string_view kDigestPurpose = "deepmoat kept content 1";
constexpr std::string_view kIdPrefix = "cnt_";
constexpr std::size_t kRequestIdBytesMax = 128;
constexpr std::size_t kDigestDigits = 64;
constexpr std::int64_t kInputCut = 1;
constexpr std::int64_t kOutputCut = 2;
constexpr std::int64_t kDueAtOnce = 500;
constexpr std::size_t kErasedAtOnce = 500;
constexpr std::size_t kErasedMax = 50'000;  // of one round: the database's thread has other work

crypto::FieldPlace place_of(const CallContentRow& row, std::string_view column) {
  return {.tenant = row.tenant,
          .table = "call_contents",
          .column = column,
          .row = row.content_id,
          .version = 1};  // it never changes
}

std::string digest_of(std::string_view sealed_input, std::string_view sealed_output) {
  const auto length = [](std::string_view text) {
    std::string bytes;
    crypto::put_number(bytes, static_cast<std::uint32_t>(text.size()));
    return bytes;
  };
  return to_hex(
      crypto::view(crypto::sha256({length(kDigestPurpose), kDigestPurpose, length(sealed_input),
                                   sealed_input, length(sealed_output), sealed_output})));
}

// The program itself, where nobody asked.
Actor expiry_actor() {
  Actor actor;
  actor.operator_id = "content_expiry";
  actor.authentication = "none";
  return actor;
}

std::unexpected<Error> altered() {
  return fail(Code::corrupt,
              "the kept content of this request was altered or moved outside this program");
}

Result<> check(const ContentQuery& query) {
  CHECK_OK(identity::check_text("request_id", query.request_id, kRequestIdBytesMax));
  CHECK_OK(identity::check_text("content", query.digest, kDigestDigits));
  return check_reason(query.reason);
}

}  // namespace

std::string_view cut_at_character(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) {
    return text;
  }
  constexpr std::size_t kLongestCharacter = 4;
  std::size_t end = bytes_max;
  const auto continues = [&](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80U;
  };
  while (end > 0 && bytes_max - end < kLongestCharacter && continues(end)) {
    --end;
  }
  return text.substr(0, end);
}

ContentStore::ContentStore(store::Database& database, identity::AppendAudit append,
                           crypto::FieldCipher& cipher, const LegalHolds& holds,
                           const crypto::RootSecrets& secrets, const Clock& clock)
    : table_(database),
      append_(std::move(append)),
      cipher_(cipher),
      holds_(holds),
      rows_(secrets, kRowPurpose),
      clock_(clock) {}

std::string ContentStore::row_mac(const CallContentRow& row) const {
  return rows_.mac({row.content_id, row.tenant, row.request_id, row.key_id, row.operator_id,
                    row.model, row.data_class, row.digest},
                   {row.cut, row.called_ms, row.kept_until_ms});
}

Result<std::string> ContentStore::keep(const ContentToKeep& content) {
  const std::string_view input = cut_at_character(content.input, kContentBytesMax);
  const std::string_view output = cut_at_character(content.output, kContentBytesMax);
  const UnixMillis now_ms = clock_.unix_ms();
  CallContentRow row{.content_id = "",
                     .tenant = std::string(content.tenant),
                     .request_id = std::string(content.request_id),
                     .key_id = std::string(content.key_id),
                     .operator_id = std::string(content.operator_id),
                     .model = std::string(content.model),
                     .data_class = std::string(content.data_class),
                     .cut = (input.size() < content.input.size() ? kInputCut : 0) |
                            (output.size() < content.output.size() ? kOutputCut : 0),
                     .called_ms = now_ms,
                     .kept_until_ms = now_ms + content.keep_days * kDayMs,
                     .digest = "",
                     .row_mac = "",
                     .input = "",
                     .output = ""};
  TRY(row.content_id, new_setting_id(kIdPrefix));
  TRY(const std::string sealed_input, cipher_.seal(place_of(row, "input"), input));
  TRY(const std::string sealed_output, cipher_.seal(place_of(row, "output"), output));
  row.digest = digest_of(sealed_input, sealed_output);
  row.row_mac = row_mac(row);
  row.input = crypto::to_base64(sealed_input);
  row.output = crypto::to_base64(sealed_output);
  CHECK_OK(table_.insert_content(row));
  return std::move(row.digest);
}

Result<KeptContent> ContentStore::open(const CallContentRow& row) {
  const auto sealed_input = crypto::from_base64(row.input);
  const auto sealed_output = crypto::from_base64(row.output);
  if (!crypto::equal_constant_time(row.row_mac, row_mac(row)) || !sealed_input || !sealed_output ||
      digest_of(*sealed_input, *sealed_output) != row.digest) {
    return altered();
  }
  TRY(Secret input, cipher_.open(place_of(row, "input"), *sealed_input));
  TRY(Secret output, cipher_.open(place_of(row, "output"), *sealed_output));
  return KeptContent{.tenant = row.tenant,
                     .request_id = row.request_id,
                     .key_id = row.key_id,
                     .operator_id = row.operator_id,
                     .model = row.model,
                     .data_class = row.data_class,
                     .input = std::move(input),
                     .output = std::move(output),
                     .input_cut = (row.cut & kInputCut) != 0,
                     .output_cut = (row.cut & kOutputCut) != 0,
                     .kept_ms = row.called_ms,
                     .kept_until_ms = row.kept_until_ms,
                     .digest = row.digest};
}

Result<FoundContents> ContentStore::find(const Actor& actor, const ContentQuery& query) {
  CHECK_OK(check(query));
  const bool all = actor.tenant.value() == identity::kHomeTenant;
  TRY(const auto rows, table_.find_contents(query.request_id, all ? "" : actor.tenant.value(),
                                            query.digest, kContentsShownMax + 1));
  FoundContents found;
  std::size_t bytes = 0;
  for (const CallContentRow& row : rows) {
    if (!identity::reaches(actor.tenant, TenantId(row.tenant))) {
      continue;
    }
    bytes += row.input.size() + row.output.size();
    if (found.contents.size() == kContentsShownMax ||
        (bytes > kShownBytesMax && !found.contents.empty())) {
      found.more = true;
      break;
    }
    TRY(KeptContent content, open(row));
    found.contents.push_back(std::move(content));
  }
  if (found.contents.empty()) {
    return fail(Code::not_found, "no content of this request is kept");
  }
  return found;
}

Result<FoundContents> ContentStore::read(const Actor& actor, const ContentQuery& query) {
  const bool good = check(query).has_value();  // else it is no text for a record
  return identity::audited<FoundContents>(
      append_, actor,
      {Operation::read, "audit.content.read", query.request_id.substr(0, kRequestIdBytesMax),
       good ? query.reason : ""},
      [&](AuditedAction&) { return find(actor, query); });
}

bool ContentStore::may_be_erased(const CallContentRow& row, std::size_t& altered) const {
  if (!crypto::equal_constant_time(row.row_mac, row_mac(row))) {
    ++altered;
    return false;
  }
  return !holds_.held({.tenant = row.tenant,
                       .key_id = row.key_id,
                       .operator_id = row.operator_id,
                       .happened_ms = row.called_ms});
}

Result<std::vector<std::string>> ContentStore::due(UnixMillis now_ms) {
  std::vector<std::string> ids;
  if (holds_.uncertain()) {
    log::error("the legal holds are not certain, so no kept content is deleted");
    return ids;
  }
  std::size_t altered = 0;
  CallContentRow after;
  for (;;) {
    TRY(const auto rows, table_.list_due_contents(now_ms, after, kDueAtOnce));
    for (const CallContentRow& row : rows) {
      if (may_be_erased(row, altered)) {
        ids.push_back(row.content_id);
      }
    }
    if (rows.size() < static_cast<std::size_t>(kDueAtOnce) || ids.size() >= kErasedMax) {
      break;
    }
    after = rows.back();
  }
  if (altered > 0) {
    log::error("rows of kept content were altered outside this program; they are not deleted",
               {{"rows", altered}});
  }
  return ids;
}

Result<std::size_t> ContentStore::expire(UnixMillis now_ms) {
  TRY(const std::vector<std::string> ids, due(now_ms));
  if (ids.empty()) {
    return std::size_t{0};
  }
  return identity::audited<std::size_t>(
      append_, expiry_actor(),
      {Operation::erase, "audit.content.expire", "", fmt::format("count={}", ids.size())},
      [&](AuditedAction&) -> Result<std::size_t> {
        const std::span<const std::string> all(ids);
        for (std::size_t at = 0; at < all.size(); at += kErasedAtOnce) {
          CHECK_OK(
              table_.erase_contents(all.subspan(at, std::min(kErasedAtOnce, all.size() - at))));
        }
        return all.size();
      });
}

}  // namespace deepmoat::oversight
