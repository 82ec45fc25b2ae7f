// A program that is run for what it prints: its standard output, piece by piece, and whether it
// ended well. Its standard input is empty; its standard error is kept for the message.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace deepmoat::cli {

class ChildOutput {
 public:
  // Looks `arguments[0]` up in PATH. `environment`: "NAME=value" each. Code::not_found when there
  // is no such program.
  static Result<ChildOutput> start(const std::vector<std::string>& arguments,
                                   const std::vector<std::string>& environment);
  ChildOutput(ChildOutput&& other) noexcept;
  ChildOutput& operator=(ChildOutput&&) = delete;
  ~ChildOutput();  // ends it if it still runs

  // Bytes into `buffer`; 0 at the end.
  Result<std::size_t> read(std::span<char> buffer);
  // After the end of its output: Code::unavailable with what it said when its status is not 0.
  Result<> finish();

 private:
  ChildOutput() = default;

  std::string program_;
  pid_t child_ = -1;
  UniqueFd output_;
  UniqueFd errors_;  // a file in memory
};

}  // namespace deepmoat::cli
