#include "review/index_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "review/index_row.h"
#include "review/index_session.h"

namespace deepmoat::review {

namespace {

// Where a record's frame is changes when its segment is written anew, and LeafReader looks whether
// it is there.
bool is_a_hint(std::string_view column) {
  return column == "segment" || column == "frame_offset";
}

// "(a.sequence, ...)". A result that came behind `upto` is none yet.
std::string row_of(std::string_view table) {
  std::string columns;
  IndexRow row;
  each_column(row, [&](std::string_view name, const auto&) {
    if (is_a_hint(name)) {
      return;
    }
    const std::string column = fmt::format("{}.{}", table, name);
    columns += columns.empty() ? "" : ", ";
    columns += name == "result_sequence"
                   ? fmt::format("CASE WHEN {0} > :upto THEN 0 ELSE {0} END", column)
                   : column;
  });
  return "(" + columns + ")";
}

class Attached {
 public:
  Attached(soci::session& sql, const std::string& path) : sql_(sql) {
    sql_ << "ATTACH DATABASE :path AS fresh", soci::use(path);
  }
  ~Attached() {
    try {
      sql_ << "DETACH DATABASE fresh";
    } catch (const soci::soci_error&) {  // it goes with the session
    }
  }
  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;

 private:
  soci::session& sql_;
};

void add(soci::session& sql, const std::string& statement, long long upto,
         IndexDifference& difference) {
  long long records = 0;
  long long first = 0;
  soci::statement prepared =
      (sql.prepare << statement, soci::use(upto, "upto"), soci::into(records), soci::into(first));
  prepared.execute(true);
  if (records > 0) {
    const auto sequence = static_cast<std::uint64_t>(first);
    difference.first_sequence =
        difference.records == 0 ? sequence : std::min(difference.first_sequence, sequence);
    difference.records += static_cast<std::uint64_t>(records);
  }
}

bool has_another_form(soci::session& sql) {
  long long different = 0;
  sql << "SELECT count(*) FROM ("
         "SELECT * FROM (SELECT type, name, tbl_name, sql FROM main.sqlite_master EXCEPT "
         "               SELECT type, name, tbl_name, sql FROM fresh.sqlite_master) UNION ALL "
         "SELECT * FROM (SELECT type, name, tbl_name, sql FROM fresh.sqlite_master EXCEPT "
         "               SELECT type, name, tbl_name, sql FROM main.sqlite_master))",
      soci::into(different);
  return different > 0;
}

}  // namespace

Result<IndexDifference> compare_index(AuditIndex& index, AuditIndex& fresh) {
  TRY(const IndexState end, fresh.state());
  const auto upto = static_cast<long long>(end.last_sequence);
  IndexSession& session = index.session();
  return session.guarded([&]() -> Result<IndexDifference> {
    const Attached attached(session.sql(), fresh.session().path().string());
    IndexDifference difference{.form = has_another_form(session.sql())};
    if (difference.form) {
      return difference;  // its columns may be other ones
    }
    add(session.sql(),
        fmt::format("SELECT count(*), coalesce(min(a.sequence), 0) FROM main.records a "
                    "LEFT JOIN fresh.records b ON b.sequence = a.sequence "
                    "WHERE a.sequence <= :upto AND (b.sequence IS NULL OR {} IS NOT {})",
                    row_of("a"), row_of("b")),
        upto, difference);
    add(session.sql(),
        "SELECT count(*), coalesce(min(b.sequence), 0) FROM fresh.records b "
        "LEFT JOIN main.records a ON a.sequence = b.sequence "
        "WHERE b.sequence <= :upto AND a.sequence IS NULL",
        upto, difference);
    return difference;
  });
}

}  // namespace deepmoat::review
