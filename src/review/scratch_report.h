// For tests: the month of a hospital, and a month in which every text tries to break out.
#pragma once

#include <string>

#include "review/report.h"

namespace deepmoat::review {

inline constexpr UnixMillis kNovember2026 = 1'793'491'200'000;  // 1 November 2026, 00:00 UTC

inline UnixMillis november(int day, int hour, int minute, int second = 0) {
  return kNovember2026 + (day - 1) * kDayMs +
         ((static_cast<std::int64_t>(hour) * 60 + minute) * 60 + second) * 1000;
}

inline MonthlyReport empty_month() {
  MonthlyReport report;
  report.origin = "deepmoat/5f0c9a1e77b2d340";
  report.month = "2026-11";
  report.from_ms = kNovember2026;
  report.until_ms = kNovember2026 + 30 * kDayMs;
  report.made_ms = november(31, 6, 5);
  report.month_over = true;
  return report;
}

inline void add_hospital_calls(MonthlyReport& report) {
  report.tenants = {{"radiology", 48210, 312, 41, 520, 61204118, 9120455},
                    {"emergency", 31877, 95, 12, 301, 28411909, 6018220},
                    {"oncology", 22904, 61, 9, 118, 40118732, 5230811},
                    {"病案科", 9120, 14, 2, 33, 18220114, 2101990},
                    {"administration", 4011, 388, 0, 12, 3120554, 880123},
                    {std::string(kNoName), 216, 216, 0, 0, 0, 0}};
  report.models = {{"qwen3-32b-instruct", 81204, 540, 52, 810, 120118004, 18220114},
                   {"deepseek-r1-distill-70b", 27310, 218, 12, 160, 28119331, 4900211},
                   {"bge-m3", 7608, 112, 0, 14, 2838092, 231274},
                   {std::string(kNoName), 216, 216, 0, 0, 0, 0}};
  report.data_classes = {{"internal", 20119, 402, 8, 140, 19220331, 3011208},
                         {"sensitive", 70316, 301, 40, 620, 90118004, 14220118},
                         {"restricted", 25687, 167, 16, 224, 41737092, 6120273},
                         {"public", 216, 216, 0, 0, 0, 0}};
  report.routes = {{"local", 114980, 870, 60, 970, 150100000, 23200000},
                   {"group-datacentre", 1142, 0, 4, 14, 975427, 151599},
                   {std::string(kNoName), 216, 216, 0, 0, 0, 0}};
  report.egress = {{"group-datacentre", "internal", "administration", 811, 2410331},
                   {"group-datacentre", "internal", "radiology", 331, 801442}};
  report.refusals = {{"rate_limit_exceeded", 511, 9, 7},
                     {"permission_denied", 204, 6, 5},
                     {"invalid_api_key", 180, 0, 3},
                     {"key_expired", 115, 2, 2},
                     {"address_not_allowed", 76, 1, 4}};
}

inline void add_hospital_events(MonthlyReport& report) {
  report.changes = {{november(2, 8, 12, 45), 1204, "key.create", "k_7d1f02a9c4", "radiology",
                     "alice", "success", "role=user models=qwen3-32b-instruct days=90"},
                    {november(2, 8, 20, 3), 1211, "person.create", "default/zhang.wei", "default",
                     "alice", "success", ""},
                    {november(5, 14, 2, 10), 40122, "approval.approve", "ap_93b1", "default",
                     "zhang.wei", "success", "two persons: person.change"},
                    {november(9, 23, 41, 57), 77210, "tenant.change", "administration", "default",
                     "local:0", "success", "requests_per_minute=120"},
                    {november(12, 9, 0, 31), 98011, "key.leak", "k_2290cc10f1", "oncology", "alice",
                     "success", "found in a public repository"},
                    {november(12, 9, 4, 12), 98040, "key.create", "k_aa18d0e771", "oncology",
                     "alice", "refused", "two_persons_required"},
                    {november(20, 10, 30, 0), 151200, "certificate.issue", "gateway-b", "default",
                     "zhang.wei", "success", ""},
                    {november(27, 16, 45, 9), 201933, "webhook.add", "soc-alerts", "default",
                     "alice", "success", "https://soc.hospital.example/hooks/deepmoat"}};
  report.anomalies = {{AnomalyKind::leaked_key, 1, "k_2290cc10f1", november(12, 9, 0, 31), 98011},
                      {AnomalyKind::new_address, 2, "k_7d1f02a9c4", november(18, 2, 11), 140551},
                      {AnomalyKind::refusal_burst, 180, "10.20.7.93", november(21, 3, 5), 160220},
                      {AnomalyKind::call_surge, 9120, "administration", november(24, 0, 0), 177301},
                      {AnomalyKind::night_administration, 1, "local:0", november(9, 23, 41), 77210},
                      {AnomalyKind::clock_step, 1, "backward", november(10, 0, 2), 77352},
                      {AnomalyKind::unfinished_calls, 3, "radiology", november(10, 0, 1), 77340}};
}

// With Chinese names in it in either language, as such a hospital has them.
inline MonthlyReport hospital_month() {
  MonthlyReport report = empty_month();
  report.first_sequence = 1188;
  report.last_sequence = 233864;
  report.records = 232677;
  add_hospital_calls(report);
  add_hospital_events(report);
  report.checkpoint =
      "deepmoat/5f0c9a1e77b2d340\n233901\n1TzSbnCPPYaBMYIXdnZKBZfYRvT1MuGRcZp4ZgMVWsI=\n"
      "sm3 mDgk8xFfMmQLqJX0Vn1YpEJ7hF6rKQmRcqGkJ1wV0uY=\n\n"
      "— deepmoat/5f0c9a1e77b2d340 3p0mPqJ1cZ0b2sT9Qd1Xw5uK7yH4nV8eR6aL0gF2iB9tC3xM5oW1kS7jD4hU8"
      "zY6vN2rE0qA9lG3fP5bI1dJ7mKc\n";
  report.figures_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
  return report;
}

inline void sign(MonthlyReport& report) {
  report.sign_offs = {{"zhang.wei", november(31, 8, 30), report.figures_sha256,
                       "已核对外发清单；k_7d1f02a9c4 的新地址为新院区网络。"},
                      {"m.keller", november(31, 7, 2),
                       "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
                       "Signed before the last records were in."}};
}

// `text` in every field that takes one.
inline MonthlyReport month_of(const std::string& text) {
  MonthlyReport report = hospital_month();
  report.origin = report.month = report.figures_sha256 = report.checkpoint = text;
  for (auto* counts : {&report.tenants, &report.models, &report.data_classes, &report.routes}) {
    *counts = {{text, 7, 1, 1, 1, 1, 1}};
  }
  report.egress = {{text, text, text, 1, 1}};
  report.refusals = {{text, 1, 1, 1}};
  report.changes = {{kNovember2026, 1, text, text, text, text, text, text}};
  for (Anomaly& anomaly : report.anomalies) {
    anomaly.subject = text;
  }
  report.sign_offs = {{text, kNovember2026, text + "!", text}};
  return report;
}

// What takes part in other people's mark-up, and what turns a line around.
inline const std::string kHostile[] = {"<script>alert(1)</script>",
                                       "\"><img src=x onerror=alert(1)>",
                                       "' onmouseover='alert(1)",
                                       "x\" onmouseover=\"alert(1)",
                                       "</pre></style><!--",
                                       "&lt;b&gt;&amp;",
                                       "<b>{}%s\\n</b>"};

}  // namespace deepmoat::review
