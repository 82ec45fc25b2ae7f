#include "cli/node_place.h"

#include <fmt/format.h>
#include <httplib.h>

#include <optional>
#include <utility>

#include "audit/log_tree.h"
#include "transparency/witness.h"

namespace deepmoat::cli {

namespace {

using transparency::Checkpoint;

constexpr int kConnectSeconds = 5;
constexpr int kAnswerSeconds = 5;
constexpr int kOk = 200;
constexpr int kOtherSize = 409;

Result<Checkpoint> checkpoint_of(std::string_view note) {
  TRY(const transparency::Note parsed, transparency::parse_note(note));
  return transparency::parse_checkpoint(parsed.text);
}

// What an error answer says, without its JSON.
std::string said(const httplib::Response& answer) {
  const std::size_t begin = answer.body.find("\"message\":\"");
  const std::size_t from = begin == std::string::npos ? 0 : begin + 11;
  return answer.body.substr(from, std::min<std::size_t>(answer.body.find('"', from) - from, 200));
}

class NodePlace final : public audit::CheckpointPlace {
 public:
  NodePlace(NodePlaceOptions options, const Clock& clock)
      : options_(std::move(options)), client_(options_.url), pace_(clock) {
    client_.set_connection_timeout(kConnectSeconds);
    client_.set_read_timeout(kAnswerSeconds);
    client_.set_write_timeout(kAnswerSeconds);
    client_.enable_server_certificate_verification(true);
    if (!options_.ca_file.empty()) {
      client_.set_ca_cert_path(options_.ca_file.c_str());
    }
    client_.set_bearer_token_auth(std::string(options_.key.reveal()).c_str());
  }

  std::string name() const override { return kNodePlace + options_.url; }

  Result<std::optional<std::string>> newest() override {
    const auto answer = client_.Get(("/v1/audit/witness/" + options_.origin).c_str());
    CHECK_OK(answered(answer));
    if (answer->status != kOk) {
      return refused(*answer);
    }
    if (answer->body.empty()) {
      size_ = 0;
      return std::nullopt;
    }
    TRY(const Checkpoint kept, checkpoint_of(answer->body));
    size_ = kept.size;
    return answer->body;
  }

  void attach(const audit::LogTree& tree) override { tree_ = &tree; }

  Result<bool> keep(const std::string& note, bool last) override {
    if (!pace_.due(last)) {
      return false;
    }
    TRY(const Checkpoint next, checkpoint_of(note));
    TRY(auto answer, post(note, next.size));
    if (answer.status == kOtherSize) {  // another process has been here, or we have just begun
      CHECK_OK(newest());
      TRY(answer, post(note, next.size));
    }
    if (answer.status != kOk) {
      return refused(answer);
    }
    size_ = next.size;
    return true;
  }

 private:
  Result<httplib::Response> post(const std::string& note, std::uint64_t size) {
    transparency::NextCheckpoint next{.old_size = size_, .proof = {}, .note = note};
    if (size_ > 0 && size_ <= size) {
      TRY(next.proof, tree_->view().consistency(size_, size));
    }
    const auto answer = client_.Post("/v1/audit/witness/add-checkpoint",
                                     transparency::next_checkpoint_body(next), "text/plain");
    CHECK_OK(answered(answer));
    return *answer;
  }

  Result<> answered(const httplib::Result& answer) const {
    return answer ? Result<>()
                  : fail(Code::unavailable, fmt::format("{} does not answer: {}", options_.url,
                                                        httplib::to_string(answer.error())));
  }

  std::unexpected<Error> refused(const httplib::Response& answer) const {
    return fail(Code::unavailable,
                fmt::format("{} answers {}: {}", options_.url, answer.status, said(answer)));
  }

  const NodePlaceOptions options_;
  httplib::Client client_;
  audit::OnceAMinute pace_;
  const audit::LogTree* tree_ = nullptr;
  std::uint64_t size_ = 0;  // of the checkpoint that the other one has, as far as we know
};

}  // namespace

Result<std::unique_ptr<audit::CheckpointPlace>> node_place(NodePlaceOptions options,
                                                           const Clock& clock) {
  if (!options.url.starts_with("https://")) {
    return fail(Code::invalid_argument,
                fmt::format("audit.checkpoint_places: \"{}{}\" is no place; use "
                            "node:https://host:port",
                            kNodePlace, options.url));
  }
  while (options.url.ends_with('/')) {
    options.url.pop_back();
  }
  return std::make_unique<NodePlace>(std::move(options), clock);
}

}  // namespace deepmoat::cli
