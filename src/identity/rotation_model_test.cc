// Random lives of keys against a model that fits on a page: make, rotate, use, expire, revoke,
// clocks that jump either way. After every step each key does what the model says.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

const FactorOwner kOwner{.tenant = "default", .client_id = "app"};
constexpr std::size_t kKeysMax = 6;
constexpr std::size_t kStepsMax = 30;

struct ModelKey {
  std::string shown;
  KeyId id;
  UnixMillis expires_ms = 0;
  UnixMillis overlap_until_ms = 0;
  bool revoked = false;
  bool replaced = false;  // its successor was used
  int predecessor = -1;
};

struct Step {
  int action = 0;
  int key = 0;
  int size = 0;
};

class Model {
 public:
  Model() : secret_(keys_.enrolled(kOwner)), latest_ms_(keys_.clock_.unix_ms()) { create(); }

  void take(const Step& step) {
    const std::size_t index = static_cast<std::size_t>(step.key) % model_.size();
    switch (step.action) {
      case 0:
        return create();
      case 1:
      case 2:
        return rotate(index);
      case 3:
      case 4:
        return use(index);
      case 5:
        return expire(index);
      case 6:
        return revoke(index);
      case 7:
        return jump(step.size, 1);
      case 8:
        return jump(step.size, -1);
      default:
        return write_down(index);
    }
  }

  // What can be asked without using a key; and every row is sealed.
  void check_all() {
    Authenticator fresh(keys_.authority_);
    RC_ASSERT(fresh.replace(*keys_.database_->list_keys()) == 0U);
    for (std::size_t i = 0; i < model_.size(); ++i) {
      const bool may = expected(model_[i], kRotationGraceMs) == "ok";
      RC_ASSERT(keys_.authenticator_.may_rotate(model_[i].id, keys_.clock_.unix_ms()) == may);
      const bool valid = !model_[i].revoked && latest_ms_ < model_[i].expires_ms;
      RC_ASSERT(keys_.authenticator_.still_valid(model_[i].id, keys_.clock_.unix_ms()) == valid);
    }
  }

  // Every first use written down, a start of the server later: the same answers.
  void check_after_restart() {
    for (std::size_t i = 0; i < model_.size(); ++i) {
      write_down(i);
    }
    Authenticator fresh(keys_.authority_);
    fresh.replace(*keys_.database_->list_keys());
    for (const ModelKey& key : model_) {
      const auto principal = fresh.authenticate(key.shown, latest_ms_);
      const std::string answer =
          principal ? "ok" : std::string(failure_code(principal.error().kind));
      // A successor stands after the key whose place it takes, so its use here changes nothing
      // that was not looked at.
      RC_ASSERT(answer == expected(key, 0));
    }
  }

 private:
  std::string expected(const ModelKey& key, std::int64_t grace_ms) const {
    if (key.revoked) {
      return "key_revoked";
    }
    if (key.replaced || (key.overlap_until_ms != 0 && latest_ms_ >= key.overlap_until_ms)) {
      return "key_replaced";
    }
    return latest_ms_ >= key.expires_ms + grace_ms ? "key_expired" : "ok";
  }

  void was_used(std::size_t index) {
    if (model_[index].predecessor >= 0) {
      model_[static_cast<std::size_t>(model_[index].predecessor)].replaced = true;
    }
  }

  void create() {
    if (model_.size() >= kKeysMax) {
      return;
    }
    const CreatedKey made = keys_.make("app");
    model_.push_back({.shown = std::string(made.shown.reveal()),
                      .id = made.info.key_id,
                      .expires_ms = made.info.expires_ms});
  }

  void use(std::size_t index) {
    const std::string answer = expected(model_[index], 0);
    RC_ASSERT(keys_.tried(model_[index].shown) == answer);
    if (answer == "ok") {
      was_used(index);
    }
  }

  void rotate(std::size_t index) {
    if (model_.size() >= kKeysMax) {
      return;
    }
    // The device shows a code that was never used: a step after all that were.
    keys_.clock_.advance_ms(latest_ms_ + crypto::kOtpStepMs - keys_.clock_.unix_ms());
    latest_ms_ = keys_.clock_.unix_ms();
    const std::string answer = expected(model_[index], kRotationGraceMs);
    RotatedKey made;
    RC_ASSERT(keys_.rotated(model_[index].shown, keys_.code_of(secret_), &made) == answer);
    if (answer != "ok") {
      return;
    }
    was_used(index);
    for (ModelKey& other : model_) {
      other.revoked = other.revoked || other.predecessor == static_cast<int>(index);
    }
    ModelKey& old = model_[index];
    if (old.overlap_until_ms == 0) {
      old.overlap_until_ms = std::min(latest_ms_ + kOverlapMs, old.expires_ms + kRotationGraceMs);
    }
    const KeyInfo& next = made.successor.info;
    RC_ASSERT(next.expires_ms == latest_ms_ + kKeyLifetimeMaxS * 1000);
    model_.push_back({.shown = std::string(made.successor.shown.reveal()),
                      .id = next.key_id,
                      .expires_ms = next.expires_ms,
                      .predecessor = static_cast<int>(index)});
  }

  void expire(std::size_t index) {
    const UnixMillis at_ms = keys_.clock_.unix_ms();
    const auto done = keys_.service_->expire(keys_.admin(), model_[index].id.value(), at_ms);
    if (done) {
      model_[index].expires_ms = done->expires_ms;
    }
    RC_ASSERT(done.has_value() == (at_ms <= model_[index].expires_ms));
  }

  void revoke(std::size_t index) {
    RC_ASSERT(keys_.service_->revoke(keys_.admin(), model_[index].id.value(), "test").has_value());
    model_[index].revoked = true;
  }

  void jump(int size, int direction) {
    constexpr std::array<std::int64_t, 5> kJumpsMs{30'000, 3'600'000, 25 * 3'600'000LL, 15 * kDayMs,
                                                   80 * kDayMs};
    const std::int64_t jump_ms = kJumpsMs[static_cast<std::size_t>(size) % kJumpsMs.size()];
    keys_.clock_.advance_ms(direction * jump_ms);
    if (keys_.clock_.unix_ms() < kTestNowMs) {
      keys_.clock_.advance_ms(kTestNowMs - keys_.clock_.unix_ms());
    }
    latest_ms_ = std::max(latest_ms_, keys_.clock_.unix_ms());
    keys_.authenticator_.observe_time(keys_.clock_.unix_ms());
  }

  // As the gateway does after a first use, sooner or later.
  void write_down(std::size_t index) {
    const int predecessor = model_[index].predecessor;
    if (predecessor < 0 || !model_[static_cast<std::size_t>(predecessor)].replaced) {
      return;
    }
    RC_ASSERT(keys_.rotation_->retire_predecessor(keys_.admin(), model_[index].id).has_value());
  }

  ScratchKeys keys_;
  std::string secret_;
  UnixMillis latest_ms_;
  std::vector<ModelKey> model_;
};

rc::Gen<Step> any_step() {
  return rc::gen::build<Step>(rc::gen::set(&Step::action, rc::gen::inRange(0, 10)),
                              rc::gen::set(&Step::key, rc::gen::inRange(0, 1'000)),
                              rc::gen::set(&Step::size, rc::gen::inRange(0, 5)));
}

RC_GTEST_PROP(RotationModel, DoesWhatTheModelSays, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(1, kStepsMax);
  const auto steps = *rc::gen::container<std::vector<Step>>(count, any_step());
  Model model;
  for (const Step& step : steps) {
    model.take(step);
    model.check_all();
  }
  model.check_after_restart();
}

}  // namespace
}  // namespace deepmoat::identity
