// Checks a whole audit log from its bytes alone: shares its format (docs/formats/audit.md) with the
// server that wrote it, and nothing else. Takes no lock, so it also runs beside a serving gateway.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "verifier/note.h"
#include "verifier/result.h"
#include "verifier/tiles.h"

namespace deepmoat::verifier {

// A checkpoint that the caller has from elsewhere: a second place, or an earlier date. That the
// log has its root at its size shows that the log has only grown since.
struct GivenCheckpoint {
  std::string name;  // for the report
  std::string note;
};

struct LogOptions {
  std::vector<VerifierKey> keys;  // none: signatures are not checked
  std::vector<GivenCheckpoint> checkpoints;
  bool tiles = false;
  bool sm3 = false;         // also when there is neither `tile-sm3` nor an SM3 root in a checkpoint
  bool one_thread = false;  // instead of one for the chain and one for each tree
  // Told after each segment: bytes done and bytes in all, about.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

// The first thing that is wrong.
struct FirstBad {
  std::string segment;         // file name; empty when the folder itself is wrong
  std::uint64_t sequence = 0;  // of the record that should stand there
  std::uint64_t offset = 0;    // bytes from the start of the file
  std::string why;
};

// What an interrupted last commit left behind the last whole record; the next start of the server
// cuts it off. Nobody was answered on it, if nobody altered the end of the log: only a checkpoint
// kept elsewhere can tell these two apart.
struct TornTail {
  std::string segment;
  std::uint64_t offset = 0;
  std::uint64_t whole_records = 0;  // whole records of that commit, behind the tear
  std::string why;
};

enum class CheckpointPlace : std::uint8_t {
  newest,   // the log's own `checkpoint`
  earlier,  // in the log's `checkpoints`
  given,    // by the caller
};

enum class SignatureState : std::uint8_t {
  not_checked,  // the caller gave no key
  good,         // a key of each kind that the caller gave has signed it
  unknown_key,  // none of them has; bad in the log's newest checkpoint and in a given one
  forged,       // a signature is not that of the key that it names: bad
};

enum class RootState : std::uint8_t {
  equal,
  different,    // bad: a record up to there is another one, or an SM3 root is
  log_shorter,  // bad: records are gone
  not_reached,  // the log is bad before there
};

struct CheckpointReport {
  std::string name;
  CheckpointPlace place = CheckpointPlace::newest;
  std::string malformed;  // what is wrong with the file itself; the rest is then not set
  std::uint64_t size = 0;
  SignatureState signature = SignatureState::not_checked;
  RootState root = RootState::not_reached;
  bool sm3_compared = false;

  // Whether another root than the log's says that records were altered. Of a checkpoint that is
  // malformed, forged or of unknown keys it may be the checkpoint that was.
  [[nodiscard]] bool testifies() const;
  [[nodiscard]] bool bad() const;
};

struct LogReport {
  std::uint64_t segments = 0;  // with records; a blank spare does not count
  std::uint64_t records = 0;   // good ones, from the first on
  std::uint64_t stubs = 0;     // of these: records whose body was deleted by retention
  std::int64_t first_unix_ms = 0;
  std::int64_t last_unix_ms = 0;
  std::string last_hash_hex;  // of the last good record; zeros when there is none
  std::optional<TornTail> torn_tail;
  std::optional<FirstBad> bad;

  // Calls that were running when the server died, or are running now: intents without a result.
  // Also those whose result's body was deleted and whose own was not.
  std::uint64_t unfinished = 0;
  std::vector<std::uint64_t> unfinished_first;  // the first 20 of them, by sequence

  std::uint64_t tree_size = 0;    // the good records
  std::string root;               // base64, as in a checkpoint
  std::string sm3_root;           // base64; empty when there is none or it cannot be computed
  std::uint64_t sm3_lost_at = 0;  // the record whose stub has no SM3 leaf hash; 0: none
  bool keys_given = false;
  std::vector<CheckpointReport> checkpoints;
  std::optional<TileReport> tiles;      // when asked for
  std::optional<TileReport> sm3_tiles;  // when asked for and `tile-sm3` is there

  // Nothing of the above is bad; the tiles count when they were asked for. Keys were given and the
  // log has records, but no newest checkpoint: not intact, since nothing shows whose log it is.
  [[nodiscard]] bool intact() const;
};

// Reads everything once and stops at the first bad record. An alteration is a report that is not
// intact; an error is only that the log could not be read: Fault::not_there without the folder,
// Fault::unreadable. A folder without a segment counts as a log without records: ask require_log()
// (verifier/log_folder.h) first. Any thread; needs the memory of one segment, 500 bytes a
// checkpoint and a bit for each of the records around an intent without a result.
[[nodiscard]] Result<LogReport> verify_log(const std::filesystem::path& folder,
                                           const LogOptions& options = {});

// The report for a person: a few lines, the last of which sums it up. No line end at the end.
[[nodiscard]] std::string describe(const LogReport& report);

}  // namespace deepmoat::verifier
