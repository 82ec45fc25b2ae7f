// For tests: a disk in memory that loses power, is full, or fails one operation. Deterministic: all
// chance comes from the generator that it is given.
//
// What was written and not synced may be lost sector by sector when the power goes, in any
// combination; entries of the folder in the order in which they were made. After a failed sync the
// file is at its worst until the machine goes down: its pages count as written though they are not,
// and later syncs of it succeed without writing anything.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "audit/disk.h"

namespace deepmoat::audit {

enum class Fault : std::uint8_t { power_loss, kill, write_error, sync_error, disk_full };

class SimulatedDisk final : public Disk {
 public:
  explicit SimulatedDisk(std::mt19937_64& random) : random_(random) {}

  // The fault comes at the operation `operations` from now.
  void plan(Fault fault, std::uint64_t operations) {
    fault_ = fault;
    left_ = operations;
    dead_ = false;
  }
  void plan_nothing() {
    fault_.reset();
    dead_ = false;
  }
  [[nodiscard]] bool happened() const { return happened_; }

  // The power was away: what was not durable is gone, in part.
  void lose_power() {
    for (auto& [name, node] : names_) {
      node->lose(random_);
    }
    for (auto& [name, node] : durable_names_) {
      node->lose(random_);
    }
    const std::uint64_t kept = entries_.empty() ? 0 : random_() % (entries_.size() + 1);
    for (std::uint64_t i = 0; i < kept; ++i) {
      apply(durable_names_, entries_[i]);
    }
    entries_.clear();
    names_ = durable_names_;
  }

  Result<std::vector<std::string>> list(const std::filesystem::path& /*folder*/) override {
    std::vector<std::string> found;
    for (const auto& [name, node] : names_) {
      found.push_back(name);
    }
    return found;
  }
  bool exists(const std::filesystem::path& path) override {
    return names_.contains(path.filename().string());
  }
  Result<std::unique_ptr<DiskReader>> open(const std::filesystem::path& path) override {
    TRY(Node node, find(path));
    return std::make_unique<Reader>(std::move(node));
  }
  Result<std::unique_ptr<DiskFile>> open_to_write(const std::filesystem::path& path) override {
    CHECK_OK(operate());
    TRY(Node node, find(path));
    return std::make_unique<File>(*this, std::move(node));
  }
  Result<std::unique_ptr<DiskFile>> create(const std::filesystem::path& path,
                                           std::uint64_t bytes) override {
    CHECK_OK(operate(Fault::disk_full));
    const auto node = std::make_shared<Inode>();
    node->now.assign(bytes, '\0');
    for (std::uint64_t at = 0; at < bytes; at += kSector) {
      node->dirty.insert(at);
    }
    change({.to = path.filename().string(), .node = node});
    return std::make_unique<File>(*this, node);
  }
  Result<> rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    CHECK_OK(operate());
    TRY(Node node, find(from));
    change({.from = from.filename().string(), .to = to.filename().string(), .node = node});
    return {};
  }
  Result<> remove(const std::filesystem::path& path) override {
    CHECK_OK(operate());
    change({.from = path.filename().string(), .to = {}, .node = nullptr});
    return {};
  }
  Result<> sync_folder(const std::filesystem::path& /*folder*/) override {
    CHECK_OK(operate());
    for (const Entry& entry : entries_) {
      apply(durable_names_, entry);
    }
    entries_.clear();
    return {};
  }

 private:
  static constexpr std::uint64_t kSector = 512;

  struct Inode {
    std::string now;                // what reads show
    std::string durable;            // what survives
    std::set<std::uint64_t> dirty;  // sectors of `now` that a sync would write
    bool broken = false;            // a sync failed

    void write_sector(std::uint64_t at) {
      if (durable.size() < now.size()) {
        durable.resize(now.size(), '\0');
      }
      const std::uint64_t bytes = std::min<std::uint64_t>(kSector, now.size() - at);
      durable.replace(at, bytes, now, at, bytes);
    }
    void lose(std::mt19937_64& random) {
      const std::uint64_t all_or_some = random() % 4;  // none, all, or a mixture
      for (const std::uint64_t at : dirty) {
        if (all_or_some == 1 || (all_or_some > 1 && random() % 2 == 0)) {
          write_sector(at);
        }
      }
      dirty.clear();
      broken = false;
      now = durable;
    }
  };
  using Node = std::shared_ptr<Inode>;

  struct Entry {
    std::string from;  // empty: a new file
    std::string to;    // empty: removed
    Node node;
  };

  class Reader final : public DiskReader {
   public:
    explicit Reader(Node node) : node_(std::move(node)) {}
    std::uint64_t bytes() const override { return node_->now.size(); }
    Result<> read_at(char* out, std::size_t bytes, std::uint64_t offset) const override {
      if (offset + bytes > node_->now.size()) {
        return fail(Code::corrupt, "became shorter");
      }
      node_->now.copy(out, bytes, offset);
      return {};
    }

   private:
    Node node_;
  };

  class File final : public DiskFile {
   public:
    File(SimulatedDisk& disk, Node node) : disk_(disk), node_(std::move(node)) {}
    Result<> write_at(std::string_view bytes, std::uint64_t offset) override {
      Result<> done = disk_.operate(Fault::write_error);
      // A write that fails, or is cut, may have begun.
      const std::uint64_t written = done ? bytes.size() : disk_.random_() % (bytes.size() + 1);
      node_->now.replace(offset, written, bytes.substr(0, written));
      for (std::uint64_t at = offset / kSector * kSector; at < offset + written; at += kSector) {
        node_->dirty.insert(at);
      }
      return done;
    }
    Result<> sync() override {
      const Result<> done = disk_.operate(Fault::sync_error);
      node_->broken = node_->broken || (!done && disk_.fault_was_error());
      if (done && !node_->broken) {
        for (const std::uint64_t at : node_->dirty) {
          node_->write_sector(at);
        }
      }
      if (done || node_->broken) {
        node_->dirty.clear();
      }
      return done;
    }

   private:
    SimulatedDisk& disk_;
    Node node_;
  };

  Result<Node> find(const std::filesystem::path& path) const {
    const auto found = names_.find(path.filename().string());
    return found == names_.end() ? fail(Code::not_found, path.string() + " is not there")
                                 : Result<Node>(found->second);
  }
  static void apply(std::map<std::string, Node>& names, const Entry& entry) {
    names.erase(entry.from);
    if (!entry.to.empty()) {
      names[entry.to] = entry.node;
    }
  }
  void change(Entry entry) {
    apply(names_, entry);
    entries_.push_back(std::move(entry));
  }
  [[nodiscard]] bool fault_was_error() const { return happened_ && !dead_; }

  // Counts an operation; errors of a kind hit the first operation that can have them.
  Result<> operate(std::optional<Fault> can_have = std::nullopt) {
    if (dead_) {
      return fail(Code::io, "the machine is down");
    }
    if (left_ > 0) {
      --left_;
    }
    if (!fault_ || left_ > 0) {
      return {};
    }
    const bool ends = *fault_ == Fault::power_loss || *fault_ == Fault::kill;
    if (!ends && can_have != fault_) {
      return {};
    }
    dead_ = ends;
    happened_ = true;
    fault_.reset();
    return fail(Code::io, "fault");
  }

  std::mt19937_64& random_;
  std::map<std::string, Node> names_;
  std::map<std::string, Node> durable_names_;
  std::vector<Entry> entries_;  // since the last sync of the folder
  std::optional<Fault> fault_;
  std::uint64_t left_ = 0;
  bool dead_ = false;
  bool happened_ = false;
};

}  // namespace deepmoat::audit
