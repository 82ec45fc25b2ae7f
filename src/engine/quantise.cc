// llama_model_quantize, with its progress taken from its log, the only place that tells it.
#include "engine/quantise.h"

#include <llama.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <limits>

#include "base/log.h"

namespace deepmoat::engine {

namespace {

struct Type {
  const char* name;
  llama_ftype number;
};

// Those that need no importance matrix to be of use.
constexpr std::array kTypes{
    Type{"F32", LLAMA_FTYPE_ALL_F32},          Type{"F16", LLAMA_FTYPE_MOSTLY_F16},
    Type{"BF16", LLAMA_FTYPE_MOSTLY_BF16},     Type{"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},
    Type{"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K},     Type{"Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M},
    Type{"Q5_K_S", LLAMA_FTYPE_MOSTLY_Q5_K_S}, Type{"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},
    Type{"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},     Type{"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M},
    Type{"Q4_K_S", LLAMA_FTYPE_MOSTLY_Q4_K_S}, Type{"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},
    Type{"Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},     Type{"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL},
    Type{"IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS}, Type{"Q3_K_L", LLAMA_FTYPE_MOSTLY_Q3_K_L},
    Type{"Q3_K_M", LLAMA_FTYPE_MOSTLY_Q3_K_M}, Type{"Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K},
};

struct Listener {
  const std::function<void(float)>& progress;
  std::string complaint;  // the last error that it logged
};

// "[  12/ 272] blk.0.attn_k.weight ..." at the begin of each tensor.
void listen(ggml_log_level level, const char* text, void* data) {
  Listener& listener = *static_cast<Listener*>(data);
  int done = 0;
  int total = 0;
  if (std::sscanf(text, " [ %d/ %d]", &done, &total) == 2 && total > 0 && listener.progress) {
    listener.progress(static_cast<float>(done - 1) / static_cast<float>(total));
  }
  if (level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN) {
    listener.complaint = text;
    std::erase(listener.complaint, '\n');
    log::debug("the engine's library says", {{"text", listener.complaint}});
  }
}

}  // namespace

const std::vector<std::string>& quantisations() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> made;
    for (const Type& type : kTypes) {
      made.emplace_back(type.name);
    }
    return made;
  }();
  return names;
}

Result<> quantise(const QuantiseOptions& options) {
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.nthread = static_cast<int>(
      std::min<std::uint32_t>(options.threads, std::numeric_limits<std::int16_t>::max()));
  params.allow_requantize = options.from_quantised;
  if (options.type == "copy") {
    params.only_copy = true;
  } else {
    const auto type =
        std::ranges::find_if(kTypes, [&](const Type& known) { return options.type == known.name; });
    if (type == kTypes.end()) {
      return fail(Code::invalid_argument, "\"" + options.type + "\" is no known quantisation");
    }
    params.ftype = type->number;
  }
  Listener listener{options.progress, {}};
  llama_log_set(listen, &listener);
  std::uint32_t status = 0;
  std::string broke;
  try {
    status = llama_model_quantize(options.source.c_str(), options.target.c_str(), &params);
  } catch (const std::exception& error) {
    broke = error.what();
  }
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  if (status != 0 || !broke.empty()) {
    return fail(Code::invalid_argument, "cannot make " + options.type + " from " +
                                            options.source.filename().string() + ": " +
                                            (broke.empty() ? listener.complaint : broke));
  }
  if (options.progress) {
    options.progress(1);
  }
  return {};
}

}  // namespace deepmoat::engine
