#include "gateway/prometheus_text.h"

#include <fmt/format.h>

namespace deepmoat::gateway {

namespace {

std::string escaped(std::string_view value) {
  std::string made;
  for (const char c : value) {
    switch (c) {
      case '\\':
        made += "\\\\";
        break;
      case '"':
        made += "\\\"";
        break;
      case '\n':
        made += "\\n";
        break;
      default:
        made += c;
    }
  }
  return made;
}

}  // namespace

void PrometheusText::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void PrometheusText::sample(const MetricLabels& labels, double value) {
  line("", labels, fmt::format("{}", value));
}

void PrometheusText::sample(const MetricLabels& labels, std::uint64_t value) {
  line("", labels, std::to_string(value));
}

void PrometheusText::histogram(const MetricLabels& labels, std::span<const double> bounds,
                               std::span<const std::uint64_t> counts, double sum) {
  if (counts.size() != bounds.size() + 1) {
    return;  // nothing was measured yet
  }
  std::uint64_t total = 0;
  MetricLabels with_bound = labels;
  with_bound.emplace_back("le", "");
  for (std::size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    with_bound.back().second = i < bounds.size() ? fmt::format("{}", bounds[i]) : "+Inf";
    line("_bucket", with_bound, std::to_string(total));
  }
  line("_sum", labels, fmt::format("{}", sum));
  line("_count", labels, std::to_string(total));
}

void PrometheusText::line(std::string_view suffix, const MetricLabels& labels,
                          std::string_view value) {
  text_ += name_;
  text_ += suffix;
  char before = '{';
  for (const auto& [name, content] : labels) {
    text_ += fmt::format("{}{}=\"{}\"", before, name, escaped(content));
    before = ',';
  }
  text_ += labels.empty() ? " " : "} ";
  text_ += value;
  text_ += '\n';
}

}  // namespace deepmoat::gateway
