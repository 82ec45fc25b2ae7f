// The style sheet of the report's page: quiet, for the screen by day and night and for A4.
#pragma once

#include <string_view>

namespace deepmoat::review {

inline constexpr std::string_view kReportStyle = R"(:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1b232d; --quiet: #5c6774; --line: #d8dde3; --tint: #f4f6f8;
  --ok: #3f6184; --refused: #d09a3a; --failed: #b0484b; --cancelled: #aab4bf;
  --sans: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "PingFang SC",
    "Microsoft YaHei", "Noto Sans CJK SC", "WenQuanYi Micro Hei", sans-serif;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, "Songti SC",
    "Noto Serif CJK SC", SimSun, serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #dde3e9; --quiet: #98a3af; --line: #323a43; --tint: #1c2229;
    --ok: #7ea3c8; --refused: #d9aa55; --failed: #d5777a; --cancelled: #5d6873;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); font: 15px/1.55 var(--sans); }
html:lang(zh) { line-height: 1.7; }
body { max-width: 60rem; margin: 0 auto; padding: 3.5rem 2rem 5rem; overflow-wrap: anywhere; }
h1 { font: 400 2.1rem/1.25 var(--serif); margin: 0 0 1.6rem; }
h1 .month { display: block; font-size: 1.25rem; color: var(--quiet); margin-top: .3rem; }
h2 { font: 400 1.45rem/1.3 var(--serif); margin: 3.2rem 0 .7rem; padding-top: 1rem;
  border-top: 1px solid var(--ink); }
h3 { font-size: 1rem; font-weight: 600; margin: 0 0 .2rem; }
p { margin: 0 0 .6rem; max-width: 46rem; }
.quiet { color: var(--quiet); font-size: .9rem; }
.remark { border-left: 3px solid var(--refused); padding: .1rem 0 .1rem .8rem; }
.code, code, pre { font-family: var(--mono); }
.code { font-size: .85em; }
code { font-weight: 400; font-size: .9em; color: var(--quiet); margin-left: .4em; }
pre { background: var(--tint); font-size: .82rem; line-height: 1.55; margin: .5rem 0 1rem;
  padding: .6rem .8rem; white-space: pre-wrap; }
dl, dd { margin: 0; }
.facts { margin-bottom: 2rem; }
.facts div { display: grid; align-items: baseline; grid-template-columns: 12rem 1fr;
  gap: 1rem; padding: .12rem 0; }
.facts dt { color: var(--quiet); }
.numbers { display: grid; grid-template-columns: 1fr .9fr .9fr 1.3fr 1fr; gap: 0 1.5rem;
  border-top: 1px solid var(--ink); border-bottom: 1px solid var(--line); padding: 1rem 0; }
.numbers dt, .numbers span { display: block; color: var(--quiet); font-size: .85rem; }
.numbers strong { display: block; font-weight: 400; font-size: 1.6rem; line-height: 1.35; }
.numbers, .number { font-variant-numeric: tabular-nums lining-nums; }
.legend { max-width: none; }
.legend span { white-space: nowrap; margin-left: .8rem; }
.legend i { display: inline-block; width: .7rem; height: .7rem; margin-right: .35rem;
  vertical-align: -.05rem; }
i.ok { background: var(--ok); } rect.ok { fill: var(--ok); }
i.refused { background: var(--refused); } rect.refused { fill: var(--refused); }
i.failed { background: var(--failed); } rect.failed { fill: var(--failed); }
i.cancelled { background: var(--cancelled); } rect.cancelled { fill: var(--cancelled); }
.findings { list-style: none; margin: 1rem 0 0; padding: 0; }
.findings li { border-left: 3px solid var(--refused); padding: 0 0 0 1rem; margin: 0 0 1.6rem; }
.findings p { margin-bottom: .25rem; }
.findings pre { margin-bottom: 0; }
.table { overflow-x: auto; margin: 0 0 1.8rem; }
table { border-collapse: collapse; table-layout: fixed; width: 100%; min-width: 44rem;
  font-size: .88rem;
  line-height: 1.4; }
caption { text-align: left; font-weight: 600; font-size: .95rem; padding: .5rem 0 .3rem; }
th, td { text-align: left; vertical-align: baseline; padding: .38rem 1rem .38rem 0;
  font-weight: 400; border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--quiet); font-size: .82rem; vertical-align: bottom;
  border-bottom-color: var(--quiet); }
.number { text-align: right; }
.bar svg { display: block; width: 100%; height: .55rem; shape-rendering: crispEdges; }
.signature { display: grid; grid-template-columns: 2fr 1fr 2fr; gap: 2rem; margin-top: 3.5rem; }
.signature div { display: flex; flex-direction: column-reverse; }
.signature dd { border-bottom: 1px solid var(--ink); height: 1px; }
.signature dt { color: var(--quiet); font-size: .85rem; padding-top: .3rem; }
@media screen and (max-width: 46rem) {
  body { padding: 2rem 1rem 3rem; }
  .numbers { grid-template-columns: repeat(2, 1fr); gap: 1rem 1.5rem; }
  .facts div { grid-template-columns: 1fr; gap: 0; padding: .3rem 0; }
}
@media print {
  @page { size: A4; margin: 18mm 17mm; }
  :root {
    color-scheme: light;
    --paper: #fff; --ink: #000; --quiet: #4d5660; --line: #ccd2d8; --tint: #f4f6f8;
    --ok: #3f6184; --refused: #d09a3a; --failed: #b0484b; --cancelled: #aab4bf;
  }
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; }
  p { max-width: none; }
  .table { overflow: visible; }
  table { font-size: 7.8pt; min-width: 0; }
  th, td { padding-right: .6rem; }
  h2, h3, caption { break-after: avoid; }
  thead { display: table-header-group; }
  tr, .findings li, .numbers, .signature { break-inside: avoid; }
  svg, i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
)";

}  // namespace deepmoat::review
