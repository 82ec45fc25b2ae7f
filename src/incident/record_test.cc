// An incident's record: what it says, and that no byte of it can be changed.
#include "incident/record.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/scratch_folder.h"
#include "incident/folder.h"

namespace deepmoat::incident {
namespace {

using Json = nlohmann::json;

crypto::SigningKey key_of(char fill) {
  return *crypto::SigningKey::from_seed(Secret(std::string(32, fill)));
}

Leak sample() {
  Leak leak;
  leak.id = "inc_00112233445566778899aabb";
  leak.key.info.key_id = KeyId("key_00112233445566778899aabb");
  leak.key.info.client_id = ClientId("shop");
  leak.key.info.tenant = TenantId("default");
  leak.key.info.revoked_ms = 1'795'000'000'123;
  leak.key.audit_sequence = 41;
  leak.reason = "posted in a forum: \xE4\xBD\xA0\xE5\xA5\xBD \"quoted\" \xff";
  leak.reporter.operator_id = "boss";
  leak.recorded_ms = 1'795'000'000'456;
  leak.usage.total.calls = 2;
  leak.usage.addresses = {{.value = "192.0.2.1", .calls = 2}};
  leak.usage.last_sequence = 44;
  return leak;
}

std::string signed_sample() {
  const auto text = sign(leak_json(sample()), key_of('k'));
  EXPECT_TRUE(text);
  return *text;
}

TEST(IncidentRecord, SaysWhatHappened) {
  const auto incident = verify(signed_sample(), key_of('k').public_key());
  ASSERT_TRUE(incident) << incident.error().message;
  EXPECT_EQ(incident->at("kind"), "key.leaked");
  EXPECT_EQ(incident->at("key").at("client_id"), "shop");
  EXPECT_EQ(incident->at("key").at("revoked"), "2026-11-18T11:06:40.123Z");
  EXPECT_EQ(incident->at("reported_by").at("operator"), "boss");
  EXPECT_EQ(incident->at("report").at("by_address").at(0).at("value"), "192.0.2.1");
  EXPECT_EQ(incident->at("report").at("complete"), true);
  EXPECT_EQ(incident->at("audit_log").at("revocation_record"), 41);
  EXPECT_EQ(*read_unverified(signed_sample()), *incident);
}

TEST(IncidentRecord, AnotherKeyDoesNotFit) {
  const auto refused = verify(signed_sample(), key_of('x').public_key());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::corrupt);
  EXPECT_NE(refused.error().message.find("signed with key"), std::string::npos);
}

TEST(IncidentRecord, NoByteCanBeChangedCutOrAdded) {
  const std::string text = signed_sample();
  const std::string public_key = key_of('k').public_key();
  EXPECT_TRUE(rc::check([&] {
    std::string altered = text;
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    switch (*rc::gen::inRange(0, 3)) {
      case 0:
        altered[at] = static_cast<char>(altered[at] ^ (1 << *rc::gen::inRange(0, 8)));
        break;
      case 1:
        altered.erase(at, *rc::gen::inRange<std::size_t>(1, 20));
        break;
      default:
        altered.insert(at, 1, *rc::gen::element(' ', '\n', '0', '"', ','));
        break;
    }
    const bool same = altered == text || altered + "\n" == text;
    RC_ASSERT(same == verify(altered, public_key).has_value());
  }));
}

TEST(IncidentRecord, AnotherSpellingIsRefused) {
  const std::string public_key = key_of('k').public_key();
  const std::string text = signed_sample();
  EXPECT_FALSE(verify(Json::parse(text).dump(2), public_key));
  EXPECT_FALSE(verify(text + "\n", public_key));
  EXPECT_FALSE(verify(R"({"incident":{},"incident":)" + text.substr(12), public_key));
  EXPECT_FALSE(verify(std::string(1'000'000, '['), public_key));
  EXPECT_FALSE(verify("", public_key));
  EXPECT_FALSE(verify("{}\n", public_key));
  Json foreign = Json::parse(text);
  foreign["incident"]["form"] = "deepmoat incident 2";
  EXPECT_FALSE(read_unverified(foreign.dump() + "\n"));
}

TEST(IncidentFolder, KeepsRecordsUnderTheirIds) {
  const ScratchFolder scratch;
  const IncidentFolder folder(scratch / "incidents");
  EXPECT_TRUE(folder.ids()->empty());
  const auto id = new_incident_id();
  ASSERT_TRUE(id);
  EXPECT_EQ(folder.load(*id).error().code, Code::not_found);
  ASSERT_TRUE(folder.save(*id, "text"));
  EXPECT_EQ(*folder.load(*id), "text");
  const auto large = new_incident_id();
  ASSERT_TRUE(folder.save(*large, std::string(kIncidentBytesMax + 1, ' ')));
  EXPECT_EQ(folder.load(*large).error().code, Code::io);
  std::filesystem::remove(scratch / "incidents" / (*large + ".json"));
  EXPECT_EQ(*folder.ids(), std::vector<std::string>{*id});
  const auto status = std::filesystem::status(scratch / "incidents" / (*id + ".json"));
  EXPECT_EQ(status.permissions() & std::filesystem::perms::others_all,
            std::filesystem::perms::none);
  for (const char* bad : {"", "inc_", "../keys/root.key", "inc_../../../keys/root.key",
                          "inc_00112233445566778899aab/"}) {
    EXPECT_EQ(folder.load(bad).error().code, Code::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace deepmoat::incident
