#include "audit/checkpoint_place.h"

#include <fmt/format.h>
#include <syslog.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "transparency/witness.h"

namespace deepmoat::audit {

namespace {

constexpr std::size_t kNoteBytesMax = 64 * 1024;
constexpr std::string_view kDirectory = "directory:";
constexpr const char* kToken = "token";
constexpr const char* kTokenNote = "audit-checkpoint";

class DirectoryPlace final : public CheckpointPlace {
 public:
  DirectoryPlace(std::string directory, const std::string& origin)
      : directory_(std::move(directory)),
        path_(directory_ / transparency::checkpoint_file_name(origin)) {}

  std::string name() const override { return fmt::format("{}{}", kDirectory, directory_.string()); }

  Result<std::optional<std::string>> newest() override {
    std::error_code error;
    if (!std::filesystem::is_directory(directory_, error)) {
      return fail(Code::unavailable,
                  fmt::format("{} is no folder; mount or make it, or take it out of "
                              "audit.checkpoint_places",
                              directory_.string()));
    }
    auto note = read_file(path_, kNoteBytesMax);
    if (!note && note.error().code == Code::not_found) {
      return std::nullopt;
    }
    return note ? Result<std::optional<std::string>>(std::move(*note))
                : std::unexpected(std::move(note).error());
  }

  Result<bool> keep(const std::string& note, bool /*last*/) override {
    CHECK_OK(write_file_atomic(path_, note, 0644));
    return true;
  }

 private:
  const std::filesystem::path directory_;
  const std::filesystem::path path_;
};

class SyslogPlace final : public CheckpointPlace {
 public:
  std::string name() const override { return "syslog"; }
  bool reads_back() const override { return false; }
  Result<std::optional<std::string>> newest() override { return std::nullopt; }
  Result<bool> keep(const std::string& note, bool /*last*/) override {
    // syslog has lines: a "|" stands for a line end.
    std::string line = note;
    std::ranges::replace(line, '\n', '|');
    ::syslog(LOG_AUTHPRIV | LOG_NOTICE, "deepmoat audit checkpoint %s", line.c_str());
    return true;
  }
};

class TokenPlace final : public CheckpointPlace {
 public:
  TokenPlace(crypto::KeyCustody& custody, const Clock& clock) : custody_(custody), pace_(clock) {}
  std::string name() const override { return kToken; }
  Result<std::optional<std::string>> newest() override { return custody_.read_note(kTokenNote); }
  Result<bool> keep(const std::string& note, bool last) override {
    // Also after a failure: a token that is away is not asked every second.
    if (!pace_.due(last)) {
      return false;
    }
    CHECK_OK(custody_.keep_note(kTokenNote, note));
    return true;
  }

 private:
  crypto::KeyCustody& custody_;
  OnceAMinute pace_;
};

}  // namespace

bool OnceAMinute::due(bool last) {
  const MonoNanos now_ns = clock_.mono_ns();
  if (!last && asked_ns_ && now_ns - *asked_ns_ < kMinuteNs) {
    return false;
  }
  asked_ns_ = now_ns;
  return true;
}

std::unique_ptr<CheckpointPlace> token_place(crypto::KeyCustody& custody, const Clock& clock) {
  return std::make_unique<TokenPlace>(custody, clock);
}

std::unique_ptr<CheckpointPlace> directory_place(std::string directory, const std::string& origin) {
  return std::make_unique<DirectoryPlace>(std::move(directory), origin);
}

std::unique_ptr<CheckpointPlace> syslog_place() {
  return std::make_unique<SyslogPlace>();
}

Result<std::unique_ptr<CheckpointPlace>> make_checkpoint_place(const std::string& text,
                                                               const std::string& origin,
                                                               crypto::KeyCustody& custody,
                                                               const Clock& clock) {
  if (text == kToken) {
    return token_place(custody, clock);
  }
  if (text == "syslog") {
    return syslog_place();
  }
  if (text.starts_with(kDirectory) && text.size() > kDirectory.size() &&
      text[kDirectory.size()] == '/') {
    return directory_place(text.substr(kDirectory.size()), origin);
  }
  return fail(Code::invalid_argument,
              fmt::format("audit.checkpoint_places: \"{}\" is no place; use directory:/absolute/"
                          "path, syslog, token or node:https://host:port",
                          text));
}

}  // namespace deepmoat::audit
