// The table of all texts of the monthly report, one row a text: English, Chinese.
#include <array>

#include "review/report_text.h"

namespace deepmoat::review {

namespace {

struct Row {
  Word word;
  std::string_view english;
  std::string_view chinese;
};

constexpr std::array kRows{
    Row{Word::title, "Monthly audit report", "审计月报"},
    Row{Word::month_open, "The month is not over: these are the figures so far.",
        "本月尚未结束，以下为截至生成时的数据。"},
    Row{Word::date_range, "{} to {} UTC, the end not included", "{} 至 {}（UTC，不含终点）"},
    Row{Word::date_long, "{day} {month_name} {year}", "{year} 年 {month} 月 {day} 日"},
    Row{Word::moment, "{}, {:02}:{:02} UTC", "{} {:02}:{:02}（UTC）"},
    Row{Word::none, "none", "无"},
    Row{Word::unnamed, "(none)", "（无）"},
    Row{Word::others, "(others)", "（其他）"},
    Row{Word::fact_log, "Log", "日志"},
    Row{Word::fact_period, "Period", "统计期间"},
    Row{Word::fact_records, "Records", "记录"},
    Row{Word::fact_made, "Made", "生成时间"},
    Row{Word::fact_checkpoint, "Checkpoint", "检查点"},
    Row{Word::fact_digest, "SHA-256 of the figures", "数据的 SHA-256"},
    Row{Word::records_span, "{}, sequences {} to {}", "{} 条，序号 {} 至 {}"},
    Row{Word::checkpoint_size, "covers the first {} records of the log", "覆盖日志的前 {} 条记录"},

    Row{Word::number_calls, "Calls", "调用"},
    Row{Word::number_refused, "Refused", "被拒绝"},
    Row{Word::number_failed, "Failed", "失败"},
    Row{Word::number_tokens, "Tokens", "Token"},
    Row{Word::number_egress, "Left the building", "外发"},
    Row{Word::share_of_calls, "{} of the calls", "占调用的 {}"},
    Row{Word::cancelled_detail, "{} cancelled", "{} 次已取消"},
    Row{Word::tokens_detail, "{} in, {} out", "输入 {}，输出 {}"},
    Row{Word::egress_detail, "calls, {} sent", "次调用，共 {}"},

    Row{Word::anomalies, "What to look at", "需要核查的情况"},
    Row{Word::anomalies_lead,
        "Counted by fixed rules from the log. None of them proves misuse; each is a reason to "
        "look.",
        "以下由固定规则从日志中统计得出，本身不能证明存在滥用，但都应当核查。"},
    Row{Word::anomalies_none, "The rules found nothing unusual in this month.",
        "本月按规则未发现异常。"},
    Row{Word::anomaly_others, "{} more of this kind are not listed here.",
        "另有 {} 项同类情况未在此列出。"},
    Row{Word::clock_forward, "first time: forward", "首次为拨快"},
    Row{Word::clock_backward, "first time: backward", "首次为拨慢"},
    Row{Word::first_seen, "First on {}, sequence {}", "首次出现：{}，序号 {}"},

    Row{Word::calls, "Calls", "调用情况"},
    Row{Word::calls_lead,
        "The bars compare the rows of one table. Colours:", "条形长度在同一表内可比。颜色："},
    Row{Word::calls_none, "There were no calls in this month.", "本月没有调用。"},
    Row{Word::by_tenant, "By tenant", "按租户"},
    Row{Word::by_model, "By model", "按模型"},
    Row{Word::by_data_class, "By data class", "按数据级别"},
    Row{Word::by_route, "By route", "按去向"},
    Row{Word::tenant, "Tenant", "租户"},
    Row{Word::model, "Model", "模型"},
    Row{Word::data_class, "Data class", "数据级别"},
    Row{Word::route, "Route", "去向"},
    Row{Word::succeeded, "Succeeded", "成功"},
    Row{Word::refused, "Refused", "被拒绝"},
    Row{Word::failed, "Failed", "失败"},
    Row{Word::cancelled, "Cancelled", "已取消"},
    Row{Word::pending, "Pending", "未完成"},
    Row{Word::outcomes, "Outcomes", "结果分布"},
    Row{Word::tokens_in, "Tokens in", "输入 Token"},
    Row{Word::tokens_out, "Tokens out", "输出 Token"},

    Row{Word::egress, "What left the building", "数据外发"},
    Row{Word::egress_lead, "Calls that were answered on a route other than “local”.",
        "由 local 以外的去向应答的调用。"},
    Row{Word::egress_none, "Nothing left the building: no call was answered outside.",
        "本月没有数据外发：没有调用由外部应答。"},
    Row{Word::bytes_out, "Bytes out", "外发字节数"},

    Row{Word::refusals, "Refusals", "拒绝情况"},
    Row{Word::refusals_lead,
        "By error code. Many keys or many addresses behind one code are worth "
        "a look.",
        "按错误码统计。同一错误码涉及多个密钥或多个地址时，宜进一步核查。"},
    Row{Word::refusals_none, "No call was refused.", "本月没有调用被拒绝。"},
    Row{Word::reason, "Reason", "原因"},
    Row{Word::count, "Count", "次数"},
    Row{Word::different_keys, "Different keys", "涉及密钥数"},
    Row{Word::different_addresses, "Different addresses", "涉及地址数"},

    Row{Word::changes, "Keys and administration", "密钥与管理操作"},
    Row{Word::changes_lead,
        "Changes of keys, people, tenants, policies, holds, approvals, "
        "certificates and webhooks.",
        "对密钥、人员、租户、策略、保全、审批、证书和 webhook 的变更。"},
    Row{Word::changes_none, "Nothing was changed by administration in this month.",
        "本月没有管理变更。"},
    Row{Word::changes_left_out,
        "{} later changes are not shown here; the log has all of them: deepmoat audit query",
        "另有 {} 项更晚的变更未在此列出；日志中保存有全部记录，查询命令：deepmoat audit query"},
    Row{Word::time_utc, "Time (UTC)", "时间（UTC）"},
    Row{Word::sequence, "Sequence", "序号"},
    Row{Word::action, "Action", "操作"},
    Row{Word::resource, "Resource", "对象"},
    Row{Word::operator_id, "By", "操作者"},
    Row{Word::outcome, "Outcome", "结果"},

    Row{Word::verification, "Checkpoint and verification", "检查点与校验"},
    Row{Word::checkpoint_lead,
        "The figures rest on this signed checkpoint. Compare it with a copy that was kept "
        "elsewhere.",
        "本报告的数据以下列签名检查点为依据，请与保存在别处的副本核对。"},
    Row{Word::checkpoint_none,
        "No signed checkpoint stands behind these figures: only the log's own chain does.",
        "本报告没有签名检查点作为依据，仅由日志自身的杂凑链保证。"},
    Row{Word::checkpoint_short,
        "The checkpoint covers the log up to sequence {}, but the month goes up to {}: make the "
        "report again before signing.",
        "检查点只覆盖到序号 {}，而本月记录到序号 {}：请重新生成报告后再签核。"},
    Row{Word::checkpoint_text, "Checkpoint", "检查点原文"},
    Row{Word::verify_lead,
        "On the server, this reads the whole log and says whether a record was altered, removed or "
        "inserted:",
        "在服务器上执行以下命令，将通读整个日志，并指出是否有记录被篡改、删除或插入："},
    Row{Word::verify_again,
        "A report that is made again from an intact log has the same SHA-256 of the figures.",
        "只要日志完好，重新生成的报告，其数据的 SHA-256 不变。"},

    Row{Word::sign_offs, "Sign-off", "签核"},
    Row{Word::sign_offs_lead,
        "Who has read these figures. A sign-off holds for the figures with the SHA-256 that it "
        "names.",
        "下列人员已审阅本报告。签核仅对其所载 SHA-256 对应的数据有效。"},
    Row{Word::sign_offs_none, "Nobody has signed off these figures yet.", "尚无人签核。"},
    Row{Word::sign_how, "To sign off, read the report and then, signed in as an auditor, run:",
        "签核方法：审阅本报告后，以审计员身份执行："},
    Row{Word::sign_later, "Sign off when the month is over: its figures will still change.",
        "本月结束后再签核：此前数据仍会变化。"},
    Row{Word::reviewer, "Reviewer", "签核人"},
    Row{Word::signed_figures, "Signed figures", "所签数据"},
    Row{Word::note, "Note", "意见"},
    Row{Word::these_figures, "these figures", "本报告数据"},
    Row{Word::other_figures, "other figures: {}", "其他数据：{}"},
    Row{Word::paper_name, "Name", "姓名"},
    Row{Word::paper_date, "Date", "日期"},
    Row{Word::paper_signature, "Signature", "签字"},
};

constexpr bool every_word_has_its_row() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].word) != i || kRows[i].english.empty() ||
        kRows[i].chinese.empty()) {
      return false;
    }
  }
  return kRows.size() == static_cast<std::size_t>(Word::end_);
}
static_assert(every_word_has_its_row(), "one row a Word, in the order of the enum");

}  // namespace

std::string_view words(Word word, Language language) {
  const Row& row = kRows[static_cast<std::size_t>(word)];
  return language == Language::chinese ? row.chinese : row.english;
}

}  // namespace deepmoat::review
