// For tests: a SoftHSM 2 token in a folder that goes away, and a faulty module in front of it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/scratch_folder.h"
#include "base/secret.h"
#include "crypto/pkcs11_token.h"

namespace deepmoat::crypto {

inline constexpr const char* kSoftHsm = "/usr/lib/softhsm/libsofthsm2.so";
inline constexpr const char* kTokenPin = "493817";

class ScratchToken {
 public:
  ScratchToken() {
    std::filesystem::create_directory(tokens());
    std::ofstream(folder_ / "softhsm2.conf") << "directories.tokendir = " << tokens().string()
                                             << "\nobjectstore.backend = file\nlog.level = ERROR\n";
    ::setenv("SOFTHSM2_CONF", (folder_ / "softhsm2.conf").c_str(), 1);
    ::setenv("FAULTY_PKCS11_REAL", kSoftHsm, 1);
    ::setenv("FAULTY_PKCS11_MODE", (folder_ / "mode").c_str(), 1);
    ::setenv("FAULTY_PKCS11_SLOW_MS", "5000", 1);
    behave("right");
    const std::string made =
        std::string("softhsm2-util --init-token --free --label test --so-pin ") +
        "12345678 --pin " + kTokenPin + " > /dev/null";
    EXPECT_EQ(std::system(made.c_str()), 0) << "softhsm2 must be installed";
  }

  // See tests/pkcs11/faulty_pkcs11.cc.
  void behave(const std::string& mode) const { std::ofstream(folder_ / "mode") << mode; }

  // The device pulled out, and put back.
  void take_away() const { std::filesystem::rename(tokens(), folder_ / "away"); }
  void bring_back() const { std::filesystem::rename(folder_ / "away", tokens()); }

  [[nodiscard]] static Pkcs11Options options(const std::string& module = kSoftHsm) {
    return {.module = module, .token_label = "test"};
  }
  [[nodiscard]] static Pkcs11Options faulty() { return options(DEEPMOAT_FAULTY_PKCS11); }
  [[nodiscard]] static Secret pin() { return Secret::copy_of(kTokenPin); }

  [[nodiscard]] std::filesystem::path keys() const { return folder_ / "keys"; }

 private:
  [[nodiscard]] std::filesystem::path tokens() const { return folder_ / "tokens"; }

  ScratchFolder folder_;
};

}  // namespace deepmoat::crypto
