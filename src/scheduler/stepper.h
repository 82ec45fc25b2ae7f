// The work of one step on the state; lives for one call of step().
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "scheduler/memory.h"
#include "scheduler/state.h"
#include "scheduler/types.h"

namespace deepmoat::scheduler {

class Stepper {
 public:
  Stepper(State& state, const Inputs& inputs);
  Plan run();

 private:
  // Who goes first: class, service of the tenant, when it was last served, arrival, choice.
  using Turn = std::tuple<std::uint32_t, double, std::uint64_t, std::uint64_t, std::uint32_t>;

  struct Candidate {
    Match match;
    bool skipped = false;  // in this step
  };

  // What came in (calls.cc).
  void lose(SequenceId sequence);
  void cancel(std::uint64_t call);
  void fork(const Sampled& sampled);
  void accept(const Sampled& sampled);
  void finish_branch(std::vector<Branch>::iterator branch);
  void arrive(const NewCall& call);
  [[nodiscard]] std::optional<Refusal::Kind> reason_against(const NewCall& call) const;
  void enqueue(const NewCall& call);
  void refuse_late();
  void end_call(std::uint64_t call);
  void count_queue();
  [[nodiscard]] double work_left(const Branch& branch, std::uint32_t computed) const;
  [[nodiscard]] double all_work();
  [[nodiscard]] std::uint64_t time_for_all_ms();
  [[nodiscard]] std::uint64_t retry_after_ms(const NewCall& call, Refusal::Kind why);

  // Who runs (admission.cc).
  void choose_adapter();
  void make_room_for_answers();
  void admit();
  [[nodiscard]] bool may_admit() const;
  [[nodiscard]] std::optional<std::size_t> pick() const;
  bool try_to_admit(std::size_t index);
  bool waits_for_another(const Branch& branch, const Match& found);
  void skip_from(const Branch& branch);
  void start(std::size_t index);
  [[nodiscard]] bool has_rows(const Branch& branch) const;
  [[nodiscard]] bool has_room(const Branch& branch, const Match& found) const;
  [[nodiscard]] std::uint32_t answer_reserve(const Branch& branch) const;
  [[nodiscard]] std::uint32_t class_of(const Branch& branch) const;
  [[nodiscard]] Turn turn_of(const Branch& branch) const;
  [[nodiscard]] bool may_preempt(const Branch& victim, const Branch* candidate) const;
  [[nodiscard]] std::optional<std::size_t> find_victim(const Branch* candidate) const;
  std::size_t preempt(std::size_t index);

  // The batch (batch.cc).
  [[nodiscard]] std::uint32_t row_budget() const;
  [[nodiscard]] bool is_newcomer(const Branch& branch) const;
  bool fill_with_newcomers();
  void fill_batch();
  [[nodiscard]] bool is_answer(const Branch& branch) const;
  [[nodiscard]] std::uint32_t answers() const;
  [[nodiscard]] std::uint32_t left_of(const Branch& branch) const;
  void add_chunk(Branch& branch, std::uint32_t end, bool decode);

  State& s_;
  const Inputs& in_;
  Plan plan_;
  Memory memory_;
  std::uint32_t budget_ = 0;                  // rows of the batch that are left
  std::vector<Candidate> candidates_;         // one for each of State::waiting, while admitting
  std::map<SequenceId, Turn> lent_;           // of those who wait for what this one computes
  std::map<Tenants::Id, double> queue_work_;  // of each tenant, counted when first asked for
  double running_work_ = 0;
  bool queue_counted_ = false;
};

}  // namespace deepmoat::scheduler
