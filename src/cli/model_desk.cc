#include "cli/model_desk.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/random.h"
#include "catalog/entry_json.h"
#include "cli/installation.h"
#include "cli/local_client.h"

namespace deepmoat::cli {

namespace {

constexpr const char* kPath = "/admin/v1/catalog";

class ServerDesk final : public ModelDesk {
 public:
  explicit ServerDesk(DataFolder folder) : folder_(std::move(folder)) {}

  Result<Json> list() override {
    TRY(Json answer, ask_server(folder_, "GET", kPath, ""));
    return answer.at("data");
  }
  Result<Json> add(const Json& entry, const std::string& incoming) override {
    Json request = entry;
    request["incoming"] = incoming;
    return ask_server(folder_, "POST", kPath, request.dump());
  }
  Result<Json> pin(const std::string& name, const std::string& version) override {
    return ask_server(folder_, "POST", fmt::format("{}/{}/pin", kPath, name),
                      Json{{"version", version}}.dump());
  }
  Result<Json> unpin(const std::string& name) override {
    return ask_server(folder_, "POST", fmt::format("{}/{}/unpin", kPath, name), "{}");
  }
  Result<Json> remove(const std::string& name, const std::string& version) override {
    return ask_server(folder_, "POST", fmt::format("{}/{}/remove", kPath, name),
                      Json{{"version", version}}.dump());
  }

 private:
  DataFolder folder_;
};

class OfflineDesk final : public ModelDesk {
 public:
  OfflineDesk(std::unique_ptr<Installation> installation, const DataFolder& folder,
              const Clock& clock)
      : installation_(std::move(installation)),
        catalog_(installation_->database(), folder.models()),
        clock_(clock) {}

  Result<Json> list() override {
    return audited<Json>("model.list", audit::Operation::read, "",
                         [&](std::string&) { return listed(); });
  }

  Result<Json> add(const Json& request, const std::string& incoming) override {
    TRY(catalog::Entry entry, catalog::entry_from(request));
    entry.provenance.imported_by = fmt::format("local:{}", ::getuid());
    entry.created_ms = clock_.unix_ms();
    return audited<Json>(
        "model.import", audit::Operation::write, entry.name + " sha256:" + entry.sha256,
        [&](std::string& resource) {
          return shown(catalog_.add(std::move(entry), catalog_.folder() / incoming), resource);
        });
  }

  Result<Json> pin(const std::string& name, const std::string& version) override {
    return audited<Json>("model.pin", audit::Operation::write, name, [&](std::string& resource) {
      return shown(catalog_.pin(name, version), resource);
    });
  }

  Result<Json> unpin(const std::string& name) override {
    return audited<Json>("model.unpin", audit::Operation::write, name,
                         [&](std::string&) -> Result<Json> {
                           CHECK_OK(catalog_.unpin(name));
                           return Json{{"name", name}};
                         });
  }

  Result<Json> remove(const std::string& name, const std::string& version) override {
    return audited<Json>("model.remove", audit::Operation::erase, name, [&](std::string& resource) {
      return shown(catalog_.remove(name, version, nullptr), resource);
    });
  }

 private:
  Result<Json> listed() {
    TRY(const auto entries, catalog_.list());
    Json list = Json::array();
    for (const catalog::Entry& entry : entries) {
      list.push_back(catalog::to_json(entry));
    }
    return list;
  }

  static Result<Json> shown(const Result<catalog::Entry>& entry, std::string& resource) {
    if (!entry) {
      return std::unexpected(entry.error());
    }
    resource = entry->name + " " + entry->label() + " sha256:" + entry->sha256;
    return catalog::to_json(*entry);
  }

  // Intent, body, result. The body may say better what the record is about.
  template <class T, class Body>
  Result<T> audited(const char* action, audit::Operation operation, std::string resource,
                    const Body& body) {
    TRY(const std::string id, random_bytes(16));
    audit::Record record;
    record.operation = operation;
    record.request_id = to_hex(id);
    record.operator_id = fmt::format("local:{}", ::getuid());
    record.role = "admin";
    record.authentication = "command_line";
    record.ip_address = "local";
    record.action = action;
    record.resource = resource;
    TRY(record.intent_sequence, installation_->audit_log().append_and_wait(record));
    Result<T> done = body(resource);
    record.phase = audit::Phase::result;
    record.resource = resource;
    record.outcome = done ? audit::Outcome::success : audit::Outcome::failed;
    record.reason = done ? std::string() : std::string(code_name(done.error().code));
    TRY(const std::uint64_t result, installation_->audit_log().append_and_wait(record));
    (void)result;
    return done;
  }

  std::unique_ptr<Installation> installation_;
  catalog::Catalog catalog_;
  const Clock& clock_;
};

}  // namespace

Result<std::unique_ptr<ModelDesk>> ModelDesk::open(const DataFolder& folder, const Config& config,
                                                   const Clock& clock, bool may_create) {
  std::error_code error;
  if (!may_create && !std::filesystem::exists(folder.database(), error)) {
    return fail(Code::not_found,
                "there is no data folder at " + folder.root().string() + "; name it with --data");
  }
  auto installation = Installation::open(folder, config, clock);
  if (installation) {
    return std::unique_ptr<ModelDesk>(new OfflineDesk(*std::move(installation), folder, clock));
  }
  if (installation.error().code == Code::already_exists) {
    return std::unique_ptr<ModelDesk>(new ServerDesk(folder));
  }
  return std::unexpected(installation.error());
}

Result<Json> choose_entry(const Json& entries, const std::string& name,
                          const std::string& version) {
  const Json* chosen = nullptr;
  for (const Json& entry : entries) {
    if (entry.at("name") != name) {
      continue;
    }
    const auto label = entry.at("version").get<std::string>();
    const auto digest = entry.at("sha256").get<std::string>();
    const bool fits = version.empty() || version == label ||
                      version == std::to_string(entry.at("number").get<std::int64_t>()) ||
                      (version.size() >= 8 && digest.starts_with(version));
    if (fits && (!version.empty() || chosen == nullptr || !chosen->at("pinned").get<bool>())) {
      chosen = &entry;
    }
  }
  if (chosen == nullptr) {
    return fail(Code::not_found, "no imported model is called " + name +
                                     (version.empty() ? "" : " in version " + version) +
                                     "; see `deepmoat model list`");
  }
  return *chosen;
}

}  // namespace deepmoat::cli
