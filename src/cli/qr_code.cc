#include "cli/qr_code.h"

#include <qrencode.h>

#include <memory>

namespace deepmoat::cli {

namespace {

constexpr int kMargin = 4;  // modules; ISO/IEC 18004
constexpr const char* kBlackOnWhite = "\x1b[30;107m";
constexpr const char* kPlain = "\x1b[0m";

bool dark(const QRcode& code, int row, int column) {
  return row >= 0 && row < code.width && column >= 0 && column < code.width &&
         (code.data[row * code.width + column] & 1U) != 0;
}

}  // namespace

Result<std::string> qr_code(std::string_view text) {
  const std::unique_ptr<QRcode, decltype(&QRcode_free)> code(
      QRcode_encodeString8bit(std::string(text).c_str(), 0, QR_ECLEVEL_M), &QRcode_free);
  if (code == nullptr) {
    return fail(Code::invalid_argument, "this text fits no QR code");
  }
  std::string lines;
  for (int row = -kMargin; row < code->width + kMargin; row += 2) {
    lines += kBlackOnWhite;
    for (int column = -kMargin; column < code->width + kMargin; ++column) {
      const bool upper = dark(*code, row, column);
      const bool lower = dark(*code, row + 1, column);
      lines += upper ? (lower ? "█" : "▀") : (lower ? "▄" : " ");
    }
    lines += kPlain;
    lines += '\n';
  }
  return lines;
}

}  // namespace deepmoat::cli
