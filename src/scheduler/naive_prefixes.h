// The prefix tree's answers worked out the slow way, and a run of operations, given as bytes, that
// compares the two. For the unit test and the fuzz target.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "scheduler/prefix_tree.h"

namespace deepmoat::scheduler {

class NaivePrefixes {
 public:
  struct Line {
    std::vector<Token> path;
    bool is_source = false;
    SourceId source = 0;
  };
  std::map<PrefixTree::Line, Line> lines;

  // What a climb from the line should see, from its end upwards.
  [[nodiscard]] std::string climb(PrefixTree::Line from) const {
    const std::vector<Token>& path = lines.at(from).path;
    std::set<std::size_t> depths;
    for (const auto& [id, line] : lines) {
      depths.insert(shared(path, line.path));
    }
    depths.erase(0);
    std::string seen;
    for (auto depth = depths.rbegin(); depth != depths.rend(); ++depth) {
      std::set<SourceId> sources;
      std::set<SourceId> sources_ending;
      std::uint32_t wants = 0;
      std::uint32_t ending = 0;
      for (const auto& [id, line] : lines) {
        if (shared(path, line.path) < *depth) {
          continue;
        }
        const bool ends = line.path.size() == *depth;
        if (!line.is_source) {
          ++wants;
          ending += ends ? 1 : 0;
          continue;
        }
        sources.insert(line.source);
        if (ends) {
          sources_ending.insert(line.source);
        }
      }
      const auto tokens = std::count_if(path.begin(), std::next(path.begin(), as_step(*depth)),
                                        [](Token token) { return token >= 0; });
      seen += describe(static_cast<std::uint32_t>(tokens), sources, sources_ending, wants, ending);
    }
    return seen;
  }

  [[nodiscard]] static std::string describe(std::uint32_t tokens, const std::set<SourceId>& sources,
                                            const std::set<SourceId>& sources_ending,
                                            std::uint32_t wants, std::uint32_t ending) {
    return fmt::format("[{} {} {} {} {}]", tokens, fmt::join(sources, ","),
                       fmt::join(sources_ending, ","), wants, ending);
  }

 private:
  static std::ptrdiff_t as_step(std::size_t depth) { return static_cast<std::ptrdiff_t>(depth); }

  static std::size_t shared(const std::vector<Token>& a, const std::vector<Token>& b) {
    const auto parted = std::ranges::mismatch(a, b).in1;
    return static_cast<std::size_t>(parted - a.begin());
  }
};

// Runs the operations that the bytes stand for on both; returns the first difference, or nothing.
class PrefixComparison {
 public:
  [[nodiscard]] std::string run(std::span<const std::uint8_t> bytes) {
    bytes_ = bytes;
    while (!bytes_.empty() && wrong_.empty()) {
      one();
      compare();
    }
    return wrong_;
  }

 private:
  std::uint8_t next() {
    if (bytes_.empty()) {
      return 0;
    }
    const std::uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }

  // Begins like a line that is there, and goes on with a few elements of its own.
  std::vector<Token> next_path() {
    std::vector<Token> path;
    if (!naive_.lines.empty()) {
      const std::vector<Token>& like = some_line()->second.path;
      path.assign(like.begin(), like.begin() + next() % static_cast<int>(like.size() + 1));
    }
    for (int own = next() % 6; own > 0 || path.empty(); --own) {
      const int element = next() % 5;
      path.push_back(element == 4 ? -2 : element);
    }
    return path;
  }

  std::map<PrefixTree::Line, NaivePrefixes::Line>::iterator some_line() {
    return std::next(naive_.lines.begin(), next() % static_cast<int>(naive_.lines.size()));
  }

  void one() {
    const int kind = next() % 4;
    if (naive_.lines.empty() || (kind < 2 && naive_.lines.size() < 24)) {
      const std::vector<Token> path = next_path();
      const SourceId source = ++sources_;
      const PrefixTree::Line line =
          kind == 1 ? tree_.add_source(path, source) : tree_.add_want(path);
      const bool fresh = naive_.lines.try_emplace(line, path, kind == 1, source).second;
      wrong_ = fresh ? "" : "a line that is in use is given out";
      return;
    }
    const auto line = some_line();
    if (kind == 2) {
      line->second.is_source = true;
      line->second.source = ++sources_;
      tree_.turn_into_source(line->first, line->second.source);
    } else {
      tree_.remove(line->first);
      naive_.lines.erase(line);
    }
  }

  void compare() {
    if (!tree_.is_sound()) {
      wrong_ = "the tree is not sound";
    }
    for (const auto& [id, line] : naive_.lines) {
      std::string seen;
      tree_.climb(id, [&](const PrefixTree::Point& point) {
        seen += NaivePrefixes::describe(point.tokens, {point.sources.begin(), point.sources.end()},
                                        {point.sources_ending.begin(), point.sources_ending.end()},
                                        point.wants, point.wants_ending);
        return true;
      });
      const std::string expected = naive_.climb(id);
      if (seen != expected) {
        wrong_ = fmt::format("{} instead of {}", seen, expected);
      }
    }
    if (naive_.lines.size() != tree_.lines() || (naive_.lines.empty() && tree_.nodes() != 1)) {
      wrong_ = "something is left over";
    }
  }

  PrefixTree tree_;
  NaivePrefixes naive_;
  std::span<const std::uint8_t> bytes_;
  SourceId sources_ = 0;
  std::string wrong_;
};

}  // namespace deepmoat::scheduler
