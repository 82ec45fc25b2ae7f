#include "oversight/content_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/data_class.h"
#include "base/log.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "identity/api_key.h"
#include "identity/key_attributes.h"
#include "oversight/setting.h"

namespace deepmoat::oversight {

namespace {

using audit::Operation;
using identity::Actor;
using identity::AuditedAction;

constexpr std::string_view kRowPurpose = "deepmoat content policy row 1";
constexpr std::string_view kDrawPurpose = "deepmoat content sample 1";
constexpr std::string_view kIdPrefix = "pol_";

std::uint32_t ppm_of(double sample_rate) {
  return static_cast<std::uint32_t>(std::lround(sample_rate * kSampleAll));
}

Result<> check(const NewContentPolicy& request) {
  if (!request.tenant.empty()) {
    CHECK_OK(identity::check_name("tenant", request.tenant));
  }
  CHECK_OK(identity::check_text("model", request.model, identity::kListedBytesMax));
  if (!request.data_class.empty()) {
    const auto known = parse_data_class(request.data_class);
    if (!known) {
      return fail(known.error().code,
                  "data_class: must be public, internal, sensitive or "
                  "restricted, or left out for all");
    }
  }
  // Written so that a NaN fails too. What rounds to nothing would look like a policy that keeps.
  const bool rate_good = request.sample_rate == 0 ||
                         (request.sample_rate <= 1 && request.sample_rate >= 1.0 / kSampleAll);
  if (!rate_good) {
    return fail(Code::invalid_argument, "sample_rate: must be 0, or from 0.000001 to 1");
  }
  if (request.keep_days < 1 || request.keep_days > kKeepDaysMax) {
    return fail(Code::invalid_argument, fmt::format("keep_days: must be 1 to {}", kKeepDaysMax));
  }
  return check_reason(request.reason);
}

// For the audit record. REQUIRES: check() has passed.
std::string summary_of(const NewContentPolicy& request) {
  std::string text;
  identity::add_to(text, "tenant", request.tenant.empty() ? "(all)" : request.tenant);
  if (!request.model.empty()) {
    identity::add_to(text, "model", identity::plain_or_quoted(request.model));
  }
  if (!request.data_class.empty()) {
    identity::add_to(text, "data_class", request.data_class);
  }
  identity::add_to(text, "sample_ppm", std::to_string(ppm_of(request.sample_rate)));
  identity::add_to(text, "keep_days", std::to_string(request.keep_days));
  identity::add_to(text, "reason", identity::plain_or_quoted(request.reason));
  return text;
}

bool fits(std::string_view wanted, std::string_view value) {
  return wanted.empty() || wanted == value;
}

}  // namespace

std::optional<std::int64_t> matches(std::span<const ContentPolicy> policies, const CallFacts& call,
                                    std::uint32_t draw) {
  std::optional<std::int64_t> longest;
  for (const ContentPolicy& policy : policies) {
    if (fits(policy.tenant, call.tenant) && fits(policy.model, call.model) &&
        fits(policy.data_class, call.data_class) && draw < policy.sample_ppm) {
      longest = std::max(longest.value_or(0), policy.keep_days);
    }
  }
  return longest;
}

ContentPolicies::ContentPolicies(store::Database& database, identity::AppendAudit append,
                                 const crypto::RootSecrets& secrets, const Clock& clock)
    : database_(database),
      table_(database),
      append_(std::move(append)),
      rows_(secrets, kRowPurpose),
      draws_(crypto::derive_secret(secrets.signing, kDrawPurpose)),
      clock_(clock),
      snapshot_(std::make_shared<const Snapshot>(std::vector<ContentPolicy>())) {}

Result<std::unique_ptr<ContentPolicies>> ContentPolicies::open(store::Database& database,
                                                               identity::AppendAudit append,
                                                               const crypto::RootSecrets& secrets,
                                                               const Clock& clock) {
  std::unique_ptr<ContentPolicies> made(
      new ContentPolicies(database, std::move(append), secrets, clock));
  CHECK_OK(made->reload());
  return made;
}

std::string ContentPolicies::row_mac(const store::ContentPolicyRow& row) const {
  return rows_.mac(
      {row.policy_id, row.tenant, row.model, row.data_class, row.reason, row.created_by},
      {row.sample_ppm, row.keep_days, row.created_ms});
}

ContentPolicy ContentPolicies::policy_of(const store::ContentPolicyRow& row) const {
  return {.id = row.policy_id,
          .tenant = row.tenant,
          .model = row.model,
          .data_class = row.data_class,
          .sample_ppm =
              static_cast<std::uint32_t>(std::clamp<std::int64_t>(row.sample_ppm, 0, kSampleAll)),
          .keep_days = row.keep_days,
          .reason = row.reason,
          .created_by = row.created_by,
          .created_ms = row.created_ms,
          .intact = crypto::equal_constant_time(row.row_mac, row_mac(row))};
}

void ContentPolicies::publish(Snapshot policies) {
  const bool any = !policies || !policies->empty();
  snapshot_.store(std::make_shared<const Snapshot>(std::move(policies)));
  any_.store(any, std::memory_order_release);
}

// What cannot be read, or was altered, leaves nothing certain: calls are refused rather than their
// content lost.
Result<> ContentPolicies::reload() {
  const auto rows = table_.list_policies();
  if (!rows) {
    publish(std::nullopt);
    return std::unexpected(rows.error());
  }
  std::vector<ContentPolicy> policies;
  for (const store::ContentPolicyRow& row : *rows) {
    policies.push_back(policy_of(row));
    if (!policies.back().intact) {
      log::error(
          "a content policy was altered outside this program: calls are refused until an auditor "
          "of tenant \"default\" removes it",
          {{"policy", row.policy_id}});
      publish(std::nullopt);
      return {};
    }
  }
  publish(std::move(policies));
  return {};
}

std::uint32_t ContentPolicies::draw_of(std::string_view request_id,
                                       std::uint64_t intent_sequence) const {
  std::string bytes;
  crypto::put_text(bytes, request_id);
  crypto::put_number(bytes, intent_sequence);
  const crypto::Digest mac = draws_({bytes});
  const std::uint32_t uniform = *crypto::ByteReader(crypto::view(mac)).number<std::uint32_t>();
  return static_cast<std::uint32_t>(std::uint64_t{uniform} * kSampleAll >> 32U);
}

Result<std::optional<std::int64_t>> ContentPolicies::match(const CallFacts& call) const {
  if (!any()) {
    return std::nullopt;
  }
  const std::shared_ptr<const Snapshot> snapshot = snapshot_.load();
  if (!*snapshot) {
    return fail(Code::corrupt, "the content policies cannot be read, or one was altered");
  }
  return matches(**snapshot, call, draw_of(call.request_id, call.intent_sequence));
}

Result<ContentPolicy> ContentPolicies::insert(const Actor& actor, const NewContentPolicy& request) {
  CHECK_OK(check(request));
  CHECK_OK(check_reach(actor, request.tenant));
  CHECK_OK(check_tenant_exists(database_, request.tenant));
  TRY(const auto rows, table_.list_policies());
  const auto of_tenant = std::ranges::count(rows, request.tenant, &store::ContentPolicyRow::tenant);
  if (static_cast<std::size_t>(of_tenant) >= kPoliciesMax) {
    return fail(Code::resource_exhausted,
                fmt::format("there are {} policies already: remove some", of_tenant));
  }
  store::ContentPolicyRow row{.policy_id = "",
                              .tenant = request.tenant,
                              .model = request.model,
                              .data_class = request.data_class,
                              .sample_ppm = ppm_of(request.sample_rate),
                              .keep_days = request.keep_days,
                              .reason = request.reason,
                              .created_by = name_of(actor),
                              .created_ms = clock_.unix_ms(),
                              .row_mac = ""};
  TRY(row.policy_id, new_setting_id(kIdPrefix));
  row.row_mac = row_mac(row);
  CHECK_OK(table_.insert_policy(row));
  CHECK_OK(reload());
  return policy_of(row);
}

Result<ContentPolicy> ContentPolicies::add(const Actor& actor, const NewContentPolicy& request) {
  const bool good = check(request).has_value();  // else it is no text for a record
  return identity::audited<ContentPolicy>(
      append_, actor,
      {Operation::write, "audit.content_policy.add", "", good ? summary_of(request) : ""},
      [&](AuditedAction& action) -> Result<ContentPolicy> {
        TRY(ContentPolicy policy, insert(actor, request));
        action.resource = policy.id;
        return policy;
      });
}

Result<> ContentPolicies::remove(const Actor& actor, const std::string& id) {
  return identity::audited<void>(
      append_, actor,
      {Operation::erase, "audit.content_policy.remove", id.substr(0, kSettingIdBytes), ""},
      [&](AuditedAction&) -> Result<> {
        TRY(const auto rows, table_.list_policies());
        const auto row = std::ranges::find(rows, id, &store::ContentPolicyRow::policy_id);
        if (row == rows.end() ||
            !may_see(actor, policy_of(*row).intact ? std::string_view(row->tenant) : "")) {
          return fail(Code::not_found, "no such policy; see: deepmoat audit policy list");
        }
        if (policy_of(*row).intact) {
          CHECK_OK(check_made_by(actor, row->created_by));
        }
        CHECK_OK(table_.erase_policy(id));
        return reload();
      });
}

Result<std::vector<ContentPolicy>> ContentPolicies::list(const Actor& actor) {
  using List = std::vector<ContentPolicy>;
  return identity::audited<List>(
      append_, actor, {Operation::read, "audit.content_policy.list", "", ""},
      [&](AuditedAction&) -> Result<List> {
        TRY(const auto rows, table_.list_policies());
        List policies;
        for (const store::ContentPolicyRow& row : rows) {
          ContentPolicy policy = policy_of(row);
          if (may_see(actor, policy.intact ? std::string_view(policy.tenant) : "")) {
            policies.push_back(std::move(policy));
          }
        }
        return policies;
      });
}

}  // namespace deepmoat::oversight
