// Whether a model thinks, by the tags in its text. For .cc files of this folder only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace deepmoat::engine {

struct ThinkingTags {
  std::string start;              // empty: the model does not think
  std::vector<std::string> ends;  // the first one is what ends it by force
  bool open = false;              // the prompt ends inside

  [[nodiscard]] bool known() const { return !start.empty() && !ends.empty(); }
};

class Thinking {
 public:
  explicit Thinking(ThinkingTags tags) : tags_(std::move(tags)), inside_(tags_.open) {}

  // Text that the model writes, in any pieces.
  void feed(std::string_view text) {
    if (!tags_.known()) {
      return;
    }
    seen_.append(text);
    for (;;) {
      const Found found = first_of_next();
      if (found.end == 0) {
        break;
      }
      seen_.erase(0, found.end);
      inside_ = !inside_;
    }
    std::size_t keep = tags_.start.size();
    for (const std::string& end : tags_.ends) {
      keep = keep < end.size() ? end.size() : keep;
    }
    if (seen_.size() > keep) {
      seen_.erase(0, seen_.size() - keep);
    }
  }

  [[nodiscard]] bool inside() const { return inside_; }
  [[nodiscard]] const ThinkingTags& tags() const { return tags_; }

 private:
  struct Found {
    std::size_t at = std::string::npos;
    std::size_t end = 0;  // 0: not found
  };

  [[nodiscard]] Found first_of_next() const {
    Found first;
    const auto look = [&](const std::string& tag) {
      const std::size_t at = seen_.find(tag);
      if (at < first.at) {
        first = {at, at + tag.size()};
      }
    };
    if (!inside_) {
      look(tags_.start);
    } else {
      for (const std::string& end : tags_.ends) {
        look(end);
      }
    }
    return first;
  }

  ThinkingTags tags_;
  std::string seen_;
  bool inside_;
};

}  // namespace deepmoat::engine
