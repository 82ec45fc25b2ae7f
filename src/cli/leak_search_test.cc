#include "cli/leak_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>

#include "base/scratch_folder.h"
#include "base/secret.h"
#include "identity/key_authority.h"

namespace deepmoat::cli {
namespace {

namespace fs = std::filesystem;

std::string new_key() {
  static const crypto::RootSecrets secrets{.signing = Secret(std::string(32, 's')),
                                           .pepper = Secret(std::string(32, 'p')),
                                           .audit_fingerprint = Secret(std::string(32, 'f')),
                                           .id = std::string(32, 'a')};
  identity::KeyAuthority authority(secrets);
  const auto made = authority.make_key(identity::KeyKind::live, "a", 1'795'000'000'000);
  EXPECT_TRUE(made) << made.error().message;
  return made ? std::string(made->reveal()) : "";
}

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

struct Search {
  std::vector<std::string> places;
  std::vector<std::string> problems;
  std::size_t progress = 0;
  std::function<void(const std::string& place)> when_found = [](const std::string&) {};

  void run(const fs::path& path) {
    LeakSearch search(
        [this](const std::string& place, const identity::KeySighting&) {
          places.push_back(place);
          when_found(place);
        },
        [this](const Error& error) { problems.push_back(error.message); },
        [this](const LeakSearch&) { ++progress; });
    search.search(path);
  }
};

// A folder that somebody works in changes while it is searched.
TEST(LeakSearch, WhatVanishesDuringASearchDoesNotEndIt) {
  const ScratchFolder scratch;
  const std::string key = new_key();
  std::set<std::string> left;
  for (int i = 0; i < 40; ++i) {
    const fs::path path = scratch / ("file" + std::to_string(i));
    write(path, key);
    left.insert(path.string());
  }
  fs::create_directory(scratch / "folder");
  write(scratch / "folder" / "in it", key);
  Search search;
  bool first = true;
  search.when_found = [&](const std::string& place) {
    left.erase(place);
    if (std::exchange(first, false)) {
      fs::remove_all(scratch / "folder");
      for (int i = 0; i < 20; ++i) {
        const std::string gone = *left.begin();
        fs::remove(gone);
        left.erase(gone);
      }
    }
  };
  search.run(scratch.path());
  EXPECT_TRUE(left.empty()) << left.size() << " files were not looked at, such as "
                            << *left.begin();
  EXPECT_EQ(search.problems, std::vector<std::string>());
}

TEST(LeakSearch, WhatWasNamedAndIsNotThereIsAProblem) {
  const ScratchFolder scratch;
  Search search;
  search.run(scratch / "nowhere");
  ASSERT_EQ(search.problems.size(), 1U);
  EXPECT_NE(search.problems[0].find("nowhere"), std::string::npos);
}

}  // namespace
}  // namespace deepmoat::cli
