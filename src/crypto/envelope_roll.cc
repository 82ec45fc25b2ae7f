// Generations of the envelope: the first, the newest at a start, and the roll to the next.
//
// Order of a roll: keystore n says that n+1 is doomed -> key-encryption key n+1 in custody ->
// keystore n+1, which says that n is doomed, whole and durable (the moment it counts) -> read back
// -> in use
// -> key-encryption key n destroyed -> keystore n removed. So whenever it is cut short, the newest
// keystore names what has to go, and a start finishes that.
#include <fmt/format.h>
#include <unistd.h>

#include <unordered_set>

#include "base/file.h"
#include "base/random.h"
#include "crypto/bytes.h"
#include "crypto/envelope.h"
#include "crypto/envelope_state.h"

namespace deepmoat::crypto {

namespace {

constexpr std::string_view kMasterPurpose = "deepmoat master key 1";

Result<std::shared_ptr<const Secret>> new_master() {
  TRY(std::string random, random_bytes(kAeadKeyBytes));
  return std::make_shared<const Secret>(std::move(random));
}

}  // namespace

Result<std::unique_ptr<Envelope>> Envelope::open(EnvelopeOptions options, KeyCustody& custody,
                                                 const Clock& clock) {
  CHECK_OK(make_directory(options.folder, 0700));
  std::unique_ptr<Envelope> envelope(new Envelope(std::move(options), custody, clock));
  const std::lock_guard changing(envelope->change_);
  CHECK_OK(envelope->load());
  return envelope;
}

// Binds a wrapped master key to its generation and to this installation.
std::string Envelope::master_associated(const Keystore& keystore) const {
  std::string bytes(kMasterPurpose);
  put_number(bytes, keystore.generation);
  put_number(bytes, keystore.made_ms);
  put_text(bytes, root_id_);
  return bytes;
}

void Envelope::replace(StatePtr next) {
  const std::lock_guard lock(mutex_);
  if (!state_) {
    return;  // locked meanwhile: unlock() reads what is on the disk
  }
  state_ = std::move(next);
  const auto stays = [this](std::uint64_t id) { return state_->find(id) != nullptr; };
  cache_->erase_unless(stays);
  std::erase_if(budget_, [&](const auto& entry) { return !stays(entry.first); });
}

Result<> Envelope::load() {
  TRY(const std::vector<std::uint64_t> found, keystore_generations(options_.folder));
  StatePtr newest;
  if (found.empty()) {
    TRY(newest, first_generation());
  } else {
    TRY(newest, read_generation(found.back()));
  }
  {
    const std::lock_guard lock(mutex_);
    state_ = newest;  // nothing is cached: it was just made, or locked
  }
  // What a cut roll left. A token that does not answer now does not keep a server from starting.
  (void)destroy_doomed(*newest, nullptr);
  return {};
}

Result<Envelope::StatePtr> Envelope::first_generation() {
  if (!options_.may_begin) {
    return fail(Code::not_found,
                "the keystore of the envelope, " + options_.folder.string() +
                    "/envelope-<n>.keys, is gone, and without it no encrypted field can be read; "
                    "restore it from a backup");
  }
  TRY(const std::vector<std::uint64_t> taken, custody_.generations());
  auto first = std::make_shared<State>();
  // Another data folder may use the same token: never touch a generation that we did not make.
  first->keystore.generation = taken.empty() ? 1 : taken.back() + 1;
  first->keystore.made_ms = clock_.unix_ms();
  TRY(first->master, new_master());
  CHECK_OK(custody_.generate(first->keystore.generation));
  TRY(first->keystore.wrapped_master, custody_.wrap(first->keystore.generation, *first->master,
                                                    master_associated(first->keystore)));
  CHECK_OK(write(*first));
  return first;
}

Result<Envelope::StatePtr> Envelope::read_generation(std::uint64_t generation) {
  const std::filesystem::path path = keystore_path(options_.folder, generation);
  const auto named = [&](const Error& error) {
    return fail(error.code, path.string() + ": " + error.message);
  };
  TRY(const std::string bytes, read_file(path, kKeystoreBytesMax));
  auto keystore = parse_keystore(bytes);
  if (!keystore) {
    return named(keystore.error());
  }
  if (keystore->generation != generation) {
    return named({Code::corrupt, "it holds another generation than its name says"});
  }
  auto master = custody_.unwrap(generation, keystore->wrapped_master, master_associated(*keystore));
  if (!master) {
    return named(
        {master.error().code, "its master key cannot be unwrapped: " + master.error().message});
  }
  if (const auto whole = check_keystore(bytes, *master); !whole) {
    return named(whole.error());
  }
  auto state = std::make_shared<State>();
  state->keystore = *std::move(keystore);
  state->master = std::make_shared<const Secret>(*std::move(master));
  state->index();
  return state;
}

Result<> Envelope::write(const State& state) const {
  return write_file_atomic(keystore_path(options_.folder, state.keystore.generation),
                           keystore_bytes(state.keystore, *state.master), 0600);
}

Result<Envelope::StatePtr> Envelope::reseal(const State& old, std::uint64_t generation,
                                            std::span<const std::string> dropped) {
  const std::unordered_set<std::string_view> gone(dropped.begin(), dropped.end());
  auto next = std::make_shared<State>();
  next->keystore.generation = generation;
  next->keystore.doomed_generation = old.keystore.generation;
  next->keystore.next_key_id = old.keystore.next_key_id;
  next->keystore.made_ms = clock_.unix_ms();
  TRY(next->master, new_master());
  TRY(next->keystore.wrapped_master,
      custody_.wrap(generation, *next->master, master_associated(next->keystore)));
  for (const SealedTenantKey& key : old.keystore.keys) {
    if (gone.contains(key.tenant)) {
      continue;
    }
    TRY(const Secret material, open_tenant_key(key, old.keystore.generation, *old.master));
    SealedTenantKey kept = key;
    CHECK_OK(seal_tenant_key(kept, generation, *next->master, material));
    next->keystore.keys.push_back(std::move(kept));
  }
  next->index();
  return next;
}

// Custody must open what it wrapped, and every key must open, before anything old goes.
Result<> Envelope::write_and_verify(const State& next) {
  CHECK_OK(write(next));
  TRY(const StatePtr read, read_generation(next.keystore.generation));
  if (read->keystore.keys.size() != next.keystore.keys.size()) {
    return fail(Code::corrupt, "the new keystore does not hold the keys that were written");
  }
  for (const SealedTenantKey& key : read->keystore.keys) {
    TRY(const Secret material, open_tenant_key(key, read->keystore.generation, *read->master));
  }
  return {};
}

// After a failed roll: its file must be gone for certain, or the next start would take it.
Result<> Envelope::take_back(std::uint64_t generation) {
  const std::filesystem::path path = keystore_path(options_.folder, generation);
  ::unlink((path.string() + ".new").c_str());
  const bool removed = ::unlink(path.c_str()) == 0 || errno == ENOENT;
  if (!removed || !sync_directory(options_.folder)) {
    lock();
    return fail(Code::io, path.string() +
                              " could not be taken back after a failed roll; restart the server: "
                              "the start decides which generation counts");
  }
  (void)custody_.destroy(generation);  // never used; what stays of it is harmless
  return {};
}

// From here on a start destroys what the roll may have begun.
Result<> Envelope::announce(const State& old, std::uint64_t generation) {
  auto announced = std::make_shared<State>(old);
  announced->keystore.doomed_generation = generation;
  CHECK_OK(write(*announced));
  replace(std::move(announced));
  return {};
}

Result<RollReport> Envelope::roll(std::span<const std::string> dropped) {
  const std::lock_guard changing(change_);
  if (options_.may_issue) {
    CHECK_OK(options_.may_issue());
  }
  TRY(const StatePtr old, state());
  CHECK_OK(destroy_doomed(*old, nullptr));  // one generation at most is left over
  TRY(const std::vector<std::uint64_t> taken, custody_.generations());
  RollReport report;
  report.old_generation = old->keystore.generation;
  report.new_generation = std::max(report.old_generation, taken.empty() ? 0 : taken.back()) + 1;
  CHECK_OK(announce(*old, report.new_generation));
  CHECK_OK(custody_.generate(report.new_generation));
  auto next = reseal(*old, report.new_generation, dropped);
  Result<> written = next ? write_and_verify(**next) : std::unexpected(next.error());
  if (!written) {
    CHECK_OK(take_back(report.new_generation));
    return std::unexpected(written.error());
  }
  report.keys_kept = (*next)->keystore.keys.size();
  report.keys_dropped = old->keystore.keys.size() - report.keys_kept;
  replace(*next);
  report.old_destroyed = destroy_doomed(**next, &old->keystore).has_value();
  return report;
}

// `old`: when it is known, custody is asked to open its master key, which must fail now.
Result<> Envelope::destroy_doomed(const State& state, const Keystore* old) {
  const std::uint64_t doomed = state.keystore.doomed_generation;
  if (doomed == 0) {
    return {};
  }
  const auto destroy = [&]() -> Result<> {
    CHECK_OK(custody_.destroy(doomed));
    TRY(const std::vector<std::uint64_t> left, custody_.generations());
    if (std::ranges::find(left, doomed) != left.end()) {
      return fail(Code::internal, "custody says that it destroyed a generation and still has it");
    }
    if (old != nullptr && custody_.unwrap(doomed, old->wrapped_master, master_associated(*old))) {
      return fail(Code::internal, "custody still opens what a destroyed generation wrapped");
    }
    const std::filesystem::path path = keystore_path(options_.folder, doomed);
    if (::unlink(path.c_str()) == 0) {
      return sync_directory(options_.folder);
    }
    return errno == ENOENT ? Result<>() : fail_errno(Code::io, "remove " + path.string());
  };
  const Result<> destroyed = destroy();
  const std::lock_guard lock(mutex_);
  undestroyed_ = destroyed ? 0 : doomed;
  return destroyed;
}

Result<> Envelope::finish() {
  const std::lock_guard changing(change_);
  TRY(const StatePtr current, state());
  return destroy_doomed(*current, nullptr);
}

void Envelope::lock() {
  const std::lock_guard lock(mutex_);
  state_.reset();
  cache_->erase_unless([](std::uint64_t) { return false; });
  budget_.clear();
}

Result<> Envelope::unlock() {
  const std::lock_guard changing(change_);
  if (state()) {
    return {};
  }
  return load();
}

}  // namespace deepmoat::crypto
