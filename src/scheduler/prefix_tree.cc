#include "scheduler/prefix_tree.h"

#include <algorithm>
#include <utility>

namespace deepmoat::scheduler {

namespace {

std::uint32_t count_tokens(std::span<const Token> path) {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(path, [](Token element) { return element >= 0; }));
}

// Their order does not matter.
void take_out(std::vector<SourceId>& sources, SourceId source) {
  *std::ranges::find(sources, source) = sources.back();
  sources.pop_back();
}

}  // namespace

PrefixTree::PrefixTree() : nodes_(1) {}

PrefixTree::Line PrefixTree::add_want(std::span<const Token> path) {
  return add(path, kWant);
}

PrefixTree::Line PrefixTree::add_source(std::span<const Token> path, SourceId source) {
  return add(path, source);
}

void PrefixTree::turn_into_source(Line line, SourceId source) {
  LineEnd& at = lines_[line];
  leave(at.end, at.source);
  at.source = source;
  enter(at.end, at.source);
}

void PrefixTree::remove(Line line) {
  const LineEnd at = lines_[line];
  free_lines_.push_back(line);
  leave(at.end, at.source);
  tidy_up(at.end);
}

PrefixTree::Line PrefixTree::add(std::span<const Token> path, SourceId source) {
  const LineEnd made{.end = reach(path), .source = source};
  enter(made.end, source);
  if (free_lines_.empty()) {
    lines_.push_back(made);
    return static_cast<Line>(lines_.size() - 1);
  }
  const Line line = free_lines_.back();
  free_lines_.pop_back();
  lines_[line] = made;
  return line;
}

// The node where `path` ends, made if need be.
PrefixTree::NodeId PrefixTree::reach(std::span<const Token> path) {
  NodeId at = kRoot;
  while (!path.empty()) {
    const auto child = nodes_[at].children.find(path.front());
    if (child == nodes_[at].children.end()) {
      return new_node(at, path);
    }
    const std::vector<Token>& label = nodes_[child->second].label;
    const auto parted = std::ranges::mismatch(label, path).in1 - label.begin();
    const auto shared = static_cast<std::size_t>(parted);
    at = shared == label.size() ? child->second : split(child->second, shared);
    path = path.subspan(shared);
  }
  return at;
}

PrefixTree::NodeId PrefixTree::new_node(NodeId parent, std::span<const Token> label) {
  NodeId id = static_cast<NodeId>(nodes_.size());
  if (free_nodes_.empty()) {
    nodes_.emplace_back();
  } else {
    id = free_nodes_.back();
    free_nodes_.pop_back();
  }
  Node& node = nodes_[id];
  node.parent = parent;
  node.label.assign(label.begin(), label.end());
  node.tokens = nodes_[parent].tokens + count_tokens(label);
  nodes_[parent].children[label.front()] = id;
  return id;
}

// Puts a new node in the middle of the edge above `node`; returns it. `node` keeps its id, since
// lines end there.
PrefixTree::NodeId PrefixTree::split(NodeId node, std::size_t at) {
  const std::vector<Token> label = std::move(nodes_[node].label);
  const std::span<const Token> all(label);
  const NodeId upper = new_node(nodes_[node].parent, all.first(at));
  const std::span<const Token> rest = all.subspan(at);
  Node& below = nodes_[node];
  below.label.assign(rest.begin(), rest.end());
  below.parent = upper;
  nodes_[upper].children[rest.front()] = node;
  nodes_[upper].wants = below.wants;
  nodes_[upper].sources = below.sources;
  return upper;
}

void PrefixTree::enter(NodeId end, SourceId source) {
  if (source == kWant) {
    ++nodes_[end].wants_ending;
  } else {
    nodes_[end].sources_ending.push_back(source);
  }
  for (NodeId id = end; id != kRoot; id = nodes_[id].parent) {
    if (source == kWant) {
      ++nodes_[id].wants;
    } else {
      nodes_[id].sources.push_back(source);
    }
  }
}

void PrefixTree::leave(NodeId end, SourceId source) {
  if (source == kWant) {
    --nodes_[end].wants_ending;
  } else {
    take_out(nodes_[end].sources_ending, source);
  }
  for (NodeId id = end; id != kRoot; id = nodes_[id].parent) {
    if (source == kWant) {
      --nodes_[id].wants;
    } else {
      take_out(nodes_[id].sources, source);
    }
  }
}

// Takes away what nothing goes through any more, and nodes where nothing ends or parts.
void PrefixTree::tidy_up(NodeId node) {
  while (node != kRoot) {
    const NodeId parent = nodes_[node].parent;
    const bool used = nodes_[node].wants > 0 || !nodes_[node].sources.empty();
    if (!used) {
      nodes_[parent].children.erase(nodes_[node].label.front());
      free_node(node);
    } else {
      merge_into_child(node);
      return;
    }
    node = parent;
  }
}

// When all that goes through a node goes on into one child, the child takes its place.
void PrefixTree::merge_into_child(NodeId node) {
  Node& upper = nodes_[node];
  if (upper.children.size() != 1) {
    return;
  }
  const NodeId child = upper.children.begin()->second;
  Node& lower = nodes_[child];
  if (lower.wants != upper.wants || lower.sources.size() != upper.sources.size()) {
    return;  // a line ends here
  }
  upper.label.insert(upper.label.end(), lower.label.begin(), lower.label.end());
  lower.label = std::move(upper.label);
  lower.parent = upper.parent;
  nodes_[lower.parent].children[lower.label.front()] = child;
  free_node(node);
}

void PrefixTree::free_node(NodeId node) {
  nodes_[node] = {};
  free_nodes_.push_back(node);
}

bool PrefixTree::is_sound() const {
  std::vector<std::uint32_t> wants(nodes_.size());
  std::vector<std::uint32_t> sources(nodes_.size());
  std::vector<std::uint32_t> ending(nodes_.size());
  std::vector<bool> line_is_free(lines_.size());
  for (const Line line : free_lines_) {
    line_is_free[line] = true;
  }
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    if (line_is_free[i]) {
      continue;
    }
    ++ending[lines_[i].end];
    for (NodeId id = lines_[i].end; id != kRoot; id = nodes_[id].parent) {
      ++(lines_[i].source == kWant ? wants : sources)[id];
    }
  }
  std::size_t reached = 1;
  for (NodeId id = 1; id < nodes_.size(); ++id) {
    const Node& node = nodes_[id];
    if (node.label.empty()) {
      continue;  // a free one
    }
    ++reached;
    const Node& parent = nodes_[node.parent];
    const auto at = parent.children.find(node.label.front());
    if (node.wants != wants[id] || node.sources.size() != sources[id] ||
        node.tokens != parent.tokens + count_tokens(node.label) || at == parent.children.end() ||
        at->second != id || (ending[id] == 0 && node.children.size() < 2)) {
      return false;
    }
  }
  return reached == nodes();
}

}  // namespace deepmoat::scheduler
