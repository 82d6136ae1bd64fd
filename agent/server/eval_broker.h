#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/state/status.h"
#include "init/base/clock.h"
#include "init/base/ids.h"
#include "init/base/result.h"
#include "init/base/rng.h"

namespace steppe::server {

// What the broker knows of an evaluation; the rest is looked up when it is delivered.
struct QueuedEval {
  EvalId id;
  std::string job;  // state::job_key; one evaluation of a job is handed out at a time
  state::JobType type = state::JobType::kService;
  int32_t priority = 0;
  uint64_t create_index = 0;
  uint64_t modify_index = 0;
  Duration wait{};  // not before this has passed
};

// The right to work on an evaluation until it is acknowledged, given back, or its time is over.
struct Delivery {
  EvalId id;
  Uuid token;
  uint32_t deliveries = 0;  // this one included
};

// Decides which evaluation is worked on next: at-least-once delivery, one evaluation of a job at a time, highest priority
// first and oldest within one. Pure: the clock is an argument, tokens come from the given Rng.
//
//   state     event                         next
//   waiting   its time comes                ready, or pending when another one of its job is ready or out
//   ready     dequeue                       out, with a fresh token and the nack timer started
//   pending   the job's eval is acked       the best one: ready; all others: cancelable (they ask for nothing that it does not)
//   out       ack                           gone; enqueued again when it was enqueued while out
//   out       nack, or nack timer           waiting (1 s, then 20 s a further delivery); failed after delivery_limit deliveries
//   failed    dequeue_failed                out
// An evaluation out with a plan in the queue has its timer paused: the plan's applier owns the delay.
class EvalBroker {
 public:
  struct Settings {
    Duration nack_timeout = std::chrono::seconds(60);
    Duration first_redelivery = std::chrono::seconds(1);
    Duration later_redelivery = std::chrono::seconds(20);
    uint32_t delivery_limit = 3;
    size_t capacity = 1'000'000;  // evaluations known at once; at the bound enqueue() refuses
  };

  EvalBroker(const Settings& settings, Rng& rng) : settings_(settings), rng_(rng) {}

  // kExhausted at capacity: the evaluation is safe in the state, the leader enqueues it again by a scan when there is room.
  // An evaluation that is known already stays as it is, or, when it is out, comes back after its ack.
  Result<> enqueue(const QueuedEval& eval, MonoTime now);

  // The best ready evaluation of the given types.
  std::optional<Delivery> dequeue(const std::set<state::JobType>& types, MonoTime now);
  // One that reached its delivery limit; for the leader, which ends it.
  std::optional<Delivery> dequeue_failed(MonoTime now);

  // kNotFound "evaluation is not outstanding", kDenied "evaluation token does not match".
  Result<> ack(const EvalId& id, const Uuid& token, MonoTime now);
  Result<> nack(const EvalId& id, const Uuid& token, MonoTime now);
  Result<> pause_nack(const EvalId& id, const Uuid& token);
  Result<> resume_nack(const EvalId& id, const Uuid& token, MonoTime now);
  std::optional<Uuid> outstanding(const EvalId& id) const;

  // Moves on what is due: nack timers, delayed redeliveries, waits.
  void expire(MonoTime now);
  std::optional<MonoTime> next_deadline() const;

  // Superseded evaluations to be marked canceled, at most `most`.
  std::vector<EvalId> take_cancelable(size_t most);
  // Forgets an evaluation that is waiting, ready or pending; one that is out stays until its ack.
  void forget(const EvalId& id);
  void clear();

  struct Stats {
    size_t ready = 0;
    size_t unacked = 0;
    size_t pending = 0;
    size_t waiting = 0;
    size_t cancelable = 0;
    size_t failed = 0;
  };
  Stats stats() const;
  size_t ready(state::JobType type) const { return ready_[static_cast<size_t>(type)].size(); }
  size_t size() const { return evals_.size(); }

 private:
  enum class Place : uint8_t { kWaiting, kReady, kPending, kOut, kFailed };
  struct Entry {
    QueuedEval eval;
    Place place = Place::kReady;
    uint32_t deliveries = 0;
    Uuid token;                   // while out
    std::optional<MonoTime> due;  // waiting: when; out: the nack timer
    bool again = false;           // enqueued while out
    QueuedEval next;              // what was enqueued then
  };
  // Priority descending, then age, then id: a strict order, the same on every machine.
  struct Rank {
    int32_t priority;
    uint64_t create_index;
    EvalId id;
    friend bool operator<(const Rank& a, const Rank& b) {
      if (a.priority != b.priority) return a.priority > b.priority;
      if (a.create_index != b.create_index) return a.create_index < b.create_index;
      return a.id < b.id;
    }
  };
  static Rank rank(const QueuedEval& eval) { return {eval.priority, eval.create_index, eval.id}; }

  Result<Entry*> held(const EvalId& id, const Uuid& token);
  void place(Entry& entry);                    // into ready or pending, by its job
  void wait(Entry& entry, MonoTime until);
  void arm(Entry& entry, MonoTime at);
  void disarm(Entry& entry);
  void give_back(Entry& entry, MonoTime now);  // after a nack or a timeout
  void release_job(const std::string& job);
  Delivery deliver(Entry& entry, MonoTime now);
  Duration redelivery_delay(uint32_t deliveries) const;

  Settings settings_;
  Rng& rng_;
  std::map<EvalId, Entry> evals_;
  std::map<std::string, EvalId, std::less<>> job_eval_;  // the one of each job that is ready, out or about to be redelivered
  std::map<std::string, std::set<EvalId>, std::less<>> pending_;
  std::array<std::set<Rank>, 5> ready_;  // by JobType
  std::set<Rank> failed_;
  std::set<std::pair<int64_t, EvalId>> due_;
  std::vector<EvalId> cancelable_;
};

}  // namespace steppe::server
