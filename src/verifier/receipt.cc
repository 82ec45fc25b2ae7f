// Any thread.
#include "verifier/receipt.h"

#include <algorithm>
#include <set>

#include "verifier/proved_record.h"
#include "verifier/wording.h"

namespace deepmoat::verifier {

namespace {

ReceiptRecord shown(const ProvedRecord& record) {
  const BodyFacts& facts = record.facts;
  return {.sequence = record.sequence,
          .unix_ms = record.unix_ms,
          .intent = facts.intent,
          .intent_sequence = facts.intent_sequence,
          .operation = std::string(facts.operation),
          .outcome = std::string(facts.outcome),
          .action = std::string(facts.action),
          .status = facts.status};
}

// Returns nullptr and fills `report`, or says what is wrong.
const char* check(std::string_view text, std::span<const VerifierKey> keys, ProofReport& report) {
  const auto receipt = parse_object(text);
  if (!receipt ||
      !has_exactly(*receipt, {"object", "request_id", "checkpoint", "records"}, "key")) {
    return "not a receipt: it must have object, request_id, checkpoint, key and records, and "
           "nothing unknown";
  }
  const std::string* object = text_of(*receipt, "object");
  const std::string* request_id = text_of(*receipt, "request_id");
  const Json& records = (*receipt)["records"];
  if (object == nullptr || *object != "audit.receipt" || request_id == nullptr ||
      !records.is_array() || records.empty()) {
    return "not a receipt: its object, request_id or records are not what they should be";
  }
  Checkpoint checkpoint;
  SignatureFacts facts;
  if (const char* why = check_signed_checkpoint(*receipt, keys, checkpoint, facts);
      why != nullptr) {
    return why;
  }
  report.origin = checkpoint.origin;
  report.tree_size = checkpoint.size;
  report.sm2_checked = facts.sm2;
  const TreeHasher hasher(Algorithm::sha256);
  for (const Json& entry : records) {
    ProvedRecord record;
    if (const char* why = check_entry(entry, checkpoint, hasher, record); why != nullptr) {
      return why;
    }
    if (!entry.contains("record")) {
      return "an entry lacks its record";
    }
    const std::string* of_call = text_of(record.body, "request_id");
    if (of_call == nullptr || *of_call != *request_id) {
      return "a record is of another request";
    }
    if (record.sequence <= report.last_sequence) {
      return "its sequences do not rise";
    }
    report.first_sequence = report.records == 0 ? record.sequence : report.first_sequence;
    report.last_sequence = record.sequence;
    ++report.records;
    report.request_id = record.facts.request_id;
    report.of_call.push_back(shown(record));
  }
  return nullptr;
}

// Which intents are in a receipt, and of which there is a result.
struct Ends {
  std::set<std::uint64_t> begun;
  std::set<std::uint64_t> ended;
};

Ends ends_of(const ProofReport& report) {
  Ends ends;
  for (const ReceiptRecord& record : report.of_call) {
    if (record.intent) {
      ends.begun.insert(record.sequence);
    } else if (record.intent_sequence != 0) {
      ends.ended.insert(record.intent_sequence);
    }
  }
  return ends;
}

std::string describe_record(const ReceiptRecord& record, const Ends& ends) {
  std::string text = "record " + std::to_string(record.sequence) + ", " +
                     format_time(record.unix_ms) + ": " + (record.intent ? "intent" : "result");
  const bool names_intent = !record.intent && record.intent_sequence != 0;
  if (names_intent) {
    text += " of record " + std::to_string(record.intent_sequence);
  }
  text += ", " + record.operation + (record.action.empty() ? "" : " " + record.action) + ", " +
          record.outcome;
  if (record.status != 0) {
    text += ", status " + std::to_string(record.status);
  }
  if (record.intent && !ends.ended.contains(record.sequence)) {
    text += "; no result in it: the call had not ended, or its result was left out";
  }
  if (names_intent && !ends.begun.contains(record.intent_sequence)) {
    text += "; its intent is not in it";
  }
  return text + "\n";
}

// What the records of a receipt say.
std::string describe_call(const ProofReport& report, const Ends& ends) {
  if (report.of_call.empty()) {
    return "";
  }
  std::string text = "request " + report.request_id + "\n";
  for (const ReceiptRecord& record : report.of_call) {
    text += describe_record(record, ends);
  }
  return text;
}

std::uint64_t without_result(const Ends& ends) {
  return static_cast<std::uint64_t>(std::ranges::count_if(
      ends.begun, [&](std::uint64_t sequence) { return !ends.ended.contains(sequence); }));
}

}  // namespace

ProofReport check_receipt(std::string_view text, std::span<const VerifierKey> keys) {
  ProofReport report;
  if (const char* why = check(text, keys, report); why != nullptr) {
    report.why = why;
  }
  return report;
}

std::string describe(std::string_view what, const ProofReport& report) {
  if (!report.intact()) {
    return std::string(what) + " NOT intact: " +
           (report.line == 0 ? "" : "line " + std::to_string(report.line) + ": ") + report.why;
  }
  const Ends ends = ends_of(report);
  std::string text = describe_call(report, ends).append(what).append(" intact: ") +
                     counted(report.records, "record");
  if (report.records > 0) {
    text += ", " + std::to_string(report.first_sequence);
  }
  if (report.records > 1) {
    text += " to " + std::to_string(report.last_sequence);
  }
  if (report.deleted > 0) {
    text += " (the text of " + std::to_string(report.deleted) + " was deleted by retention)";
  }
  text += ", proved in the tree of " + counted(report.tree_size, "record") + " of " +
          printable(report.origin) + ", signed with Ed25519" +
          (report.sm2_checked ? " and SM2" : "");
  if (const std::uint64_t open = without_result(ends); open > 0) {
    text += "; " + counted(open, "intent") + " without a result in it";
  }
  if (what == "export") {
    text += report.whole ? "; no record between the first and the last is left out"
                         : "; filtered: records between them may be left out";
  }
  return text;
}

}  // namespace deepmoat::verifier
