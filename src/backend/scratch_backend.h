// For this module's tests: a clock that the test moves, the events of a call, and a backend that
// does what the test says.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "backend/backend.h"
#include "base/clock.h"

namespace deepmoat::backend {

inline constexpr auto kPatience =
    std::chrono::seconds(60);  // how long a test waits before it fails

// Moved by the test while the supervisor reads it.
class SteppedClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis unix_ms() const override { return ms_; }
  [[nodiscard]] MonoNanos mono_ns() const override { return ms_ * 1'000'000; }
  void advance_ms(std::int64_t ms) { ms_ += ms; }

 private:
  std::atomic<std::int64_t> ms_ = 1'000'000;
};

// The events of one call.
class Events {
 public:
  EventSink sink() {
    return [this](InferenceEvent event) {
      const std::lock_guard lock(mutex_);
      EXPECT_FALSE(ended_) << "an event after the last one";
      if (const auto* delta = std::get_if<wire::Delta>(&event)) {
        text_ += delta->content();
      } else if (const auto* identity = std::get_if<ModelIdentity>(&event)) {
        EXPECT_EQ(text_, "") << "it answered before it said who answers";
        version_ = identity->version;
      } else if (!std::holds_alternative<wire::ChoiceFinished>(event)) {
        last_ = std::move(event);
        ended_ = true;
      }
      changed_.notify_all();
    };
  }

  InferenceEvent last() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [this] { return ended_; })) << "no last event";
    return last_;
  }
  // "finished", "cancelled", or the code of the refusal or the break.
  std::string outcome() {
    const InferenceEvent event = last();
    if (const auto* finished = std::get_if<wire::Finished>(&event)) {
      return finished->cancelled() ? "cancelled" : "finished";
    }
    if (const auto* refusal = std::get_if<wire::Refusal>(&event)) {
      return "refused " + refusal->code;
    }
    const auto* broken = std::get_if<Broken>(&event);
    return broken != nullptr ? "broken " + broken->refusal.code : "none";
  }
  void wait_begun() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [this] { return !text_.empty(); }));
  }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  // Of the model that has the call; empty: none has it yet.
  std::string version() {
    const std::lock_guard lock(mutex_);
    return version_;
  }
  bool ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::string version_;
  InferenceEvent last_;
  bool ended_ = false;
};

inline wire::InferRequest asking(const std::string& wish) {
  wire::InferRequest request;
  request.set_text(wish);
  return request;
}

template <class Condition>
void wait_until(const char* what, Condition condition) {
  const auto rounds = kPatience / std::chrono::milliseconds(2);
  for (auto round = rounds; !condition(); --round) {
    ASSERT_GT(round, 0) << what;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// What a test sees of its scripted backends, and tells them. Thread-safe.
class Script {
 public:
  void set_health(Health health) { health_ = health; }
  void set_failed_starts(std::uint64_t count) { failed_starts_ = count; }
  void set_memory(std::uint64_t bytes) { memory_bytes_ = bytes; }
  [[nodiscard]] int alive() const { return alive_; }
  [[nodiscard]] int submitted() const { return submitted_; }
  [[nodiscard]] int running() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(running_.size());
  }
  // Lets every running call end well.
  void finish_all() {
    std::map<CallId, EventSink> calls;
    {
      const std::lock_guard lock(mutex_);
      calls.swap(running_);
    }
    for (auto& [id, sink] : calls) {
      sink(wire::Finished());
    }
  }

 private:
  friend class ScriptedBackend;
  std::atomic<Health> health_ = Health::ready;
  std::atomic<std::uint64_t> failed_starts_ = 0;
  std::atomic<std::uint64_t> memory_bytes_ = 0;
  std::atomic<int> alive_ = 0;
  std::atomic<int> submitted_ = 0;
  mutable std::mutex mutex_;
  std::map<CallId, EventSink> running_;
};

// Says a word to each call and lets it run until the test ends it.
class ScriptedBackend final : public Backend {
 public:
  explicit ScriptedBackend(std::shared_ptr<Script> script, std::string word = "word")
      : script_(std::move(script)), word_(std::move(word)) {
    ++script_->alive_;
  }
  ~ScriptedBackend() override {
    ScriptedBackend::shut_down();
    --script_->alive_;
  }

  CallId submit(wire::InferRequest request, EventSink sink) override {
    wire::Delta delta;
    delta.set_content(word_);
    const CallId id(request.call_id());
    const std::lock_guard lock(script_->mutex_);
    sink(delta);
    script_->running_.emplace(id, std::move(sink));
    ++script_->submitted_;
    return id;
  }
  void cancel(CallId call) override {
    wire::Finished finished;
    finished.set_cancelled(true);
    end(call, finished);
  }
  [[nodiscard]] BackendStatus status() const override {
    BackendStatus status;
    status.health = script_->health_;
    status.failed_starts = script_->failed_starts_;
    status.failure = status.failed_starts > 0 ? "it fell over" : "";
    status.facts.set_memory_bytes(script_->memory_bytes_);
    status.stats.set_running(static_cast<std::uint32_t>(script_->running()));
    return status;
  }
  void shut_down() override {
    std::map<CallId, EventSink> calls;
    {
      const std::lock_guard lock(script_->mutex_);
      calls.swap(script_->running_);
    }
    for (auto& [id, sink] : calls) {
      sink(Broken{{.code = "draining"}});
    }
  }

 private:
  void end(CallId call, InferenceEvent last) {
    EventSink sink;
    {
      const std::lock_guard lock(script_->mutex_);
      const auto found = script_->running_.find(call);
      if (found == script_->running_.end()) {
        return;
      }
      sink = std::move(found->second);
      script_->running_.erase(found);
    }
    sink(std::move(last));
  }

  std::shared_ptr<Script> script_;
  std::string word_;
};

}  // namespace deepmoat::backend
