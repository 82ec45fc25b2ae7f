// Any thread.
#include "verifier/receipt.h"

#include "verifier/proved_record.h"

namespace deepmoat::verifier {

namespace {

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
  }
  return nullptr;
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
  std::string text(what);
  if (!report.intact()) {
    text += " NOT intact: ";
    return text + (report.line == 0 ? "" : "line " + std::to_string(report.line) + ": ") +
           report.why;
  }
  text += " intact: " + std::to_string(report.records) + " records";
  if (report.records > 0) {
    text += ", " + std::to_string(report.first_sequence) + " to " +
            std::to_string(report.last_sequence);
  }
  if (report.deleted > 0) {
    text += " (the text of " + std::to_string(report.deleted) + " was deleted by retention)";
  }
  text += ", proved in the tree of " + std::to_string(report.tree_size) + " records of " +
          report.origin + ", signed with Ed25519" + (report.sm2_checked ? " and SM2" : "");
  if (what == "export") {
    text += report.whole ? "; no record between the first and the last is left out"
                         : "; filtered: records between them may be left out";
  }
  return text;
}

}  // namespace deepmoat::verifier
