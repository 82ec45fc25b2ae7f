// The export: records page by page from the index, their bytes from the log, their proofs from the
// tree.
#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "audit/record_json.h"
#include "base/hex.h"
#include "crypto/base64.h"
#include "crypto/digest.h"
#include "review/evidence.h"
#include "review/index_session.h"

namespace deepmoat::review {

namespace {

using transparency::Digest;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kPageRows = 64;

// A verifier takes an export for whole when its header names no other filter than these times.
bool asks_for_time_alone(Filter filter) {
  filter.since_ms.reset();
  filter.until_ms.reset();
  const auto texts = filter_texts(filter);
  return filter.phase == PhaseFilter::all && texts.size() == 1;  // the phase
}

}  // namespace

Export::Export(Parts parts, Filter filter)
    : parts_(std::move(parts)),
      wanted_(std::move(filter)),
      prover_(parts_.tree),
      leaves_(parts_.log_folder) {}

bool Export::in_time(UnixMillis unix_ms) const {
  return unix_ms >= wanted_.since_ms.value_or(std::numeric_limits<UnixMillis>::min()) &&
         unix_ms < wanted_.until_ms.value_or(std::numeric_limits<UnixMillis>::max());
}

// From the first record of the time to its last one: pages follow sequences, not times.
Result<> Export::find_span() {
  TRY(const IndexState state, parts_.index->state());
  const std::uint64_t size = parts_.tree.checkpoint.size;
  if (!state.complete || state.last_sequence < size) {
    return fail(Code::unavailable,
                fmt::format("the audit index has come to record {} and the checkpoint to {}; try "
                            "again",
                            state.last_sequence, size));
  }
  return parts_.index->session().guarded([&]() -> Result<> {
    soci::session& sql = parts_.index->session().sql();
    const ReadTransaction one_state(sql);
    const long long from = wanted_.since_ms.value_or(std::numeric_limits<UnixMillis>::min());
    const long long until = wanted_.until_ms.value_or(std::numeric_limits<UnixMillis>::max());
    const auto end = static_cast<long long>(size);
    long long first = 0;
    long long last = 0;
    long long rows = 0;
    if (!wanted_.since_ms && !wanted_.until_ms) {
      first = std::min<long long>(1, end);
      last = end;
    } else {
      sql << "SELECT coalesce(min(sequence), 0), coalesce(max(sequence), 0) FROM records "
             "WHERE unix_ms >= :from AND unix_ms < :until AND sequence <= :end",
          soci::use(from), soci::use(until), soci::use(end), soci::into(first), soci::into(last);
    }
    sql << "SELECT count(*) FROM records WHERE sequence BETWEEN :first AND :last", soci::use(first),
        soci::use(last), soci::into(rows);
    after_ = first == 0 ? 0 : static_cast<std::uint64_t>(first) - 1;
    last_ = static_cast<std::uint64_t>(last);
    const bool gap = last > 0 && rows != last - first + 1;
    whole_ = asks_for_time_alone(wanted_) && !gap;
    thinned_ = gap;
    return {};
  });
}

Result<std::unique_ptr<Export>> Export::begin(Parts parts, Filter filter) {
  CHECK_OK(check_filter(filter));  // before the first byte is sent
  std::unique_ptr<Export> made(new Export(std::move(parts), std::move(filter)));
  CHECK_OK(made->find_span());
  return made;
}

std::string Export::header() const {
  Json filters = Json::object();
  for (auto& [name, text] : filter_texts(wanted_)) {
    if (name != "phase" || wanted_.phase != PhaseFilter::all) {
      filters[name] = text;
    }
  }
  if (thinned_) {
    filters["text"] =
        "records that the index lacks, as those whose text retention deleted, are left out";
  }
  const Json line = {{"object", "audit.export"},
                     {"version", 1},
                     {"origin", parts_.tree.checkpoint.origin},
                     {"made_ms", parts_.made_ms},
                     {"filters", std::move(filters)},
                     {"checkpoint", parts_.tree.note}};
  return line.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

Result<std::string> Export::record_line(const IndexRow& row) {
  const std::uint64_t sequence = row.entry.sequence;
  const auto leaf = leaves_.read(sequence, row.segment, row.frame_offset);
  if (!leaf && leaf.error().code == Code::not_found && thinned_) {
    return std::string();  // deleted a moment ago
  }
  if (!leaf) {
    return std::unexpected(leaf.error());
  }
  TRY(const std::vector<Digest> proof, prover_.prove(sequence, *leaf));
  std::string line =
      fmt::format(R"({{"sequence":{},"leaf":"{}","proof":[)", sequence, crypto::to_base64(*leaf));
  for (std::size_t i = 0; i < proof.size(); ++i) {
    line += i == 0 ? "\"" : ",\"";
    line += crypto::to_base64(crypto::view(proof[i]));
    line += '"';
  }
  ++records_;
  return line + "]}\n";
}

Result<std::string> Export::last_line() {
  const std::string sha256 = to_hex(crypto::view(hash_.finish()));
  TRY(const std::string signature,
      parts_.signer.sign_plain(fmt::format("deepmoat-audit-export-v1\n{}\n{}\n{}\n",
                                           parts_.tree.checkpoint.origin, sha256, records_)));
  const Json line = {{"records", records_}, {"sha256", sha256}, {"signature", signature}};
  return line.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

Result<bool> Export::next(std::string& bytes) {
  std::string piece;
  if (!std::exchange(begun_, true)) {
    piece = header();
  }
  Filter page = wanted_;
  page.since_ms.reset();
  page.until_ms.reset();
  page.newest_first = false;
  page.limit = kPageRows;
  page.after_sequence = after_;
  page.last_sequence = last_;
  std::vector<IndexRow> rows;
  TRY(const std::uint64_t count,
      query_rows(*parts_.index, page, [&](const IndexRow& row) { rows.push_back(row); }));
  for (const IndexRow& row : rows) {
    if (whole_ && row.entry.sequence != after_ + 1) {
      return fail(Code::unavailable, "retention deletes records that were to be exported");
    }
    after_ = row.entry.sequence;
    if (whole_ || in_time(row.entry.record.unix_ms)) {
      TRY(const std::string line, record_line(row));
      piece += line;
    }
  }
  hash_.update(piece);
  bytes += piece;
  if (count == kPageRows && after_ < last_) {
    return true;
  }
  if (whole_ && after_ < last_) {
    return fail(Code::unavailable, "retention deletes records that were to be exported");
  }
  TRY(const std::string last, last_line());
  bytes += last;
  return false;
}

Result<std::uint64_t> write_export(Export::Parts parts, Filter filter, const OnBytes& on_bytes) {
  TRY(const std::unique_ptr<Export> made, Export::begin(std::move(parts), std::move(filter)));
  for (bool more = true; more;) {
    std::string bytes;
    TRY(more, made->next(bytes));
    CHECK_OK(on_bytes(bytes));
  }
  return made->records();
}

}  // namespace deepmoat::review
