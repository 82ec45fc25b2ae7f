// For tests: custody in a folder that goes away, with a switch that makes it fail.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/scratch_folder.h"
#include "crypto/file_custody.h"

namespace deepmoat::crypto {

// Forwards to real custody; while `fails` is set, every operation on a generation gives that error.
class FailingCustody final : public KeyCustody {
 public:
  explicit FailingCustody(KeyCustody& real) : real_(real) {}

  Result<RootSecrets> root_secrets() override { return real_.root_secrets(); }
  Result<> generate(std::uint64_t generation) override {
    CHECK_OK(may("generate"));
    return real_.generate(generation);
  }
  Result<std::vector<std::uint64_t>> generations() override {
    CHECK_OK(may("generations"));
    return real_.generations();
  }
  Result<> destroy(std::uint64_t generation) override {
    CHECK_OK(may("destroy"));
    return real_.destroy(generation);
  }
  Result<std::string> wrap(std::uint64_t generation, const Secret& plain,
                           std::string_view associated) override {
    CHECK_OK(may("wrap"));
    return real_.wrap(generation, plain, associated);
  }
  Result<Secret> unwrap(std::uint64_t generation, std::string_view wrapped,
                        std::string_view associated) override {
    CHECK_OK(may("unwrap"));
    return real_.unwrap(generation, wrapped, associated);
  }
  Result<> check() override {
    if (check_fails) {
      return std::unexpected(*check_fails);
    }
    return real_.check();
  }
  Result<> recover() override {
    ++recoveries;
    return check();
  }
  CustodyFacts describe() override { return real_.describe(); }

  std::string fails;  // the operation that fails
  std::optional<Error> check_fails;
  int recoveries = 0;

 private:
  Result<> may(const char* operation) const {
    return fails == operation ? Result<>(fail(Code::unavailable, "the token is gone")) : Result<>();
  }

  KeyCustody& real_;
};

class ScratchCustody {
 public:
  ScratchCustody() {
    auto opened = FileCustody::open(keys() / "root.key", Secret(), true);
    EXPECT_TRUE(opened) << opened.error().message;
    file_ = *std::move(opened);
    custody_ = std::make_unique<FailingCustody>(*file_);
  }

  [[nodiscard]] std::filesystem::path keys() const { return folder_ / "keys"; }
  [[nodiscard]] FailingCustody& custody() { return *custody_; }

 private:
  ScratchFolder folder_;
  std::unique_ptr<FileCustody> file_;
  std::unique_ptr<FailingCustody> custody_;
};

}  // namespace deepmoat::crypto
