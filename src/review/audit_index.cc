// The index follows the log: batches are read and decoded without a lock, then added in one
// transaction if nobody else has added them meanwhile.
#include "review/audit_index.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "audit/segment.h"
#include "audit/tail.h"
#include "base/log.h"
#include "review/index_row.h"
#include "review/index_session.h"

namespace deepmoat::review {

namespace {

// Statements that add rows, prepared once.
class RowWriter {
 public:
  explicit RowWriter(soci::session& session) : insert_(session), close_intent_(session) {
    bound_.bind_all(insert_, kUse);
    insert_.alloc();
    insert_.prepare(
        fmt::format("INSERT INTO records ({}) VALUES ({})", column_names(), column_parameters()));
    insert_.define_and_bind();
    close_intent_.exchange(soci::use(result_sequence_));
    close_intent_.exchange(soci::use(intent_sequence_));
    close_intent_.alloc();
    // The first result counts: a later one would be no result of ours, and shows as a row.
    close_intent_.prepare(
        "UPDATE records SET result_sequence = :result "
        "WHERE sequence = :intent AND phase = 'intent' AND result_sequence = 0");
    close_intent_.define_and_bind();
  }

  void add(IndexRow row) {
    bound_.row = std::move(row);
    bound_.write();
    insert_.execute(true);
    const audit::Entry& entry = bound_.row.entry;
    if (entry.record.phase == audit::Phase::result && entry.record.intent_sequence != 0) {
      result_sequence_ = static_cast<long long>(entry.sequence);
      intent_sequence_ = static_cast<long long>(entry.record.intent_sequence);
      close_intent_.execute(true);
    }
  }

 private:
  BoundIndexRow bound_;
  long long result_sequence_ = 0;
  long long intent_sequence_ = 0;
  soci::statement insert_;
  soci::statement close_intent_;
};

// Says how many records were read, those without text too, which give no row. `batch` is used again
// and again: to allocate it costs more than to fill it.
Result<std::uint64_t> read_batch(audit::TailReader& reader, const std::atomic<bool>* stop,
                                 std::vector<IndexRow>& batch) {
  batch.clear();
  const std::uint64_t last = reader.place().chain.next_sequence + kIndexBatch - 1;
  return reader.search(
      {.containing = "", .last_sequence = last, .stop = stop}, [&](const audit::Entry& entry) {
        const audit::TailPlace place = reader.place();
        batch.push_back({.entry = entry, .segment = place.segment, .frame_offset = place.offset});
      });
}

// False, and nothing is added, when the index does not stand at `before` any more.
Result<bool> add_batch(IndexSession& session, RowWriter& writer, std::vector<IndexRow>& batch,
                       const audit::TailPlace& before, const audit::TailPlace& after) {
  return session.guarded([&]() -> Result<bool> {
    WriteTransaction transaction(session.sql());
    if (session.progress().place != before) {
      return false;
    }
    for (IndexRow& row : batch) {
      writer.add(std::move(row));
    }
    session.set_place(after);
    transaction.commit();
    return true;
  });
}

// The end of the log was reached at `end`. False when the index does not stand there any more.
Result<bool> complete(IndexSession& session, const audit::TailPlace& end) {
  return session.guarded([&]() -> Result<bool> {
    if (session.progress().complete) {
      return true;
    }
    WriteTransaction transaction(session.sql());
    if (session.progress().place.chain != end.chain) {
      return false;
    }
    session.create_indexes();
    transaction.commit();
    return true;
  });
}

bool is_set(const std::atomic<bool>* stop) {
  return stop != nullptr && stop->load(std::memory_order_relaxed);
}

// From where the index stands to the log's end. False: another process moved it on meanwhile.
Result<bool> follow_log(IndexSession& session, audit::TailReader& reader,
                        const std::atomic<bool>* stop, const IndexProgress& progress,
                        std::uint64_t& added) {
  std::optional<RowWriter> writer;
  std::vector<IndexRow> batch;
  for (;;) {
    const audit::TailPlace before = reader.place();
    TRY(const std::uint64_t count, read_batch(reader, stop, batch));
    if (count > 0) {
      CHECK_OK(session.guarded([&]() -> Result<> {
        if (!writer) {
          writer.emplace(session.sql());
        }
        return {};
      }));
      const std::size_t batch_rows = batch.size();
      TRY(const bool ours, add_batch(session, *writer, batch, before, reader.place()));
      if (!ours) {
        return false;
      }
      added += batch_rows;
      if (progress) {
        progress(added);
      }
    }
    if (is_set(stop)) {
      return true;
    }
    if (count < kIndexBatch) {
      return complete(session, reader.place());
    }
  }
}

// Unless another process has done it meanwhile.
Result<> begin_anew(IndexSession& session, const audit::TailPlace& from) {
  return session.guarded([&]() -> Result<> {
    WriteTransaction transaction(session.sql());
    if (session.progress().place == from) {
      log::warn(
          "the audit index is made again from the log, which does not continue what was "
          "indexed: it was rolled back, or is another one",
          {{"file", session.path().string()}, {"last_sequence", from.chain.next_sequence - 1}});
      session.drop_and_create();
    }
    transaction.commit();
    return {};
  });
}

}  // namespace

AuditIndex::AuditIndex(std::unique_ptr<IndexSession> session) : session_(std::move(session)) {}
AuditIndex::~AuditIndex() = default;

Result<std::unique_ptr<AuditIndex>> AuditIndex::open(const std::filesystem::path& path) {
  TRY(std::unique_ptr<IndexSession> session, IndexSession::open(path));
  return std::unique_ptr<AuditIndex>(new AuditIndex(std::move(session)));
}

Result<std::uint64_t> AuditIndex::catch_up(const std::filesystem::path& log_folder,
                                           const std::atomic<bool>* stop,
                                           const IndexProgress& progress) {
  // A folder that is gone says nothing about the log; an index is not thrown away for it.
  TRY([[maybe_unused]] const std::uint64_t segments, audit::count_segments(log_folder));
  CHECK_OK(session_->follow_the_file());
  std::uint64_t added = 0;
  for (;;) {
    TRY(const Progress at,
        session_->guarded([&]() -> Result<Progress> { return session_->progress(); }));
    audit::TailReader reader(log_folder);
    TRY(const bool continues, reader.resume(at.place));
    if (!continues) {
      CHECK_OK(begin_anew(*session_, at.place));
      continue;
    }
    TRY(const bool done, follow_log(*session_, reader, stop, progress, added));
    if (done) {
      return added;
    }
  }
}

Result<> AuditIndex::rebuild() {
  return session_->guarded([&]() -> Result<> {
    WriteTransaction transaction(session_->sql());
    session_->drop_and_create();
    transaction.commit();
    return {};
  });
}

Result<std::uint64_t> AuditIndex::forget(const std::vector<std::uint64_t>& sequences) {
  return session_->guarded([&]() -> Result<std::uint64_t> {
    std::uint64_t deleted = 0;
    long long sequence = 0;
    WriteTransaction transaction(session_->sql());
    soci::statement statement(session_->sql());
    statement.exchange(soci::use(sequence));
    statement.alloc();
    statement.prepare("DELETE FROM records WHERE sequence = :sequence");
    statement.define_and_bind();
    for (const std::uint64_t one : sequences) {
      sequence = static_cast<long long>(one);
      statement.execute(true);
      deleted += static_cast<std::uint64_t>(statement.get_affected_rows());
    }
    transaction.commit();
    session_->empty_the_write_ahead_log();
    return deleted;
  });
}

Result<std::vector<RequestRecord>> AuditIndex::find_request(std::string_view request_id) {
  return session_->guarded([&]() -> Result<std::vector<RequestRecord>> {
    const std::string wanted(request_id);
    long long sequence = 0;
    long long segment = 0;
    long long offset = 0;
    RequestRecord record;
    soci::statement statement =
        (session_->sql().prepare << "SELECT sequence, segment, frame_offset FROM records "
                                    "WHERE request_id = :wanted ORDER BY sequence",
         soci::use(wanted), soci::into(sequence), soci::into(segment), soci::into(offset));
    statement.execute();
    std::vector<RequestRecord> records;
    while (statement.fetch()) {
      record.sequence = static_cast<std::uint64_t>(sequence);
      record.segment = static_cast<std::uint64_t>(segment);
      record.frame_offset = static_cast<std::uint64_t>(offset);
      records.push_back(record);
    }
    return records;
  });
}

Result<IndexState> AuditIndex::state() {
  return session_->guarded([&]() -> Result<IndexState> {
    const Progress progress = session_->progress();
    return IndexState{.last_sequence = progress.place.chain.next_sequence - 1,
                      .complete = progress.complete};
  });
}

Result<> require_complete(AuditIndex& index) {
  TRY(const IndexState state, index.state());
  if (!state.complete) {
    return fail(Code::unavailable,
                fmt::format("the audit index is being made and has come to record {}; try again "
                            "when it is complete",
                            state.last_sequence));
  }
  return {};
}

}  // namespace deepmoat::review
