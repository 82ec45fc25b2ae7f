// Entries to JSON and back.
#include "catalog/entry_json.h"

#include <exception>

namespace deepmoat::catalog {

namespace {

using Json = nlohmann::ordered_json;

}  // namespace

nlohmann::ordered_json to_json(const Entry& entry) {
  Json measurements = Json::parse(entry.measurements, nullptr, false);
  if (measurements.is_discarded()) {
    measurements = Json::object();
  }
  Json json = {{"name", entry.name},
               {"version", entry.label()},
               {"number", entry.number},
               {"kind", kind_name(entry.kind)},
               {"pinned", entry.pinned},
               {"quantisation", entry.quantisation},
               {"architecture", entry.architecture},
               {"parameters", entry.parameters},
               {"task", entry.task},
               {"bytes", entry.bytes},
               {"sha256", entry.sha256},
               {"file", entry.file.string()},
               {"created_at", entry.created_ms / 1000},
               {"provenance",
                {{"source", entry.provenance.source},
                 {"source_sha256", entry.provenance.source_sha256},
                 {"imported_by", entry.provenance.imported_by},
                 {"tool", entry.provenance.tool}}},
               {"measurements", std::move(measurements)}};
  if (entry.kind == Kind::adapter) {
    json["base"] = entry.base;
  }
  return json;
}

Result<Entry> entry_from(const nlohmann::ordered_json& json) {
  try {
    const Json& provenance = json.at("provenance");
    Entry entry;
    entry.name = json.at("name").get<std::string>();
    entry.kind = json.at("kind").get<std::string>() == kind_name(Kind::adapter) ? Kind::adapter
                                                                                : Kind::model;
    entry.sha256 = json.at("sha256").get<std::string>();
    entry.bytes = json.at("bytes").get<std::uint64_t>();
    entry.quantisation = json.at("quantisation").get<std::string>();
    entry.architecture = json.at("architecture").get<std::string>();
    entry.parameters = json.at("parameters").get<std::uint64_t>();
    entry.task = json.at("task").get<std::string>();
    entry.base = json.value("base", std::string());
    entry.provenance.source = provenance.at("source").get<std::string>();
    entry.provenance.source_sha256 = provenance.at("source_sha256").get<std::string>();
    entry.provenance.tool = provenance.at("tool").get<std::string>();
    entry.measurements = json.at("measurements").dump();
    return entry;
  } catch (const std::exception& error) {
    return fail(Code::invalid_argument, std::string("the entry to add: ") + error.what());
  }
}

}  // namespace deepmoat::catalog
