// The text that `deepmoat model import` measures perplexity with when it is given none.
#pragma once

#include <string_view>

namespace deepmoat::cli {

// A few kilobytes of English and Chinese prose, a table and code, written for this purpose: what it
// says is in no training set. The same in every release, so that measurements compare.
[[nodiscard]] std::string_view measuring_text();

}  // namespace deepmoat::cli
