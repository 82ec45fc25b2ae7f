// A radix tree over tokens: which prompts and which things in memory begin alike, and how far.
//
// The tree holds lines. A line is a path of tokens; it is a "want" (a prompt that waits) or a
// "source" (something that holds the tokens: a sequence, a saved state). A node ends wherever a
// line ends or two lines part, so what a want can get from a source is the depth of a node on its
// own path: climbing from its end to the root visits all of it, the longest first, without looking
// at a token again. Negative elements are marks: they part lines like tokens but count as none.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "scheduler/types.h"

namespace deepmoat::scheduler {

using SourceId = std::uint32_t;  // what it names is the caller's matter

// Not thread-safe.
class PrefixTree {
 public:
  using Line = std::uint32_t;
  static constexpr Line kNoLine = ~0U;

  // A node on the way from a line's end to the root.
  struct Point {
    std::uint32_t tokens = 0;                  // from the beginning
    std::span<const SourceId> sources;         // whose lines go through here, in no order
    std::span<const SourceId> sources_ending;  // of these, lines that end here
    std::uint32_t wants = 0;                   // whose lines go through here
    std::uint32_t wants_ending = 0;            // of these, lines that end here
  };

  PrefixTree();

  [[nodiscard]] Line add_want(std::span<const Token> path);
  [[nodiscard]] Line add_source(std::span<const Token> path, SourceId source);
  // The path stays; what the line stands for changes.
  void turn_into_source(Line line, SourceId source);
  void remove(Line line);

  // Tokens of the line's path.
  [[nodiscard]] std::uint32_t tokens(Line line) const { return nodes_[lines_[line].end].tokens; }

  // Calls visit(const Point&) -> bool from the line's end upwards until it returns false. The root
  // is left out. Spans are valid until the tree changes.
  template <class Visit>
  void climb(Line line, Visit visit) const {
    for (NodeId id = lines_[line].end; id != kRoot; id = nodes_[id].parent) {
      const Node& node = nodes_[id];
      if (!visit(Point{node.tokens, node.sources, node.sources_ending, node.wants,
                       node.wants_ending})) {
        return;
      }
    }
  }

  // For checks and figures.
  [[nodiscard]] std::size_t nodes() const { return nodes_.size() - free_nodes_.size(); }
  [[nodiscard]] std::size_t lines() const { return lines_.size() - free_lines_.size(); }
  // Whether every node is there for a reason and counts right.
  [[nodiscard]] bool is_sound() const;

 private:
  using NodeId = std::uint32_t;
  static constexpr NodeId kRoot = 0;
  static constexpr SourceId kWant = ~0U;

  struct Node {
    NodeId parent = kRoot;
    std::vector<Token> label = {};  // from the parent to here; empty at the root only
    std::map<Token, NodeId> children = {};
    std::uint32_t tokens = 0;
    std::uint32_t wants = 0;
    std::uint32_t wants_ending = 0;
    std::vector<SourceId> sources = {};
    std::vector<SourceId> sources_ending = {};
  };
  struct LineEnd {
    NodeId end = kRoot;
    SourceId source = kWant;
  };

  Line add(std::span<const Token> path, SourceId source);
  NodeId reach(std::span<const Token> path);
  NodeId new_node(NodeId parent, std::span<const Token> label);
  NodeId split(NodeId node, std::size_t at);
  void enter(NodeId end, SourceId source);
  void leave(NodeId end, SourceId source);
  void tidy_up(NodeId node);
  void merge_into_child(NodeId node);
  void free_node(NodeId node);

  std::vector<Node> nodes_;
  std::vector<NodeId> free_nodes_;
  std::vector<LineEnd> lines_;
  std::vector<Line> free_lines_;
};

}  // namespace deepmoat::scheduler
