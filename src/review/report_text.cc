#include "review/report_text.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <optional>

namespace deepmoat::review {

namespace {

constexpr std::array<std::string_view, 12> kMonths{"January",   "February", "March",    "April",
                                                   "May",       "June",     "July",     "August",
                                                   "September", "October",  "November", "December"};

std::tm utc_time(UnixMillis unix_ms) {
  std::int64_t seconds = unix_ms / 1000;
  if (unix_ms % 1000 < 0) {
    --seconds;
  }
  const std::time_t time = seconds;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  return parts;
}

// tm_year counts from 1900; a hostile time may lie beyond what an int holds after the sum.
std::int64_t year_of(const std::tm& parts) {
  return std::int64_t{1900} + parts.tm_year;
}

std::string date_text(const std::tm& parts, Language language) {
  return fill(Word::date_long, language, fmt::arg("year", year_of(parts)),
              fmt::arg("month", parts.tm_mon + 1),
              fmt::arg("month_name", kMonths[static_cast<std::size_t>(parts.tm_mon)]),
              fmt::arg("day", parts.tm_mday));
}

// A tenth of a unit, cut: 3,250,000 in millions is 3.2.
std::string tenths_text(std::uint64_t number, std::uint64_t unit) {
  return fmt::format("{}.{}", number_text(number / unit), number % unit / (unit / 10));
}

// What an anomaly is called; `one` and `many` say what was counted, as a phrase for the sentence.
struct AnomalyWords {
  std::string_view heading;
  std::string_view sentence;
  std::string_view advice;
  std::string_view one;
  std::string_view many;
};

AnomalyWords english_words(AnomalyKind kind) {
  switch (kind) {
    case AnomalyKind::unfinished_calls:
      return {"Calls without a result", "{} began, and no result was recorded.",
              "They were running when the server stopped, or are running now. Compare their times "
              "with the restarts of the server; find out about any that fit neither.",
              "1 call", "{} calls"};
    case AnomalyKind::new_address:
      return {
          "Key used from a new address",
          "The key was used from {} that it had not been used from in the 30 days before.",
          "Ask the key's owner whether a machine or the network has changed. If not, revoke the "
          "key.",
          "1 address", "{} addresses"};
    case AnomalyKind::refusal_burst:
      return {"Burst of refusals",
              "This address was refused {}, with 20 or more refusals within one minute.",
              "See which keys were tried. A single key points to a client that is set up wrongly; "
              "many keys point to somebody who is guessing.",
              "once", "{} times"};
    case AnomalyKind::call_surge:
      return {"Surge of calls", "The tenant made {} in one day, over 5 times its median day.",
              "Ask the tenant whether a batch job or a new application explains it, and see which "
              "keys and models the calls used.",
              "1 call", "{} calls"};
    case AnomalyKind::night_administration:
      return {"Administration at night", "{} fell between 22:00 and 06:00 UTC.",
              "Compare with the planned work, and have the administrator confirm each change.",
              "1 change", "{} changes"};
    case AnomalyKind::clock_step:
      return {"Clock set", "The server's clock was set by more than an hour, {}.",
              "Times before and after it cannot be compared; the sequence of the records still "
              "holds. Find out who set the clock, and why.",
              "once", "{} times"};
    case AnomalyKind::leaked_key:
      return {"Leaked key", "The key was reported as leaked, {}.",
              "Read the incident record, and check what the key was used for before it was "
              "revoked.",
              "once", "{} times"};
  }
  return {};
}

AnomalyWords chinese_words(AnomalyKind kind) {
  switch (kind) {
    case AnomalyKind::unfinished_calls:
      return {"未完成的调用", "有 {} 次调用只有开始记录，没有结果记录。",
              "这些调用在服务器停止时正在进行，或现在仍在进行。请与服务器的重启时间核对；"
              "两者都不符的，应查明原因。",
              "1", "{}"};
    case AnomalyKind::new_address:
      return {"密钥从新地址使用", "该密钥在 {} 个新地址上使用过，此前 30 天内未从这些地址使用。",
              "请向密钥持有者核实是否更换了机器或网络；如果没有，应吊销该密钥。", "1", "{}"};
    case AnomalyKind::refusal_burst:
      return {"短时间内大量拒绝", "该地址被拒绝 {} 次，其中一分钟之内达到或超过 20 次。",
              "请查看该地址尝试过哪些密钥：只有一个密钥，多为客户端配置有误；"
              "密钥很多，则可能有人在猜测密钥。",
              "1", "{}"};
    case AnomalyKind::call_surge:
      return {"调用量激增", "该租户一天之内调用 {} 次，超过其日调用量中位数的 5 倍。",
              "请向该租户核实是否有批处理任务或新上线的应用，并查看这些调用使用了哪些密钥和模型。",
              "1", "{}"};
    case AnomalyKind::night_administration:
      return {"夜间管理操作", "有 {} 次变更发生在 22:00 至次日 06:00（UTC）之间。",
              "请与变更计划核对，并请该管理员逐项确认。", "1", "{}"};
    case AnomalyKind::clock_step:
      return {"时钟被调整", "服务器时钟被调整超过一小时，共 {} 次。",
              "调整前后的时间不可直接比较，先后次序以记录序号为准。请查明由谁调整、原因为何。", "1",
              "{}"};
    case AnomalyKind::leaked_key:
      return {"密钥泄露", "该密钥被报告泄露，共 {} 次。",
              "请查阅事件记录，并核对该密钥在吊销之前的使用情况。", "1", "{}"};
  }
  return {};
}

// The index counts what it does not list one by one under this name.
bool stands_for_others(const Anomaly& anomaly) {
  return anomaly.subject == kOthers;
}

bool is_plain_argument(std::string_view text) {
  constexpr std::string_view kPunctuation = "._:/@-";
  const auto plain = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kPunctuation.contains(c);
  };
  return !text.empty() && text.front() != '-' && std::ranges::all_of(text, plain);
}

// Which flag of the query the subject belongs to; empty: to none.
std::string_view subject_flag(AnomalyKind kind) {
  switch (kind) {
    case AnomalyKind::new_address:
    case AnomalyKind::leaked_key:
      return "--key";
    case AnomalyKind::refusal_burst:
      return "--ip";
    case AnomalyKind::unfinished_calls:
    case AnomalyKind::call_surge:
      return "--tenant";
    case AnomalyKind::night_administration:
      return "--operator";
    case AnomalyKind::clock_step:
      return "";
  }
  return "";
}

// The outcome that all records of such an anomaly have; empty: they differ.
std::string_view common_outcome(AnomalyKind kind) {
  if (kind == AnomalyKind::unfinished_calls) {
    return "pending";
  }
  return kind == AnomalyKind::refusal_burst ? "refused" : "";
}

}  // namespace

std::string_view language_tag(Language language) {
  return language == Language::chinese ? "zh-CN" : "en";
}

std::string number_text(std::uint64_t number) {
  std::string text = fmt::format_int(number).str();
  for (std::size_t at = text.size(); at > 3;) {
    at -= 3;
    text.insert(at, ",");
  }
  return text;
}

std::string short_number_text(std::uint64_t number, Language language) {
  constexpr std::uint64_t kMillion = 1'000'000;
  if (number < 10 * kMillion) {
    return number_text(number);
  }
  if (language == Language::english) {
    return number < 10'000 * kMillion ? tenths_text(number, kMillion) + " M"
                                      : tenths_text(number, 1000 * kMillion) + " G";
  }
  constexpr std::uint64_t kTenThousand = 10'000;
  constexpr std::uint64_t kHundredMillion = 100 * kMillion;
  if (number < kHundredMillion) {
    return number_text(number / kTenThousand) + " 万";
  }
  return fmt::format("{}.{:02} 亿", number_text(number / kHundredMillion),
                     number % kHundredMillion / kMillion);
}

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 1000) {
    return fmt::format("{} B", bytes);
  }
  constexpr std::array<std::string_view, 6> kUnits{"kB", "MB", "GB", "TB", "PB", "EB"};
  std::uint64_t unit = 1000;
  std::size_t at = 0;
  while (at + 1 < kUnits.size() && bytes / unit >= 1000) {
    unit *= 1000;
    ++at;
  }
  return fmt::format("{} {}", tenths_text(bytes, unit), kUnits[at]);
}

std::string share_text(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) {
    return "";
  }
  const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  if (part > 0 && percent < 0.1) {
    return "<0.1%";
  }
  return fmt::format("{:.1f}%", percent);
}

bool is_month(std::string_view month) {
  const auto digit = [&](std::size_t at) { return month[at] >= '0' && month[at] <= '9'; };
  return month.size() == 7 && digit(0) && digit(1) && digit(2) && digit(3) && month[4] == '-' &&
         ((month[5] == '0' && month[6] >= '1' && month[6] <= '9') ||
          (month[5] == '1' && month[6] >= '0' && month[6] <= '2'));
}

std::string month_text(std::string_view month, Language language) {
  if (!is_month(month)) {
    return std::string(month);
  }
  const int number = (month[5] - '0') * 10 + (month[6] - '0');
  const std::string_view year = month.substr(0, 4);
  if (language == Language::chinese) {
    return fmt::format("{} 年 {} 月", year, number);
  }
  return fmt::format("{} {}", kMonths[static_cast<std::size_t>(number - 1)], year);
}

std::string moment_text(UnixMillis unix_ms, Language language) {
  const std::tm parts = utc_time(unix_ms);
  return fill(Word::moment, language, date_text(parts, language), parts.tm_hour, parts.tm_min);
}

std::string period_text(UnixMillis from_ms, UnixMillis until_ms, Language language) {
  const auto end_text = [&](UnixMillis unix_ms) {
    const std::tm parts = utc_time(unix_ms);
    const std::string date = date_text(parts, language);
    if (from_ms % kDayMs == 0 && until_ms % kDayMs == 0) {
      return date;
    }
    return fmt::format("{} {:02}:{:02}", date, parts.tm_hour, parts.tm_min);
  };
  return fill(Word::date_range, language, end_text(from_ms), end_text(until_ms));
}

std::string stamp_text(UnixMillis unix_ms) {
  const std::tm parts = utc_time(unix_ms);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", year_of(parts), parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string iso_text(UnixMillis unix_ms) {
  std::string text = stamp_text(unix_ms);
  std::ranges::replace(text, ' ', 'T');
  return text + "Z";
}

std::string outcome_text(std::string_view outcome, Language language) {
  constexpr std::array<std::pair<std::string_view, Word>, 5> kOutcomes{
      {{"pending", Word::pending},
       {"success", Word::succeeded},
       {"refused", Word::refused},
       {"failed", Word::failed},
       {"cancelled", Word::cancelled}}};
  for (const auto& [name, word] : kOutcomes) {
    if (outcome == name) {
      return std::string(words(word, language));
    }
  }
  return std::string(outcome);
}

std::string data_class_text(std::string_view data_class, Language language) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kChinese{
      {{"public", "公开"}, {"internal", "内部"}, {"sensitive", "敏感"}, {"restricted", "受限"}}};
  if (language == Language::chinese) {
    for (const auto& [name, chinese] : kChinese) {
      if (data_class == name) {
        return fmt::format("{}（{}）", chinese, name);
      }
    }
  }
  return std::string(data_class);
}

AnomalyText anomaly_text(const Anomaly& anomaly, Language language) {
  const AnomalyWords found =
      language == Language::chinese ? chinese_words(anomaly.kind) : english_words(anomaly.kind);
  AnomalyText text{.heading = std::string(found.heading), .advice = std::string(found.advice)};
  const std::string number = number_text(anomaly.count);
  if (stands_for_others(anomaly)) {
    text.sentence = fill(Word::anomaly_others, language, number);
    return text;
  }
  text.subject = anomaly.subject;
  if (anomaly.kind == AnomalyKind::clock_step && anomaly.subject == "forward") {
    text.subject = words(Word::clock_forward, language);
  } else if (anomaly.kind == AnomalyKind::clock_step && anomaly.subject == "backward") {
    text.subject = words(Word::clock_backward, language);
  }
  const std::string counted =
      anomaly.count == 1 ? std::string(found.one) : fmt::format(fmt::runtime(found.many), number);
  text.sentence = fmt::format(fmt::runtime(found.sentence), counted);
  return text;
}

std::string anomaly_command(const Anomaly& anomaly) {
  std::string command = "deepmoat audit query";
  const std::string_view flag = subject_flag(anomaly.kind);
  if (!flag.empty() && is_plain_argument(anomaly.subject)) {
    command += fmt::format(" {} {}", flag, anomaly.subject);
  }
  const std::string_view outcome = common_outcome(anomaly.kind);
  if (!outcome.empty()) {
    command += fmt::format(" --outcome {}", outcome);
  }
  // What follows that sequence: the first record itself is among it.
  return command +
         fmt::format(" --after {}", anomaly.first_sequence - (anomaly.first_sequence > 0 ? 1 : 0));
}

}  // namespace deepmoat::review
