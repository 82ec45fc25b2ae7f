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

// Nothing of the machine's or the person's configuration.
void git(const fs::path& repository, const std::string& arguments) {
  const std::string command =
      "git -C '" + repository.string() +
      "' -c user.name=t -c user.email=t@t.example -c commit.gpgsign=false " + arguments +
      " >/dev/null 2>&1";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

struct Search {
  std::vector<std::string> places;
  std::vector<std::string> problems;
  std::size_t progress = 0;
  std::function<void(const std::string& place)> when_found = [](const std::string&) {};

  void run(const fs::path& path, std::size_t sightings_max = 100'000) {
    LeakSearch search(
        [this](const std::string& place, const identity::KeySighting&) {
          places.push_back(place);
          when_found(place);
        },
        [this](const Error& error) { problems.push_back(error.message); },
        [this](const LeakSearch&) { ++progress; });
    search.set_history_sightings_max(sightings_max);
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

class History : public testing::Test {
 protected:
  History() {
    git(repository_.path(), "init -q -b main");
    for (int i = 0; i < kBlobs; ++i) {
      write(repository_ / ("file" + std::to_string(i)),
            std::to_string(i) + " " + key_ + "\nagain " + key_ + "\n");
    }
    git(repository_.path(), "add .");
    git(repository_.path(), "commit -q -m one");
    git(repository_.path(), "rm -q -r .");
    git(repository_.path(), "commit -q -m two");
  }

  static constexpr int kBlobs = 12;
  const ScratchFolder repository_;
  const std::string key_ = new_key();
};

TEST_F(History, EachBlobsPlaceIsFoundInOnePass) {
  Search search;
  search.run(repository_.path());
  EXPECT_EQ(search.problems, std::vector<std::string>());
  ASSERT_EQ(search.places.size(), 2U * kBlobs);
  for (int i = 0; i < kBlobs; ++i) {
    const std::string wanted = ":file" + std::to_string(i);
    EXPECT_EQ(std::ranges::count_if(search.places,
                                    [&](const auto& place) { return place.ends_with(wanted); }),
              2)
        << wanted;
  }
  EXPECT_GT(search.progress, 0U) << "nobody was told during the pass over the history";
}

TEST_F(History, WhatIsLeftOutIsSaidOnce) {
  Search search;
  search.run(repository_.path(), 5);
  EXPECT_EQ(search.places.size(), 5U);
  ASSERT_EQ(search.problems.size(), 1U);
  EXPECT_NE(search.problems[0].find("19 more are left out"), std::string::npos)
      << search.problems[0];
}

}  // namespace
}  // namespace deepmoat::cli
