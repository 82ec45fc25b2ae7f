// Prometheus' text format 0.0.4: families of samples, one after the other. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deepmoat::gateway {

using MetricLabels = std::vector<std::pair<std::string_view, std::string>>;

class PrometheusText {
 public:
  // Begins a family; its samples follow. `type`: counter, gauge or histogram.
  void family(std::string_view name, std::string_view type, std::string_view help);
  void sample(const MetricLabels& labels, double value);
  void sample(const MetricLabels& labels, std::uint64_t value);
  // `counts` has one bucket more than `bounds`, and is not cumulative.
  void histogram(const MetricLabels& labels, std::span<const double> bounds,
                 std::span<const std::uint64_t> counts, double sum);

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void line(std::string_view suffix, const MetricLabels& labels, std::string_view value);

  std::string text_;
  std::string name_;
};

}  // namespace deepmoat::gateway
