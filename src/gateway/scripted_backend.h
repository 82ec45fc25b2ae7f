// For this module's tests: a backend without a worker.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace deepmoat::gateway {

// Does with a call what its first message says, on a thread of its own.
class ScriptedBackend final : public backend::Backend {
 public:
  CallId submit(wire::InferRequest request, backend::EventSink sink) override {
    const std::lock_guard lock(mutex_);
    const CallId id(++last_id_);
    last_request_ = request;
    const std::string wish =
        request.has_chat() ? request.chat().messages(0).content() : request.text();
    if (wish == "wait") {
      sink(delta("begun"));
      waiting_.emplace(id, std::move(sink));
      return id;
    }
    threads_.emplace_back(
        [wish, n = request.n(), sink = std::move(sink)]() mutable { play(wish, n, sink); });
    return id;
  }

  void cancel(CallId call) override {
    const std::lock_guard lock(mutex_);
    const auto found = waiting_.find(call);
    if (found != waiting_.end()) {
      wire::Finished finished;
      finished.set_cancelled(true);
      found->second(finished);
      waiting_.erase(found);
      ++cancelled_;
    }
  }

  // Lets the calls that wait end well.
  void finish_waiting() {
    const std::lock_guard lock(mutex_);
    for (auto& [id, sink] : std::exchange(waiting_, {})) {
      sink(wire::Finished());
    }
  }

  [[nodiscard]] backend::BackendStatus status() const override {
    const std::lock_guard lock(mutex_);
    backend::BackendStatus status{.health = backend::Health::ready};
    for (const std::string& adapter : adapters_) {
      status.facts.add_adapters(adapter);
    }
    return status;
  }
  void set_adapters(std::vector<std::string> names) {
    const std::lock_guard lock(mutex_);
    adapters_ = std::move(names);
  }
  [[nodiscard]] backend::ModelIdentity identity() const override {
    return {.version = "v", .adapter_versions = {{"poet", "p"}}};
  }
  void shut_down() override {}
  [[nodiscard]] wire::InferRequest last_request() const {
    const std::lock_guard lock(mutex_);
    return last_request_;
  }
  [[nodiscard]] std::size_t waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }
  [[nodiscard]] int cancelled() const {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

 private:
  static wire::Delta delta(const std::string& text, std::uint32_t index = 0) {
    wire::Delta made;
    made.set_content(text);
    made.set_index(index);
    return made;
  }

  static void play(const std::string& wish, std::uint32_t n, backend::EventSink& sink) {
    if (wish == "refuse") {
      sink(wire::Refusal{.status = 503, .code = "model_loading", .retry_after_s = 5});
      return;
    }
    if (wish == "swap") {
      sink(backend::ModelIdentity{.version = "v2", .adapter_versions = {{"poet", "p2"}}});
    }
    for (std::uint32_t index = 0; index < n; ++index) {
      sink(delta("you said ", index));
      sink(delta(wish, index));
    }
    if (wish == "break") {
      sink(backend::Broken{{.status = 500, .code = "worker_crashed", .message = "It died."}});
      return;
    }
    for (std::uint32_t index = 0; index < n; ++index) {
      wire::ChoiceFinished done;
      done.set_index(index);
      done.set_reason(wire::FINISH_STOP);
      sink(done);
    }
    wire::Finished finished;
    finished.mutable_usage()->set_prompt_tokens(3);
    finished.mutable_usage()->set_completion_tokens(2);
    sink(finished);
  }

  mutable std::mutex mutex_;
  std::vector<std::string> adapters_;
  std::uint64_t last_id_ = 0;
  wire::InferRequest last_request_;
  int cancelled_ = 0;
  std::map<CallId, backend::EventSink> waiting_;
  std::vector<std::jthread> threads_;
};

}  // namespace deepmoat::gateway
