#include "cli/node_place.h"

#include <fmt/format.h>
#include <boost/url/encode.hpp>
#include <boost/url/rfc/pchars.hpp>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "audit/log_tree.h"
#include "base/log.h"
#include "cli/https_client.h"
#include "cli/root_keys.h"
#include "transparency/witness.h"

namespace deepmoat::cli {

namespace {

using transparency::Checkpoint;

constexpr std::chrono::seconds kPatience{5};
constexpr int kOk = 200;
constexpr int kNoneYet = 204;
constexpr int kOtherSize = 409;
constexpr std::size_t kSaidBytesMax = 300;
constexpr const char* kWitness = "/v1/audit/witness/";

Result<Checkpoint> checkpoint_of(std::string_view note) {
  TRY(const transparency::Note parsed, transparency::parse_note(note));
  return transparency::parse_checkpoint(parsed.text);
}

// What an error answer says, without its JSON.
std::string said(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  const nlohmann::json::json_pointer message("/error/message");
  const bool ours = !json.is_discarded() && json.contains(message) && json[message].is_string();
  return (ours ? json[message].get<std::string>() : body).substr(0, kSaidBytesMax);
}

class NodePlace final : public audit::CheckpointPlace {
 public:
  NodePlace(NodePlaceOptions options, HttpsServer server, const Clock& clock)
      : options_(std::move(options)),
        server_(std::move(server)),
        target_of_ours_(kWitness + boost::urls::encode(options_.origin, boost::urls::pchars + '/')),
        pace_(clock) {}

  std::string name() const override { return kNodePlace + options_.url; }

  Result<std::optional<std::string>> newest() override {
    TRY(HttpsAnswer answer, ask("GET", target_of_ours_, ""));
    if (answer.status == kNoneYet) {
      size_ = 0;
      return std::nullopt;
    }
    if (answer.status != kOk) {
      return refused(answer);
    }
    const auto kept = checkpoint_of(answer.body);
    if (!kept) {
      return fail(Code::unavailable, fmt::format("{} answers with what is no checkpoint: {}",
                                                 options_.url, kept.error().message));
    }
    size_ = kept->size;
    return std::move(answer.body);
  }

  void attach(const audit::LogTree& tree) override { tree_ = &tree; }

  Result<bool> keep(const std::string& note, bool last) override {
    if (!pace_.due(last)) {
      return false;
    }
    TRY(const Checkpoint next, checkpoint_of(note));
    TRY(HttpsAnswer answer, post(note, next.size));
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
  Result<HttpsAnswer> post(const std::string& note, std::uint64_t size) {
    transparency::NextCheckpoint next{.old_size = size_, .proof = {}, .note = note};
    if (size_ > 0 && size_ <= size) {
      TRY(next.proof, tree_->view().consistency(size_, size));
    }
    return ask("POST", std::string(kWitness) + "add-checkpoint",
               transparency::next_checkpoint_body(next));
  }

  Result<HttpsAnswer> ask(const std::string& method, const std::string& target,
                          const std::string& body) {
    TRY(const Secret key, read_private_line(options_.key_file, "audit.node_key_file"));
    auto answer = ask_https(server_, method, target, body, key, kPatience);
    if (!answer) {
      return fail(Code::unavailable,
                  fmt::format("{} does not answer: {}", options_.url, answer.error().message));
    }
    warn_of_the_keys_end(*answer);
    return answer;
  }

  // Once; a server that starts with a key that is over is refused by its place.
  void warn_of_the_keys_end(const HttpsAnswer& answer) {
    const bool ends = answer.key_expires_in_s.has_value();
    if (ends && !warned_) {
      log::warn("audit log: the key in audit.node_key_file ends soon; put a new one into the file",
                {{"place", name()}, {"days_left", *answer.key_expires_in_s / (24 * 60 * 60)}});
    }
    warned_ = ends;
  }

  std::unexpected<Error> refused(const HttpsAnswer& answer) const {
    return fail(Code::unavailable,
                fmt::format("{} answers {}: {}", options_.url, answer.status, said(answer.body)));
  }

  const NodePlaceOptions options_;
  const HttpsServer server_;
  const std::string target_of_ours_;
  audit::OnceAMinute pace_;
  const audit::LogTree* tree_ = nullptr;
  std::uint64_t size_ = 0;  // of the checkpoint that the other one has, as far as we know
  bool warned_ = false;
};

}  // namespace

Result<std::unique_ptr<audit::CheckpointPlace>> node_place(NodePlaceOptions options,
                                                           const Clock& clock) {
  auto server = parse_server(options.url, options.ca_file);
  if (!server) {
    return fail(Code::invalid_argument, fmt::format("audit.checkpoint_places: {}{}: {}", kNodePlace,
                                                    options.url, server.error().message));
  }
  return std::make_unique<NodePlace>(std::move(options), *std::move(server), clock);
}

}  // namespace deepmoat::cli
