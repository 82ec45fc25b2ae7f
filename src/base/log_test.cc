#include "base/log.h"

#include <gtest/gtest.h>

#include <regex>
#include <thread>

namespace deepmoat {
namespace {

// What `body` writes to standard error.
template <class Body>
std::string logged(Body body) {
  testing::internal::CaptureStderr();
  body();
  return testing::internal::GetCapturedStderr();
}

// The line without what changes: its time.
std::string without_time(const std::string& line) {
  static const std::regex kTime(R"(^\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",)");
  EXPECT_TRUE(std::regex_search(line, kTime)) << line;
  return std::regex_replace(line, kTime, "{");
}

TEST(Log, OneJsonObjectALine) {
  const std::string line = logged(
      [] { log::info("ready", {{"model", "demo"}, {"port", 8443}, {"ok", true}, {"load", 0.5}}); });
  EXPECT_EQ(
      without_time(line),
      R"({"level":"info","message":"ready","model":"demo","port":8443,"ok":true,"load":0.500})"
      "\n");
}

TEST(Log, NothingBreaksOutOfItsString) {
  const std::string text("a\"b\\c\nd\re\tf\x01g\x7Fh\0i", 17);
  const std::string line = logged([&] { log::warn("field", {{"text", text}}); });
  EXPECT_EQ(without_time(line), R"({"level":"warning","message":"field","text":)"
                                R"("a\"b\\c\u000ad\u000de\u0009f\u0001g\u007fh\u0000i"})"
                                "\n");
}

TEST(Log, FormatMarkersAreText) {
  const std::string line = logged([] { log::error("%v {} {0}", {{"{}", "%Y {}"}}); });
  EXPECT_EQ(without_time(line), R"({"level":"error","message":"%v {} {0}","{}":"%Y {}"})"
                                "\n");
}

TEST(Log, LevelsBelowTheOneSetAreSilent) {
  const auto all = [] {
    log::debug("d");
    log::info("i");
    log::warn("w");
    log::error("e");
  };
  const auto lines = [&](log::Level level) {
    log::set_level(level);
    const std::string text = logged(all);
    log::set_level(log::Level::info);
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(lines(log::Level::debug), 4);
  EXPECT_EQ(lines(log::Level::info), 3);
  EXPECT_EQ(lines(log::Level::warn), 2);
  EXPECT_EQ(lines(log::Level::error), 1);
}

TEST(Log, LevelNames) {
  EXPECT_EQ(log::parse_level("debug").value(), log::Level::debug);
  EXPECT_EQ(log::parse_level("error").value(), log::Level::error);
  EXPECT_FALSE(log::parse_level("INFO"));
  EXPECT_FALSE(log::parse_level(""));
}

TEST(Log, LinesOfManyThreadsStayWhole) {
  const std::string text = logged([] {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([] {
        for (int i = 0; i < 50; ++i) {
          log::info("line", {{"filling", std::string(200, 'x')}});
        }
      });
    }
  });
  static const std::regex kLine(
      R"(\{"time":"[^"]*","level":"info","message":"line","filling":"x{200}"\}\n)");
  EXPECT_EQ(std::distance(std::sregex_iterator(text.begin(), text.end(), kLine), {}), 200);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 200);
}

}  // namespace
}  // namespace deepmoat
