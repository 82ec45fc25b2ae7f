// What a report says to a person. Pure, any thread.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string>

#include "verifier/log.h"

namespace deepmoat::verifier {

namespace {

using std::to_string;

// "2025-01-31T12:00:00.000Z"; years outside 1970 to 9999 as the bare number of milliseconds.
std::string format_time(std::int64_t unix_ms) {
  constexpr std::int64_t kYear10000 = 253'402'300'800'000;
  if (unix_ms < 0 || unix_ms >= kYear10000) {
    return to_string(unix_ms);
  }
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[80];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                static_cast<int>(unix_ms % 1000));
  return text;
}

std::string describe_unfinished(const LogReport& report) {
  std::string text =
      to_string(report.unfinished) + " calls have no result yet (running now, or cut by a crash): ";
  for (std::size_t i = 0; i < report.unfinished_first.size(); ++i) {
    text += (i == 0 ? "" : ", ") + to_string(report.unfinished_first[i]);
  }
  return text + (report.unfinished > report.unfinished_first.size() ? ", ..." : "") + "\n";
}

std::string describe_torn(const TornTail& torn) {
  std::string text =
      torn.segment + ": torn tail at offset " + to_string(torn.offset) + ": " + torn.why;
  if (torn.whole_records > 0) {
    text += "; " + to_string(torn.whole_records) + " whole records of the same commit behind it";
  }
  return text + "; the next start cuts it off\n";
}

std::string describe_root(const CheckpointReport& checkpoint) {
  switch (checkpoint.root) {
    case RootState::equal:
      return checkpoint.sm3_compared ? "its roots are those of the log"
                                     : "its root is that of the log";
    case RootState::different:
      return "ITS ROOT IS NOT THAT OF THE LOG";
    case RootState::log_shorter:
      return "THE LOG IS SHORTER";
    case RootState::not_reached:
      return "not compared: the log is bad before there";
  }
  return "";
}

std::string_view describe_signature(SignatureState state) {
  switch (state) {
    case SignatureState::not_checked:
      return "signature not checked";
    case SignatureState::good:
      return "signature good";
    case SignatureState::unknown_key:
      return "not signed by the keys that were given";
    case SignatureState::forged:
      return "ITS SIGNATURE IS FALSE";
  }
  return "";
}

std::string describe_checkpoint(const CheckpointReport& checkpoint) {
  std::string text = checkpoint.name + ": ";
  if (!checkpoint.malformed.empty()) {
    return text + checkpoint.malformed + "\n";
  }
  return text.append(to_string(checkpoint.size))
      .append(" records, ")
      .append(describe_root(checkpoint))
      .append(", ")
      .append(describe_signature(checkpoint.signature))
      .append("\n");
}

// Each that is bad, the newest and those given; the earlier ones of the log as a number.
std::string describe_checkpoints(const LogReport& report) {
  std::string text;
  std::uint64_t earlier = 0;
  std::uint64_t unknown = 0;
  bool newest = false;
  for (const CheckpointReport& checkpoint : report.checkpoints) {
    newest = newest || checkpoint.place == CheckpointPlace::newest;
    if (checkpoint.place == CheckpointPlace::earlier && !checkpoint.bad()) {
      ++earlier;
      unknown += checkpoint.signature == SignatureState::unknown_key ? 1 : 0;
    } else {
      text += describe_checkpoint(checkpoint);
    }
  }
  if (earlier > 0) {
    text +=
        "checkpoints: " + to_string(earlier) + " earlier ones, none contradicts the log" +
        (unknown > 0 ? ", " + to_string(unknown) + " not signed by the keys that were given" : "") +
        "\n";
  }
  if (!newest) {
    text += "checkpoint: there is none in the log\n";
  }
  if (!report.keys_given) {
    text += "signatures not checked: no key was given\n";
  }
  return text;
}

std::string describe_tiles(std::string_view name, const TileReport& tiles) {
  std::string text = std::string(name) + ": " + to_string(tiles.equal) + " equal";
  if (!tiles.good()) {
    text += ", " + to_string(tiles.different) + " different, " + to_string(tiles.missing) +
            " missing, the first " + tiles.first_bad;
  }
  return text + "\n";
}

std::string describe_trees(const LogReport& report) {
  std::string text = "root of " + to_string(report.tree_size) + " records: " + report.root + "\n";
  if (!report.sm3_root.empty()) {
    text += "SM3 root of " + to_string(report.tree_size) + " records: " + report.sm3_root + "\n";
  }
  if (report.sm3_lost_at != 0) {
    text += "SM3 roots not checked from record " + to_string(report.sm3_lost_at) +
            " on: its body was deleted without leaving its SM3 hash\n";
  }
  if (report.tiles) {
    text += describe_tiles("tile", *report.tiles);
  }
  if (report.sm3_tiles) {
    text += describe_tiles("tile-sm3", *report.sm3_tiles);
  }
  return text;
}

// Why a log whose chain is good is not intact.
std::string describe_contradiction(const LogReport& report) {
  std::uint64_t agreed = 0;
  const CheckpointReport* first = nullptr;
  for (const CheckpointReport& checkpoint : report.checkpoints) {
    if (checkpoint.root == RootState::equal) {
      agreed = std::max(agreed, checkpoint.size);
    }
    if (checkpoint.bad() && (first == nullptr || checkpoint.size < first->size)) {
      first = &checkpoint;
    }
  }
  if (first == nullptr) {
    return report.tiles && !report.tiles->good() ? "tiles are not those of its records"
           : report.sm3_tiles && !report.sm3_tiles->good()
               ? "SM3 tiles are not those of its records"
               : "a key was given, and no checkpoint is there that it signed";
  }
  std::string text = first->name + " contradicts it";
  if (first->root == RootState::different) {
    text += agreed > 0 && agreed < first->size
                ? ": among the records " + to_string(agreed + 1) + " to " + to_string(first->size) +
                      " one is not as it was signed"
                : ": a record up to " + to_string(first->size) + " is not as it was signed";
  } else if (first->root == RootState::log_shorter) {
    text += ": the records " + to_string(report.records + 1) + " to " + to_string(first->size) +
            " are gone";
  } else {
    text = first->name + " is not what it should be";
  }
  return text;
}

}  // namespace

bool LogReport::intact() const {
  const bool has_newest = std::ranges::any_of(checkpoints, [](const CheckpointReport& one) {
    return one.place == CheckpointPlace::newest;
  });
  return !bad && std::ranges::none_of(checkpoints, &CheckpointReport::bad) &&
         (!tiles || tiles->good()) && (!sm3_tiles || sm3_tiles->good()) &&
         (!keys_given || records == 0 || has_newest);
}

std::string describe(const LogReport& report) {
  std::string text;
  if (report.unfinished > 0) {
    text += describe_unfinished(report);
  }
  if (report.stubs > 0) {
    text += to_string(report.stubs) +
            " records have no body any more; their hashes are checked, their times are not proved" +
            (report.unfinished > 0 ? "; a call counts as without a result when that is among them"
                                   : "") +
            "\n";
  }
  if (report.torn_tail) {
    text += describe_torn(*report.torn_tail);
  }
  text += describe_trees(report) + describe_checkpoints(report);
  if (report.bad) {
    const FirstBad& bad = *report.bad;
    text += to_string(report.records) + " records before it are good\naudit log NOT intact: ";
    return text +
           (bad.segment.empty() ? ""
                                : bad.segment + ", record " + to_string(bad.sequence) +
                                      ", offset " + to_string(bad.offset) + ": ") +
           bad.why;
  }
  if (!report.intact()) {
    return text + "audit log NOT intact: " + describe_contradiction(report);
  }
  if (report.records == 0) {
    return text + "audit log intact: no records yet";
  }
  return text + "audit log intact: " + to_string(report.segments) + " segments, " +
         to_string(report.records) + " records, " + format_time(report.first_unix_ms) + " to " +
         format_time(report.last_unix_ms) + ", last hash " + report.last_hash_hex;
}

}  // namespace deepmoat::verifier
