// `deepmoat doctor`, the part about the root keys.
#include <sys/stat.h>

#include "cli/doctor_report.h"
#include "cli/root_keys.h"
#include "crypto/key_file.h"
#include "crypto/pkcs11_token.h"

namespace deepmoat::cli {

namespace {

void check_passphrase_file(Report& report, const Config& config) {
  const std::string& path = config.keys.passphrase_file;
  struct stat facts{};
  if (!path.empty() && ::stat(path.c_str(), &facts) == 0 && (facts.st_mode & 0077) != 0) {
    report.line(Verdict::warning, "passphrase", path,
                "others may read it: chmod 600 " + path + ", or use a systemd credential");
  }
}

void check_key_file(Report& report, const DataFolder& folder, const Config& config) {
  check_passphrase_file(report, config);
  const auto protection = crypto::key_file_protection(folder.key_file());
  if (!protection && protection.error().code == Code::not_found) {
    report.line(Verdict::good, "root keys", "a key file, made at the first start");
    return;
  }
  if (!protection) {
    report.line(Verdict::bad, "root keys", folder.key_file().string(), protection.error().message);
    return;
  }
  const bool sealed = protection->starts_with("sealed");
  const bool old = protection->find("scrypt") != std::string::npos;
  report.line(sealed && !old ? Verdict::good : Verdict::warning, "root keys",
              "file, " + *protection,
              old ? "run `deepmoat custody rewrap` once the server is stopped"
                  : "set keys.passphrase_file after `deepmoat custody rewrap "
                    "--new-passphrase-file FILE`, or keep the keys in a token (docs/custody.md)");
}

void check_token(Report& report, const Config& config) {
  const auto pin = read_pin(config);
  if (!pin) {
    report.line(Verdict::bad, "root keys", "PKCS#11", pin.error().message);
    return;
  }
  const auto token = crypto::Pkcs11Token::open(pkcs11_options(config), *pin);
  if (!token) {
    report.line(Verdict::bad, "root keys", "PKCS#11", token.error().message);
    return;
  }
  const auto root = (*token)->find_key(config.custody.key_label + "-root");
  if (!root) {
    report.line(root.error().code == Code::not_found ? Verdict::good : Verdict::bad, "root keys",
                (*token)->description() + ": no root key yet (made at the first start)",
                root.error().message);
    return;
  }
  const auto never_left = (*token)->never_left(*root);
  const bool safe = never_left && *never_left;
  report.line(safe ? Verdict::good : Verdict::bad, "root keys",
              (*token)->description() + (safe ? ": never extractable" : ""),
              "the token does not promise that the root key never left it: make a new one inside");
}

}  // namespace

void check_custody(Report& report, const DataFolder& folder, const Config& config) {
  if (config.custody.kind == "pkcs11") {
    check_token(report, config);
  } else {
    check_key_file(report, folder, config);
  }
}

}  // namespace deepmoat::cli
