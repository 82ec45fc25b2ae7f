#include "gateway/metrics.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "backend/replica_set.h"
#include "gateway/audit_admin.h"
#include "gateway/call.h"
#include "gateway/prometheus_text.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

namespace {

struct WorkerFigures {
  std::string model;
  std::string replica;
  backend::BackendStatus status;

  [[nodiscard]] MetricLabels labels() const { return {{"model", model}, {"replica", replica}}; }
};

std::vector<WorkerFigures> workers_of(const Services& services) {
  std::vector<WorkerFigures> list;
  for (const auto& model : services.models.all()) {
    std::size_t number = 0;
    for (backend::BackendStatus& status : model->backend->replicas()) {
      list.push_back({model->name.value(), std::to_string(number++), std::move(status)});
    }
  }
  return list;
}

using Value = std::function<double(const wire::Stats&)>;
using Of = std::function<const wire::Histogram&(const wire::Stats&)>;

struct Figure {
  const char* name;   // after "deepmoat_"
  const char* alias;  // vLLM's; empty: it has none
  const char* type;
  const char* help;
  Value value;
};

const std::vector<Figure>& figures() {
  using S = const wire::Stats&;
  static const std::vector<Figure> list = {
      {"running_calls", "vllm:num_requests_running", "gauge", "Calls that compute.",
       [](S s) { return s.running(); }},
      {"waiting_calls", "vllm:num_requests_waiting", "gauge", "Calls that wait for their turn.",
       [](S s) { return s.waiting(); }},
      {"cells_used", "", "gauge", "Tokens of KV memory that running calls hold.",
       [](S s) { return s.cells_used(); }},
      {"cells_total", "", "gauge", "Tokens that the KV memory holds.",
       [](S s) { return s.cells_total(); }},
      {"cells_cached", "", "gauge", "Tokens of KV memory that only finished calls hold.",
       [](S s) { return s.cells_cached(); }},
      {"cells_used_ratio", "vllm:kv_cache_usage_perc", "gauge",
       "Share of the KV memory that running calls hold; 1: all.",
       [](S s) { return s.cells_total() > 0 ? 1.0 * s.cells_used() / s.cells_total() : 0.0; }},
      {"prefix_query_tokens_total", "vllm:prefix_cache_queries_total", "counter",
       "Prompt tokens that were looked up in the prefix cache.",
       [](S s) { return s.prefix_queries(); }},
      {"prefix_hit_tokens_total", "vllm:prefix_cache_hits_total", "counter",
       "Prompt tokens that were found in the prefix cache.", [](S s) { return s.prefix_hits(); }},
      {"preemptions_total", "vllm:num_preemptions_total", "counter",
       "Calls that gave way to another.", [](S s) { return s.preemptions(); }},
      {"spills_total", "", "counter", "States moved to host memory.",
       [](S s) { return s.spills(); }},
      {"restores_total", "", "counter", "States taken back from host memory.",
       [](S s) { return s.restores(); }},
      {"spilled_bytes", "", "gauge", "Host memory of states, now.",
       [](S s) { return static_cast<double>(s.spilled_bytes()); }},
      {"steps_total", "", "counter", "Steps of the engine.", [](S s) { return s.steps(); }},
      {"prompt_tokens_computed_total", "", "counter", "Prompt tokens that were computed.",
       [](S s) { return s.prompt_tokens_computed(); }},
      {"prompt_tokens_cached_total", "", "counter", "Prompt tokens that were not.",
       [](S s) { return s.prompt_tokens_cached(); }},
      {"prompt_tokens_total", "vllm:prompt_tokens_total", "counter", "Prompt tokens in all.",
       [](S s) { return s.prompt_tokens_computed() + s.prompt_tokens_cached(); }},
      {"generated_tokens_total", "vllm:generation_tokens_total", "counter", "Answer tokens.",
       [](S s) { return s.tokens_generated(); }},
      {"worker_refused_total", "", "counter", "Calls that the worker refused.",
       [](S s) { return s.refused(); }},
  };
  return list;
}

struct Distribution {
  const char* name;
  const char* alias;
  const char* help;
  Of of;
};

const std::vector<Distribution>& distributions() {
  using S = const wire::Stats&;
  using H = const wire::Histogram&;
  static const std::vector<Distribution> list = {
      {"first_token_seconds", "vllm:time_to_first_token_seconds",
       "From a call's arrival to its first token.", [](S s) -> H { return s.first_token(); }},
      {"inter_token_seconds", "vllm:inter_token_latency_seconds",
       "Between two tokens of an answer.", [](S s) -> H { return s.inter_token(); }},
      {"queue_time_seconds", "vllm:request_queue_time_seconds",
       "From a call's arrival to its first step.", [](S s) -> H { return s.queue_time(); }},
  };
  return list;
}

void write_histogram(PrometheusText& text, const MetricLabels& labels, const wire::Histogram& of) {
  text.histogram(labels, {of.bounds().data(), static_cast<std::size_t>(of.bounds_size())},
                 {of.counts().data(), static_cast<std::size_t>(of.counts_size())}, of.sum_s());
}

void write_finished(PrometheusText& text, const wire::Stats& stats, const MetricLabels& labels) {
  for (const auto& [reason, count] :
       {std::pair("stop", stats.finished_stop()), std::pair("length", stats.finished_length()),
        std::pair("abort", stats.finished_cancelled())}) {
    MetricLabels with_reason = labels;
    with_reason.emplace_back("finished_reason", reason);
    text.sample(with_reason, count);
  }
}

void write_workers(PrometheusText& text, const std::vector<WorkerFigures>& workers) {
  for (const Figure& figure : figures()) {
    text.family(std::string("deepmoat_") + figure.name, figure.type, figure.help);
    for (const WorkerFigures& worker : workers) {
      text.sample(worker.labels(), figure.value(worker.status.stats));
    }
  }
  for (const Distribution& distribution : distributions()) {
    text.family(std::string("deepmoat_") + distribution.name, "histogram", distribution.help);
    for (const WorkerFigures& worker : workers) {
      write_histogram(text, worker.labels(), distribution.of(worker.status.stats));
    }
  }
  text.family("deepmoat_finished_total", "counter", "Choices that ended, by reason.");
  for (const WorkerFigures& worker : workers) {
    write_finished(text, worker.status.stats, worker.labels());
  }
  text.family("deepmoat_worker_ready", "gauge", "1: the worker answers calls.");
  for (const WorkerFigures& worker : workers) {
    text.sample(worker.labels(),
                std::uint64_t{worker.status.health == backend::Health::ready ? 1U : 0U});
  }
  text.family("deepmoat_worker_restarts_total", "counter", "Times the worker was started again.");
  for (const WorkerFigures& worker : workers) {
    text.sample(worker.labels(), worker.status.restarts);
  }
}

// For boards made for vLLM. All replicas of a model together, as vLLM knows no replicas.
void write_aliases(PrometheusText& text, const Services& services) {
  std::vector<std::pair<MetricLabels, wire::Stats>> models;
  for (const auto& model : services.models.all()) {
    models.emplace_back(MetricLabels{{"model_name", model->name.value()}},
                        backend::sum_of(model->backend->replicas()));
  }
  for (const Figure& figure : figures()) {
    if (*figure.alias != '\0') {
      text.family(figure.alias, figure.type, figure.help);
      for (const auto& [labels, stats] : models) {
        text.sample(labels, figure.value(stats));
      }
    }
  }
  for (const Distribution& distribution : distributions()) {
    text.family(distribution.alias, "histogram", distribution.help);
    for (const auto& [labels, stats] : models) {
      write_histogram(text, labels, distribution.of(stats));
    }
  }
  text.family("vllm:request_success_total", "counter", "Choices that ended, by reason.");
  for (const auto& [labels, stats] : models) {
    write_finished(text, stats, labels);
  }
}

void write_models(PrometheusText& text, const Services& services) {
  text.family("deepmoat_model_ready", "gauge", "1: the model answers calls.");
  for (const auto& model : services.models.all()) {
    const bool ready = model->backend->health() == backend::Health::ready;
    text.sample({{"model", model->name.value()}}, std::uint64_t{ready ? 1U : 0U});
  }
  if (services.fleet == nullptr) {
    return;
  }
  text.family("deepmoat_model_memory_bytes", "gauge", "Memory of all workers of the model.");
  std::vector<backend::ModelStatus> models;
  for (const auto& host : services.fleet->all()) {
    models.push_back(host->model_status());
    text.sample({{"model", models.back().name}}, models.back().memory_bytes);
  }
  text.family("deepmoat_model_loads_total", "counter", "Loads and swaps that came to a good end.");
  for (const backend::ModelStatus& model : models) {
    text.sample({{"model", model.name}}, model.loads);
  }
  text.family("deepmoat_memory_budget_bytes", "gauge", "What all workers may take together.");
  text.sample({}, services.fleet->budget_bytes());
}

// Names of the table of routes; one for each handler.
std::string route_name(std::size_t handler) {
  const auto found = std::ranges::find(routes(), handler, [](const Route& route) {
    return static_cast<std::size_t>(route.handler);
  });
  return found == routes().end() ? "unknown" : std::string(found->action);
}

// Records that no second place vouches for yet are those behind its newest checkpoint.
void write_checkpoints(const Services& services, PrometheusText& text) {
  if (services.audit_desk == nullptr) {
    return;
  }
  text.family("deepmoat_audit_records", "gauge", "Records in the audit log.");
  text.sample({}, services.audit_log.tree().size());
  text.family("deepmoat_audit_place_records", "gauge",
              "Records under the newest checkpoint that a second place has taken.");
  for (const audit::PlaceHealth& place : services.audit_desk->checkpointer.places()) {
    text.sample({{"place", place.place}}, place.size);
  }
}

void write_gateway(PrometheusText& text, const Services& services) {
  const auto& counts = services.metrics.routes();
  text.family("deepmoat_calls_total", "counter", "Calls that ended, by route and class of status.");
  for (std::size_t handler = 0; handler < counts.size(); ++handler) {
    for (std::size_t i = 0; i < Metrics::kStatusClasses; ++i) {
      const std::uint64_t count = counts[handler].by_class[i];
      if (count > 0) {
        text.sample({{"route", route_name(handler)}, {"status", std::to_string(i + 1) + "xx"}},
                    count);
      }
    }
  }
  text.family("deepmoat_call_seconds", "histogram", "From a request's head to its answer's end.");
  for (std::size_t handler = 0; handler < counts.size(); ++handler) {
    std::array<std::uint64_t, Metrics::kBoundsS.size() + 1> buckets{};
    std::ranges::copy(counts[handler].durations, buckets.begin());
    if (std::ranges::any_of(buckets, [](std::uint64_t count) { return count > 0; })) {
      text.histogram({{"route", route_name(handler)}}, Metrics::kBoundsS, buckets,
                     static_cast<double>(counts[handler].total_us) / 1e6);
    }
  }
  text.family("deepmoat_refused_total", "counter", "Calls that ended in an error, by its code.");
  for (const auto& [code, count] : services.metrics.refused()) {
    text.sample({{"code", code}}, count);
  }
  text.family("deepmoat_calls_in_flight", "gauge", "Calls to models that have not ended.");
  text.sample({}, std::uint64_t{services.ledger.running()});
  if (services.open_connections) {
    text.family("deepmoat_connections", "gauge", "Open connections.");
    text.sample({}, services.open_connections());
  }
  text.family("deepmoat_audit_log_healthy", "gauge", "1: the audit log takes records.");
  text.sample({}, std::uint64_t{services.audit_log.healthy() ? 1U : 0U});
  write_checkpoints(services, text);
}

}  // namespace

void Metrics::count(const Route* route, int status, std::string_view code, MonoNanos took_ns) {
  const std::size_t handler =
      route != nullptr ? static_cast<std::size_t>(route->handler) : kRoutes - 1;
  Counts& counts = routes_[std::min(handler, kRoutes - 1)];
  ++counts.by_class[static_cast<std::size_t>(std::clamp(status / 100, 1, 5) - 1)];
  const double took_s = static_cast<double>(took_ns) / 1e9;
  const auto bucket = std::ranges::lower_bound(kBoundsS, took_s) - kBoundsS.begin();
  ++counts.durations[static_cast<std::size_t>(bucket)];
  counts.total_us += static_cast<std::uint64_t>(std::max<MonoNanos>(took_ns, 0) / 1000);
  if (code.empty()) {
    return;
  }
  const std::lock_guard lock(mutex_);
  const auto found = refused_.find(code);
  if (found != refused_.end()) {
    ++found->second;
  } else {
    ++refused_[refused_.size() < kCodesMax ? std::string(code) : "other"];
  }
}

std::map<std::string, std::uint64_t> Metrics::refused() const {
  const std::lock_guard lock(mutex_);
  return {refused_.begin(), refused_.end()};
}

bool metrics_open_to(const ReceivedCall& call, const Services& services) {
  return services.config.get()->metrics.open_on_loopback &&
         (call.local_uid || call.address == "::1" || call.address.starts_with("127."));
}

Response answer_metrics(const Services& services) {
  PrometheusText text;
  write_gateway(text, services);
  write_models(text, services);
  write_workers(text, workers_of(services));
  if (services.config.get()->metrics.vllm_names) {
    write_aliases(text, services);
  }
  return {.body = text.take(), .content_type = "text/plain; version=0.0.4; charset=utf-8"};
}

}  // namespace deepmoat::gateway
