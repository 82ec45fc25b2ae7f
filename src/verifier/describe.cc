// What a report says to a person. Pure, any thread.
#include <algorithm>
#include <string>

#include "verifier/log.h"
#include "verifier/wording.h"

namespace deepmoat::verifier {

namespace {

using std::to_string;

std::string describe_unfinished(const LogReport& report) {
  std::string text = counted(report.unfinished, "call") +
                     (report.unfinished == 1 ? " has" : " have") +
                     " no result yet (running now, or cut by a crash): ";
  for (std::size_t i = 0; i < report.unfinished_first.size(); ++i) {
    text += (i == 0 ? "" : ", ") + to_string(report.unfinished_first[i]);
  }
  return text + (report.unfinished > report.unfinished_first.size() ? ", ..." : "") + "\n";
}

std::string describe_torn(const TornTail& torn) {
  std::string text =
      torn.segment + ": torn tail at offset " + to_string(torn.offset) + ": " + torn.why;
  if (torn.whole_records > 0) {
    text += "; " + counted(torn.whole_records, "whole record") + " of the same commit behind it";
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
  if (checkpoint.signature == SignatureState::forged) {
    return text + "ITS SIGNATURE IS FALSE: it is forged or damaged itself\n";
  }
  return text.append(counted(checkpoint.size, "record"))
      .append(", ")
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
        "checkpoints: " + counted(earlier, "earlier one") +
        (earlier == 1 ? ", it does not contradict the log" : ", none contradicts the log") +
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
  std::string text = "root of " + counted(report.tree_size, "record") + ": " + report.root + "\n";
  if (!report.sm3_root.empty()) {
    text += "SM3 root of " + counted(report.tree_size, "record") + ": " + report.sm3_root + "\n";
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

// "the record 7", "the records 7 to 9"
std::string named_records(std::uint64_t first, std::uint64_t last) {
  return first == last ? "the record " + to_string(first)
                       : "the records " + to_string(first) + " to " + to_string(last);
}

// Of a checkpoint that contradicts the records, of which the first `agreed` are proved otherwise.
std::string describe_blame(const CheckpointReport& first, std::uint64_t agreed,
                           const LogReport& report) {
  std::string text = first.name + " contradicts it: ";
  if (first.root == RootState::log_shorter) {
    text += named_records(report.records + 1, first.size) +
            (report.records + 1 == first.size ? " is gone" : " are gone");
  } else if (agreed + 1 == first.size) {
    text += named_records(first.size, first.size) + " is not as it was signed";
  } else if (agreed > 0 && agreed < first.size) {
    text += "among " + named_records(agreed + 1, first.size) + " one is not as it was signed";
  } else {
    text += "a record up to " + to_string(first.size) + " is not as it was signed";
  }
  return text + (first.signature == SignatureState::not_checked
                     ? "; or the checkpoint was altered: no key was given to check it"
                     : "");
}

// Of a checkpoint that is bad itself, so that its root says nothing about the records.
std::string describe_bad_checkpoint(const CheckpointReport& checkpoint, std::uint64_t agreed) {
  std::string text = checkpoint.name;
  if (!checkpoint.malformed.empty() || checkpoint.signature == SignatureState::forged) {
    text += " is forged or damaged itself (" +
            (checkpoint.malformed.empty() ? "its signature is false" : checkpoint.malformed) +
            "), which says nothing about the records";
  } else {
    text += " is not signed by the keys that were given";
    if (checkpoint.root == RootState::different || checkpoint.root == RootState::log_shorter) {
      text += ", and either it or the records are not as they were";
    }
  }
  return text + (agreed > 0
                     ? "; another checkpoint agrees with the records up to " + to_string(agreed)
                     : "");
}

// Why a log whose chain is good is not intact.
std::string describe_contradiction(const LogReport& report) {
  std::uint64_t agreed = 0;
  const CheckpointReport* first = nullptr;
  const CheckpointReport* bad_itself = nullptr;
  for (const CheckpointReport& checkpoint : report.checkpoints) {
    if (!checkpoint.testifies()) {
      bad_itself = bad_itself == nullptr && checkpoint.bad() ? &checkpoint : bad_itself;
    } else if (checkpoint.root == RootState::equal) {
      agreed = std::max(agreed, checkpoint.size);
    } else if (checkpoint.bad() && (first == nullptr || checkpoint.size < first->size)) {
      first = &checkpoint;
    }
  }
  if (first != nullptr) {
    return describe_blame(*first, agreed, report);
  }
  if (bad_itself != nullptr) {
    return describe_bad_checkpoint(*bad_itself, agreed);
  }
  return report.tiles && !report.tiles->good() ? "tiles are not those of its records"
         : report.sm3_tiles && !report.sm3_tiles->good()
             ? "SM3 tiles are not those of its records"
             : "a key was given, and no checkpoint is there that it signed";
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
    text += counted(report.stubs, "record") +
            (report.stubs == 1
                 ? " has no body any more; its hashes are checked, its time is not proved"
                 : " have no body any more; their hashes are checked, their times are not "
                   "proved") +
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
    text += counted(report.records, "record") + " before it " +
            (report.records == 1 ? "is" : "are") + " good\naudit log NOT intact: ";
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
  return text + "audit log intact: " + counted(report.segments, "segment") + ", " +
         counted(report.records, "record") + ", " + format_time(report.first_unix_ms) + " to " +
         format_time(report.last_unix_ms) + ", last hash " + report.last_hash_hex;
}

}  // namespace deepmoat::verifier
