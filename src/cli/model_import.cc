#include "cli/model_import.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <optional>
#include <thread>

#include "base/file.h"
#include "cli/command.h"
#include "cli/model_convert.h"
#include "cli/model_desk.h"
#include "cli/model_job.h"
#include "cli/model_text.h"

namespace deepmoat::cli {

namespace {

constexpr double kPromptTokens = 512;
constexpr double kOutputTokens = 128;
constexpr std::uint64_t kSpareBytes = 64ULL << 20U;  // that an import leaves on the disk
constexpr std::array kExact{"F32", "F16", "BF16",
                            "Q8_0"};  // may be quantised without a loss of note
constexpr std::size_t kVariantsMax = 16;

struct Bits {
  const char* start;  // of a type's name
  double bits;        // of a weight, rounded up
};
constexpr std::array kBits{Bits{"F32", 32}, Bits{"F16", 16}, Bits{"BF16", 16}, Bits{"Q8", 9},
                           Bits{"Q6", 7},   Bits{"Q5", 6.5}, Bits{"", 5.5}};

double bits_of(const std::string& type) {
  return std::ranges::find_if(kBits, [&](const Bits& b) { return type.starts_with(b.start); })
      ->bits;
}

std::string machine() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string model = "unknown processor";
  for (std::string line; std::getline(cpuinfo, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      model = line.substr(colon + 2);
      break;
    }
  }
  return fmt::format("{}, {} cores", model, std::thread::hardware_concurrency());
}

std::uint64_t available_memory_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::uint64_t kib = 0;
  for (std::string rest; file >> name >> kib; std::getline(file, rest)) {
    if (name == "MemAvailable:") {
      return kib * 1024;
    }
  }
  return 0;
}

Result<> check_space(const std::filesystem::path& folder, double bytes_needed) {
  struct statvfs disk{};
  if (::statvfs(folder.c_str(), &disk) != 0) {
    return fail_errno(Code::io, "ask for the free space of " + folder.string());
  }
  const double free_bytes = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  const double needed = bytes_needed + static_cast<double>(kSpareBytes);
  if (free_bytes < needed) {
    return fail(Code::resource_exhausted,
                fmt::format("{} has {:.1f} GB free; the import needs {:.1f} GB", folder.string(),
                            free_bytes / 1e9, needed / 1e9));
  }
  return {};
}

// "SmolLM2-135M-Instruct.Q4_1-00001-of-00002.gguf" -> "smollm2-135m-instruct.q4_1"
std::string name_from(const std::filesystem::path& source) {
  std::string stem =
      source.has_filename() ? source.filename().string() : source.parent_path().filename().string();
  if (stem.ends_with(".gguf")) {
    stem.resize(stem.size() - 5);
  }
  const std::size_t part = stem.rfind("-00001-of-");
  stem = stem.substr(0, part);
  for (char& c : stem) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
    c = good ? c : '-';
  }
  return stem.substr(0, 63);
}

// One way to store the model, as far as it was made.
struct Candidate {
  std::string type;  // "copy" or a quantisation
  std::optional<IncomingFile> file;
  Json facts;
};

class Importer {
 public:
  Importer(const ImportOptions& options, const DataFolder& folder, const Config& config,
           const Clock& clock)
      : options_(options), folder_(folder), config_(config), clock_(clock) {}

  Result<Json> run();

 private:
  Result<> look();
  Result<> check_kind() const;
  Result<std::optional<Json>> recognise();
  Result<Candidate> make(const std::string& type);
  Result<Json> measure(const std::filesystem::path& model);
  Result<Candidate> try_all();
  Result<Json> add(const Candidate& chosen);
  void print_table(const Json& candidates, int best) const;
  [[nodiscard]] bool may_quantise() const;
  [[nodiscard]] std::vector<std::string> job(std::initializer_list<std::string> words) const;

  const ImportOptions& options_;
  const DataFolder& folder_;
  const Config& config_;
  const Clock& clock_;
  std::string name_;
  std::filesystem::path model_;            // what is opened: the source, or what was made of it
  std::optional<IncomingFile> converted_;  // of a folder
  std::optional<IncomingFile> text_;
  std::string text_sha256_;
  std::string converter_;
  std::vector<std::filesystem::path> files_;
  std::string source_sha256_;
  Json facts_;
  Json measurements_ = Json::object();
  std::vector<std::string> avoided_;
};

std::vector<std::string> Importer::job(std::initializer_list<std::string> words) const {
  std::vector<std::string> command{sibling_program("deepmoat-worker")};
  command.insert(command.end(), words);
  return command;
}

bool Importer::may_quantise() const {
  const auto type = facts_.at("quantisation").get<std::string>();
  return options_.allow_requantise || std::ranges::find(kExact, type) != kExact.end();
}

Result<> Importer::check_kind() const {
  const auto kind = facts_.at("kind").get<std::string>();
  const std::string wanted = options_.adapter ? "adapter" : "model";
  if (kind == wanted) {
    return {};
  }
  return fail(Code::invalid_argument,
              kind == "adapter" ? "this is an adapter; import it with --adapter --base NAME"
                                : fmt::format("this is a {}, not a {}", kind, wanted));
}

// What it is, and what its bytes are.
Result<> Importer::look() {
  std::error_code error;
  if (!std::filesystem::exists(options_.source, error)) {
    return fail(Code::not_found, options_.source.string() + " does not exist");
  }
  model_ = std::filesystem::canonical(options_.source, error);
  if (std::filesystem::is_directory(model_)) {
    TRY(Converted made, convert_folder(model_, folder_.models()));
    converter_ = made.tool;
    source_sha256_ = made.source_sha256;
    converted_ = std::move(made.file);
    model_ = converted_->path();
  }
  files_ = files_of_model(model_);
  TRY(const Json answer, run_job(job({"--inspect", model_.string()}), "checking"));
  facts_ = answer.at("facts");
  CHECK_OK(check_kind());
  if (source_sha256_.empty()) {
    TRY(source_sha256_, digest_files(files_, "reading " + options_.source.filename().string()));
  }
  return {};
}

// The version that an earlier import of the same bytes with the same wishes made.
Result<std::optional<Json>> Importer::recognise() {
  TRY(const auto desk, ModelDesk::open(folder_, config_, clock_, true));
  TRY(const Json entries, desk->list());
  if (options_.adapter) {
    TRY(const Json base, choose_entry(entries, options_.base, ""));
    if (base.at("architecture") != facts_.at("architecture")) {
      return fail(Code::invalid_argument,
                  fmt::format("the adapter is for architecture {}, the model {} has {}",
                              facts_.at("architecture").get<std::string>(), options_.base,
                              base.at("architecture").get<std::string>()));
    }
  }
  for (const Json& entry : entries) {
    if (entry.at("name") == name_ && entry.at("provenance").at("source_sha256") == source_sha256_ &&
        entry.at("measurements").value("requested", "") == options_.quantise) {
      Json same = entry;
      same["already_there"] = true;
      return std::optional(std::move(same));
    }
  }
  return std::optional<Json>();
}

Result<Candidate> Importer::make(const std::string& type) {
  Candidate made;
  made.type = type;
  TRY(made.file, IncomingFile::make(folder_.models(), ".gguf"));
  if (type == "copy" && files_.size() == 1) {
    TRY(const std::string digest, digest_files(files_, "copying", made.file->path()));
    (void)digest;
    made.facts = facts_;
    return made;
  }
  if (type != "copy" && !may_quantise()) {
    return fail(Code::invalid_argument,
                fmt::format("the source is {}; quantising it again loses more than it should. Take "
                            "a source in F16, BF16, F32 or Q8_0, or say --allow-requantize",
                            facts_.at("quantisation").get<std::string>()));
  }
  std::vector<std::string> command =
      job({"--quantize", model_.string(), made.file->path().string(), type, "--threads",
           std::to_string(options_.threads), "--from-quantized"});
  TRY(const Json answer,
      run_job(command, type == "copy" ? std::string("joining the parts") : "making " + type));
  made.facts = answer.at("facts");
  return made;
}

// Speed and perplexity, with the best CPU variant that does not fault.
Result<Json> Importer::measure(const std::filesystem::path& model) {
  if (!text_) {
    TRY(text_, IncomingFile::make(folder_.models(), ".txt"));
    if (options_.text.empty()) {
      CHECK_OK(write_file_atomic(text_->path(), measuring_text(), 0600));
      TRY(text_sha256_, digest_files({text_->path()}, "reading the text"));
    } else {
      TRY(text_sha256_, digest_files({options_.text}, "reading the text", text_->path()));
    }
  }
  for (std::size_t i = 0; i < kVariantsMax; ++i) {
    std::vector<std::string> command =
        job({"--measure", model.string(), "--text", text_->path().string(), "--threads",
             std::to_string(options_.threads), "--rounds", std::to_string(options_.rounds)});
    for (const std::string& variant : avoided_) {
      command.insert(command.end(), {"--cpu-variant-avoid", variant});
    }
    std::string illegal;
    const Result<Json> answer = run_job(command, "measuring", &illegal);
    if (answer) {
      return answer->at("speed");
    }
    if (illegal.empty()) {
      return answer;
    }
    avoided_.push_back(illegal);
  }
  return fail(Code::unavailable, "no CPU variant of the engine runs here; see `deepmoat doctor`");
}

void Importer::print_table(const Json& candidates, int best) const {
  if (options_.json) {
    return;
  }
  fmt::print("{:<12} {:>9} {:>13} {:>13} {:>11} {:>9}\n", "WEIGHTS", "MB", "PROMPT TOK/S",
             "OUTPUT TOK/S", "PERPLEXITY", "CHANGE");
  for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
    const Json& row = candidates[static_cast<std::size_t>(i)];
    fmt::print("{:<12} {:>9.1f} {:>13.1f} {:>13.1f} {:>11.3f} {:>+8.2f}%{}\n",
               row.at("quantisation").get<std::string>(), row.at("bytes").get<double>() / 1e6,
               row.at("prompt_tokens_s").get<double>(), row.at("output_tokens_s").get<double>(),
               row.at("perplexity").get<double>(),
               row.at("perplexity_change_percent").get<double>(),
               i == best                            ? "  <- kept"
               : row.at("within_limit").get<bool>() ? ""
                                                    : "  over the limit");
  }
}

// Makes and measures each; at most the best so far and one more are on the disk.
Result<Candidate> Importer::try_all() {
  Json table = Json::array();
  std::optional<Candidate> best;
  std::vector<std::string> types{"copy"};
  if (may_quantise()) {
    std::ranges::copy_if(options_.candidates, std::back_inserter(types), [&](const auto& type) {
      return type != facts_.at("quantisation").get<std::string>();
    });
  }
  const double bytes = facts_.at("bytes").get<double>();
  if (bytes > static_cast<double>(available_memory_bytes()) && types.size() > 1) {
    fmt::print(stderr, "The source does not fit into memory: {} stands for it in comparisons.\n",
               types[1]);
    types.erase(types.begin());
  }
  for (const std::string& type : types) {
    Candidate made{.type = type, .file = std::nullopt, .facts = facts_};
    if (type != "copy") {
      TRY(made, make(type));
    }
    TRY(Json row, measure(type == "copy" ? model_ : made.file->path()));
    row["quantisation"] = made.facts.at("quantisation");
    if (type != "copy") {
      row["quantisation"] = type;
    }
    row["bytes"] = made.facts.at("bytes");
    table.push_back(std::move(row));
    if (choose_candidate(table, options_.quality_limit_percent) ==
        static_cast<int>(table.size()) - 1) {
      best = std::move(made);
    }
  }
  const int chosen = choose_candidate(table, options_.quality_limit_percent);
  print_table(table, chosen);
  measurements_.update(table[static_cast<std::size_t>(chosen)]);
  measurements_["quality_limit_percent"] = options_.quality_limit_percent;
  measurements_["candidates"] = std::move(table);
  if (best->type == "copy") {
    return make("copy");
  }
  return *std::move(best);
}

Result<Json> Importer::add(const Candidate& chosen) {
  std::string digest = source_sha256_;
  if (chosen.type != "copy" || files_.size() > 1 || converted_) {
    TRY(digest, digest_files({chosen.file->path()}, "hashing"));
  }
  std::string tool = converter_;
  if (chosen.type != "copy" || files_.size() > 1) {
    tool += fmt::format("{}llama.cpp {} {} {}", tool.empty() ? "" : "; ", DEEPMOAT_LLAMA_COMMIT,
                        chosen.type == "copy" ? "joined" : "quantised to",
                        chosen.type == "copy" ? "parts" : chosen.type);
  }
  const std::string kind = options_.adapter ? "adapter" : "model";
  const Json entry = {{"name", name_},
                      {"kind", kind},
                      {"sha256", digest},
                      {"bytes", chosen.facts.at("bytes")},
                      {"quantisation", chosen.facts.at("quantisation")},
                      {"architecture", chosen.facts.at("architecture")},
                      {"parameters", chosen.facts.at("parameters")},
                      {"task", options_.adapter ? Json("") : chosen.facts.at("task")},
                      {"base", options_.base},
                      {"provenance",
                       {{"source", std::filesystem::absolute(options_.source).string()},
                        {"source_sha256", source_sha256_},
                        {"tool", tool.empty() ? "copy" : tool}}},
                      {"measurements", measurements_}};
  TRY(const auto desk, ModelDesk::open(folder_, config_, clock_, true));
  const Result<Json> added = desk->add(entry, chosen.file->path().filename().string());
  if (added || added.error().code != Code::already_exists) {
    return added;
  }
  // Other wishes, same bytes.
  TRY(const Json entries, desk->list());
  for (const Json& there : entries) {
    if (there.at("name") == name_ && there.at("sha256") == digest) {
      Json same = there;
      same["already_there"] = true;
      return same;
    }
  }
  return added;
}

Result<Json> Importer::run() {
  name_ = options_.name.empty() ? name_from(options_.source) : options_.name;
  CHECK_OK(make_directory(folder_.root(), 0700));
  CHECK_OK(make_directory(folder_.models(), 0700));
  CHECK_OK(look());
  TRY(const std::optional<Json> same, recognise());
  if (same) {
    return *same;
  }
  measurements_ = {{"requested", options_.quantise}};
  const bool generates = facts_.at("task") == "generate";
  const bool measures = options_.quantise == "auto" && !options_.adapter && generates;
  if (options_.quantise == "auto" && !generates && !options_.adapter) {
    fmt::print(stderr, "Perplexity says nothing about a model for {}: it is imported as it is.\n",
               facts_.at("task").get<std::string>());
  }
  const double parameters = facts_.at("parameters").get<double>();
  double needed = facts_.at("bytes").get<double>();
  if (measures && may_quantise()) {
    for (const std::string& type : options_.candidates) {
      needed = std::max(needed, 2 * parameters * bits_of(type) / 8);
    }
  } else if (options_.quantise != "auto" && options_.quantise != "none") {
    needed = parameters * bits_of(options_.quantise) / 8;
  }
  CHECK_OK(check_space(folder_.models(), needed));
  const bool as_it_is =
      options_.adapter || options_.quantise == "none" || (options_.quantise == "auto" && !measures);
  TRY(const Candidate chosen, measures   ? try_all()
                              : as_it_is ? make("copy")
                                         : make(options_.quantise));
  if (measures) {
    measurements_["machine"] = machine();
    measurements_["text_sha256"] = text_sha256_;
    measurements_["measured_at"] = clock_.unix_ms() / 1000;
  }
  return add(chosen);
}

}  // namespace

int choose_candidate(Json& candidates, double limit_percent) {
  int best = -1;
  double best_seconds = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Json& row = candidates[i];
    const double first = candidates[0].at("perplexity").get<double>();
    const double change = (row.at("perplexity").get<double>() / first - 1) * 100;
    const double seconds = kPromptTokens / row.at("prompt_tokens_s").get<double>() +
                           kOutputTokens / row.at("output_tokens_s").get<double>();
    row["perplexity_change_percent"] = change;
    row["seconds"] = seconds;
    row["within_limit"] = change <= limit_percent;
    if (change <= limit_percent && (best < 0 || seconds < best_seconds)) {
      best = static_cast<int>(i);
      best_seconds = seconds;
    }
  }
  return best;
}

Result<Json> import_model(const ImportOptions& options, const DataFolder& folder,
                          const Config& config, const Clock& clock) {
  take_interrupts();
  return Importer(options, folder, config, clock).run();
}

}  // namespace deepmoat::cli
