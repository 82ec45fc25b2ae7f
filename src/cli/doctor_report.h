// What `deepmoat doctor` prints: a line a finding, and how to mend it.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string_view>

#include "base/config.h"
#include "cli/command.h"
#include "cli/data_folder.h"

namespace deepmoat::cli {

enum class Verdict { good, warning, bad };

class Report {
 public:
  void line(Verdict verdict, std::string_view what, std::string_view found,
            std::string_view mend = "") {
    const char* mark = verdict == Verdict::good      ? "ok  "
                       : verdict == Verdict::warning ? "warn"
                                                     : "FAIL";
    fmt::print("{}  {:<14} {}\n", mark, what, found);
    if (verdict != Verdict::good && !mend.empty()) {
      fmt::print("      {:<14} -> {}\n", "", mend);
    }
    bad_ += verdict == Verdict::bad ? 1 : 0;
    warnings_ += verdict == Verdict::warning ? 1 : 0;
  }

  int finish() const {
    fmt::print("\n{} problem{}, {} warning{}\n", bad_, bad_ == 1 ? "" : "s", warnings_,
               warnings_ == 1 ? "" : "s");
    return bad_ == 0 ? kSuccess : kFailure;
  }

 private:
  int bad_ = 0;
  int warnings_ = 0;
};

// The root keys: file or token, and who else can get at them.
void check_custody(Report& report, const DataFolder& folder, const Config& config);

}  // namespace deepmoat::cli
