// `deepmoat audit export|receipt|report|key`: made from the data folder's files, beside a running
// server if there is one. Whoever can read the folder can read the log; only the signature of an
// export needs the root keys.
#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "base/file.h"
#include "cli/audit_reading.h"
#include "cli/checkpoint_key.h"
#include "cli/command.h"
#include "cli/data_folder.h"
#include "review/evidence.h"
#include "review/monthly_figures.h"
#include "review/report_html.h"
#include "review/report_json.h"
#include "review/report_pdf.h"

namespace deepmoat::cli {

namespace {

constexpr std::size_t kKeyBytesMax = 64 * 1024;

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  FilterOptions filter;
  std::string output;
  std::string request;
  std::string month;
  std::string language = "en";
  std::string format = "html";
};

// A file that is there only once it is whole; nobody else may read it.
class WholeFile {
 public:
  static Result<WholeFile> create(const std::string& path) {
    WholeFile file(path);
    TRY(file.file_, open_file(file.unfinished(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW));
    return file;
  }
  WholeFile(WholeFile&& other) noexcept = default;
  WholeFile& operator=(WholeFile&&) = delete;
  ~WholeFile() {
    if (file_.get() >= 0) {
      ::unlink(unfinished().c_str());
    }
  }

  Result<> append(std::string_view bytes) {
    CHECK_OK(write_all_at(file_.get(), bytes, written_));
    written_ += bytes.size();
    return {};
  }
  Result<> finish() {
    if (::rename(unfinished().c_str(), path_.c_str()) != 0) {
      return fail_errno(Code::io, "rename " + unfinished());
    }
    file_.reset();
    return {};
  }

 private:
  explicit WholeFile(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] std::string unfinished() const { return path_ + ".new"; }

  std::string path_;
  UniqueFd file_;
  std::uint64_t written_ = 0;
};

Result<> put(const std::string& path, std::string_view bytes) {
  if (path.empty()) {
    fmt::print("{}\n", bytes);
    return {};
  }
  return write_file_atomic(path, bytes, 0600);
}

// The newest checkpoint, then an index that goes at least as far.
struct Log {
  std::unique_ptr<review::StoredTree> tree;
  std::unique_ptr<review::AuditIndex> index;
};

Result<Log> open_log(const DataFolder& folder) {
  auto tree = review::StoredTree::open(folder.audit());
  if (!tree && tree.error().code == Code::not_found) {
    return fail(Code::not_found, "there is no checkpoint in " + folder.audit().string() +
                                     "; a server makes one within a second of its start");
  }
  if (!tree) {
    return std::unexpected(std::move(tree).error());
  }
  TRY(auto index, open_current(folder));
  return Log{*std::move(tree), std::move(index)};
}

Result<> write_export(const Options& options, const Config& config) {
  const DataFolder folder(options.data);
  TRY(const review::Filter filter, filter_of(options.filter));
  TRY(const transparency::NoteSigner signer, stored_checkpoint_signer(folder, config));
  TRY(Log log, open_log(folder));
  if (const auto own = signer.open(log.tree->get().note); !own) {
    return fail(Code::corrupt,
                "the newest checkpoint is not signed by this folder's key and audit.origin: give "
                "the configuration that the server has with --config");
  }
  TRY(WholeFile file, WholeFile::create(options.output));
  TRY(const std::uint64_t records,
      review::write_export({.index = std::move(log.index),
                            .log_folder = folder.audit(),
                            .tree = log.tree->get(),
                            .signer = signer,
                            .made_ms = SystemClock().unix_ms()},
                           filter, [&](std::string_view bytes) { return file.append(bytes); }));
  CHECK_OK(file.finish());
  fmt::print("{} records are in {}\n", records, options.output);
  return {};
}

Result<> show_receipt(const Options& options) {
  const DataFolder folder(options.data);
  TRY(const Log log, open_log(folder));
  std::vector<review::RequestRecord> records;
  TRY(records, log.index->find_request(options.request));
  if (records.empty()) {
    return fail(Code::not_found, "there is no request " + options.request + " in the log");
  }
  if (records.size() > review::kRecordsOfReceiptMax) {
    return fail(Code::invalid_argument,
                fmt::format("{} records are of this id: ask with audit query and export them",
                            records.size()));
  }
  if (records.back().sequence > log.tree->get().checkpoint.size) {
    return fail(Code::unavailable,
                "its newest record is behind the newest checkpoint: try again in a second");
  }
  TRY(const std::string keys, read_file(folder.audit_key(), kKeyBytesMax));
  TRY(const std::string receipt,
      review::receipt_json(folder.audit(), options.request, records, log.tree->get(), keys));
  return put(options.output, receipt);
}

Result<> show_report(const Options& options) {
  TRY(const Log log, open_log(DataFolder(options.data)));
  const review::SignedTree& tree = log.tree->get();
  TRY(review::MonthlyReport report,
      review::monthly_figures(*log.index, options.month, SystemClock().unix_ms(),
                              tree.checkpoint.origin));
  report.checkpoint = tree.note;
  const review::Language language =
      options.language == "zh" ? review::Language::chinese : review::Language::english;
  if (options.format == "pdf") {
    TRY(const std::string pdf, review::report_pdf(report, language));
    CHECK_OK(put(options.output, pdf));
  } else {
    CHECK_OK(put(options.output, options.format == "json" ? review::report_json(report)
                                                          : review::report_html(report, language)));
  }
  fmt::print(stderr, "figures of {}{}: {}\n", report.month,
             report.month_over ? "" : ", which is not over", report.figures_sha256);
  return {};
}

Result<> show_key(const Options& options) {
  TRY(const std::string keys, read_file(DataFolder(options.data).audit_key(), kKeyBytesMax));
  fmt::print("{}", keys);
  return {};
}

int run(const Result<>& done) {
  if (done) {
    return kSuccess;
  }
  report(done.error());
  return done.error().code == Code::invalid_argument ? kUsage : kFailure;
}

void add_report(CLI::App& audit, const std::shared_ptr<Options>& options, int& status) {
  CLI::App* command = add_with_data(audit, "report", "Make the report of a month", options, status,
                                    [](const Options& given) { return run(show_report(given)); });
  command->add_option("--month", options->month, "Such as 2026-11, in UTC")->required();
  command->add_option("--language", options->language, "en or zh")
      ->check(CLI::IsMember({"en", "zh"}))
      ->capture_default_str();
  command->add_option("--format", options->format, "html, pdf or json")
      ->check(CLI::IsMember({"html", "pdf", "json"}))
      ->capture_default_str();
  command->add_option("-o,--output", options->output, "The file to write")->required();
}

}  // namespace

void add_audit_evidence(CLI::App& audit, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* export_command =
      add_with_data(audit, "export", "Write the records that fit, with proofs and signed", options,
                    status, [](const Options& given) {
                      const auto config = load_config_or_report(given.config);
                      return config ? run(write_export(given, *config)) : kUsage;
                    });
  add_filter(*export_command, options->filter);
  export_command->add_option("-o,--output", options->output, "The file to write")->required();
  CLI::App* receipt_command =
      add_with_data(audit, "receipt", "Make the receipt of a request", options, status,
                    [](const Options& given) { return run(show_receipt(given)); });
  receipt_command->add_option("REQUEST", options->request, "The request's id")->required();
  receipt_command->add_option("-o,--output", options->output,
                              "The file to write; else it is printed");
  add_report(audit, options, status);
  add_with_data(audit, "key", "Print the keys that check receipts, exports and checkpoints",
                options, status, [](const Options& given) { return run(show_key(given)); });
}

}  // namespace deepmoat::cli
