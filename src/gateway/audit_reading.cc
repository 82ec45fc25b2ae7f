#include "gateway/audit_reading.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "audit/record_json.h"
#include "gateway/audit_admin.h"
#include "review/csv.h"

namespace deepmoat::gateway {

namespace {

wire::OrRefusal<std::uint64_t> number_of(const std::string& name, const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() ||
      number > std::numeric_limits<std::int64_t>::max()) {
    return std::unexpected(wire::invalid(name, name + ": write a number"));
  }
  return number;
}

template <class T>
wire::OrRefusal<T> or_field_refusal(Result<T> result) {
  if (!result) {
    return std::unexpected(wire::to_field_refusal(result.error()));
  }
  return *std::move(result);
}

struct Page {
  review::Filter filter;
  bool csv = false;
};

wire::OrRefusal<Page> read_page(const AuthenticatedCall& call, UnixMillis now_ms) {
  Parameters parameters(call.received);
  Page page;
  TRY(page.filter,
      take_filter(parameters, call.principal, now_ms, review::PhaseFilter::operations));
  if (const std::string text = parameters.take("limit"); !text.empty()) {
    TRY(page.filter.limit, number_of("limit", text));
  }
  if (page.filter.limit == 0 || page.filter.limit > kRecordsOfPageMax) {
    return std::unexpected(
        wire::invalid("limit", fmt::format("limit: from 1 to {}", kRecordsOfPageMax)));
  }
  if (const std::string text = parameters.take("after"); !text.empty()) {
    TRY(page.filter.after_sequence, number_of("after", text));
  }
  const std::string newest = parameters.take("newest");
  const std::string format = parameters.take("format");
  if (!newest.empty() && newest != "true" && newest != "false") {
    return std::unexpected(wire::invalid("newest", "newest: true or false"));
  }
  if (!format.empty() && format != "json" && format != "csv") {
    return std::unexpected(wire::invalid("format", "format: json or csv"));
  }
  page.filter.newest_first = newest == "true";
  page.csv = format == "csv";
  CHECK_OK(parameters.finish());
  return page;
}

}  // namespace

std::string Parameters::take(std::string_view name) {
  std::string value;
  bool found = false;
  const auto refuse = [&](std::string_view why) {
    if (!refusal_) {
      refusal_ = wire::invalid(std::string(name), fmt::format("{}: {}", name, why));
    }
  };
  std::erase_if(left_, [&](const auto& one) {
    if (one.first != name) {
      return false;
    }
    if (std::exchange(found, true)) {
      refuse("it is there twice");
    } else if (one.second.empty()) {
      refuse("it has no value; give one, or leave it out");
    }
    value = one.second;
    return true;
  });
  return value;
}

wire::OrRefusal<> Parameters::finish() const {
  if (refusal_) {
    return std::unexpected(*refusal_);
  }
  if (!left_.empty()) {
    const std::string& name = left_.front().first;
    if (name.empty()) {
      return std::unexpected(wire::invalid(
          "query", fmt::format("query: the value \"{}\" has no parameter's name before it",
                               left_.front().second)));
    }
    return std::unexpected(wire::invalid(name, name + ": this route has no such parameter"));
  }
  return {};
}

wire::OrRefusal<review::Filter> take_filter(Parameters& parameters,
                                            const identity::Principal& principal, UnixMillis now_ms,
                                            review::PhaseFilter phase) {
  review::Filter filter{.phase = phase};
  filter.tenant = parameters.take("tenant");
  filter.key_id = parameters.take("key");
  filter.operator_id = parameters.take("operator");
  filter.model = parameters.take("model");
  filter.route = parameters.take("route");
  filter.data_class = parameters.take("class");
  filter.action = parameters.take("action");
  filter.operation = parameters.take("operation");
  filter.outcome = parameters.take("outcome");
  filter.reason = parameters.take("reason");
  filter.request_id = parameters.take("request");
  filter.ip_address = parameters.take("ip");
  for (const auto& [name, bound] :
       {std::pair("since", &filter.since_ms), std::pair("until", &filter.until_ms)}) {
    if (const std::string text = parameters.take(name); !text.empty()) {
      TRY(*bound, or_field_refusal(review::parse_time(name, text, now_ms)));
    }
  }
  if (const std::string text = parameters.take("phase"); !text.empty()) {
    TRY(filter.phase, or_field_refusal(review::parse_phase("phase", text)));
  }
  if (principal.tenant.value() != identity::kHomeTenant) {
    if (!filter.tenant.empty() && filter.tenant != principal.tenant.value()) {
      return std::unexpected(wire::to_refusal({Code::not_found, "no such tenant"}));
    }
    filter.tenant = principal.tenant.value();
  }
  return filter;
}

Response list_records(const Services& services, const AuthenticatedCall& call) {
  const auto page = read_page(call, services.clock.unix_ms());
  if (!page) {
    return to_response(page.error());
  }
  std::string rows;
  std::uint64_t last = 0;
  const auto add = [&](const audit::Entry& entry) {
    last = entry.sequence;
    if (page->csv) {
      rows += review::csv_row(entry);
      return;
    }
    rows += rows.empty() ? "" : ",";
    rows += audit::to_json_line(entry);
  };
  const AuditDesk& desk = *services.audit_desk;
  const auto read = [&]() -> Result<std::uint64_t> {
    CHECK_OK(desk.keeper.wait_for_log(kIndexPatience));
    TRY(const std::unique_ptr<review::AuditIndex> index, desk.keeper.open_reader());
    return review::query(*index, page->filter, add);
  };
  const auto count = read();
  if (!count) {
    return to_response(wire::to_field_refusal(count.error()));
  }
  const bool more = *count == page->filter.limit;
  if (page->csv) {
    Response response{.body = review::csv_header() + rows,
                      .content_type = "text/csv; charset=utf-8",
                      .headers = {}};
    if (more) {
      response.headers.emplace_back("x-next-after", std::to_string(last));
    }
    return response;
  }
  return {.body = fmt::format(R"({{"object":"list","data":[{}],"next_after":{}}})", rows,
                              more ? std::to_string(last) : "null")};
}

}  // namespace deepmoat::gateway
