#include "agent/server/eval_broker.h"

#include <algorithm>
#include <tuple>

#include "init/base/assert.h"

namespace steppe::server {

Result<> EvalBroker::enqueue(const QueuedEval& eval, MonoTime now) {
  if (const auto known = evals_.find(eval.id); known != evals_.end()) {
    Entry& entry = known->second;
    if (entry.place == Place::kOut) {
      entry.again = true;
      entry.next = eval;
    }
    return {};
  }
  if (evals_.size() >= settings_.capacity) return Error(Code::kExhausted, "the evaluation broker is full");
  Entry& entry = evals_[eval.id];
  entry.eval = eval;
  if (eval.wait > Duration::zero()) {
    wait(entry, now + eval.wait);
  } else {
    place(entry);
  }
  return {};
}

void EvalBroker::place(Entry& entry) {
  const auto [holder, first] = job_eval_.try_emplace(entry.eval.job, entry.eval.id);
  if (!first && holder->second != entry.eval.id) {
    entry.place = Place::kPending;
    pending_[entry.eval.job].insert(entry.eval.id);
    return;
  }
  entry.place = Place::kReady;
  ready_[static_cast<size_t>(entry.eval.type)].insert(rank(entry.eval));
}

void EvalBroker::wait(Entry& entry, MonoTime until) {
  entry.place = Place::kWaiting;
  arm(entry, until);
}

void EvalBroker::arm(Entry& entry, MonoTime at) {
  disarm(entry);
  entry.due = at;
  due_.insert({at.ns, entry.eval.id});
}

void EvalBroker::disarm(Entry& entry) {
  if (!entry.due) return;
  due_.erase({entry.due->ns, entry.eval.id});
  entry.due.reset();
}

std::optional<Delivery> EvalBroker::dequeue(const std::set<state::JobType>& types, MonoTime now) {
  std::set<Rank>* best = nullptr;
  for (const state::JobType type : types) {
    std::set<Rank>& queue = ready_[static_cast<size_t>(type)];
    if (!queue.empty() && (best == nullptr || *queue.begin() < *best->begin())) best = &queue;
  }
  if (best == nullptr) return std::nullopt;
  const EvalId id = best->begin()->id;
  best->erase(best->begin());
  return deliver(evals_.at(id), now);
}

std::optional<Delivery> EvalBroker::dequeue_failed(MonoTime now) {
  if (failed_.empty()) return std::nullopt;
  const EvalId id = failed_.begin()->id;
  failed_.erase(failed_.begin());
  return deliver(evals_.at(id), now);
}

Delivery EvalBroker::deliver(Entry& entry, MonoTime now) {
  entry.place = Place::kOut;
  entry.token = Uuid::random(rng_);
  ++entry.deliveries;
  arm(entry, now + settings_.nack_timeout);
  return {entry.eval.id, entry.token, entry.deliveries};
}

Result<EvalBroker::Entry*> EvalBroker::held(const EvalId& id, const Uuid& token) {
  const auto at = evals_.find(id);
  if (at == evals_.end() || at->second.place != Place::kOut) return Error(Code::kNotFound, "evaluation is not outstanding");
  if (at->second.token != token) return Error(Code::kDenied, "evaluation token does not match");
  return &at->second;
}

Result<> EvalBroker::ack(const EvalId& id, const Uuid& token, MonoTime now) {
  STEPPE_TRY(Entry * entry, held(id, token));
  disarm(*entry);
  const bool again = entry->again;
  const QueuedEval next = entry->next;
  const std::string job = entry->eval.job;
  evals_.erase(id);
  release_job(job);
  if (again) return enqueue(next, now);
  return {};
}

// The job's turn is free: its best pending evaluation gets it, and makes all others superfluous. Best is the highest
// priority, then the newest: it sees everything that the older ones were made for.
void EvalBroker::release_job(const std::string& job) {
  job_eval_.erase(job);
  const auto waiting = pending_.find(job);
  if (waiting == pending_.end()) return;
  const std::set<EvalId> ids = std::move(waiting->second);
  pending_.erase(waiting);
  const Entry* best = nullptr;
  for (const EvalId& id : ids) {
    const Entry& entry = evals_.at(id);
    const auto key = [](const Entry& e) { return std::tuple(e.eval.priority, e.eval.modify_index, e.eval.create_index, e.eval.id); };
    if (best == nullptr || key(*best) < key(entry)) best = &entry;
  }
  const EvalId kept = best->eval.id;
  for (const EvalId& id : ids) {
    if (id == kept) continue;
    evals_.erase(id);
    cancelable_.push_back(id);
  }
  place(evals_.at(kept));
}

Result<> EvalBroker::nack(const EvalId& id, const Uuid& token, MonoTime now) {
  STEPPE_TRY(Entry * entry, held(id, token));
  give_back(*entry, now);
  return {};
}

void EvalBroker::give_back(Entry& entry, MonoTime now) {
  disarm(entry);
  entry.token = {};
  if (entry.again) {
    entry.again = false;
    entry.eval.modify_index = entry.next.modify_index;
  }
  if (entry.deliveries >= settings_.delivery_limit) {
    entry.place = Place::kFailed;
    failed_.insert(rank(entry.eval));
    return;
  }
  // It keeps its job's turn: the evaluations behind it would fail in the same way.
  wait(entry, now + redelivery_delay(entry.deliveries));
}

Duration EvalBroker::redelivery_delay(uint32_t deliveries) const {
  if (deliveries == 0) return Duration::zero();
  if (deliveries == 1) return settings_.first_redelivery;
  return settings_.later_redelivery * (deliveries - 1);
}

Result<> EvalBroker::pause_nack(const EvalId& id, const Uuid& token) {
  STEPPE_TRY(Entry * entry, held(id, token));
  disarm(*entry);
  return {};
}

Result<> EvalBroker::resume_nack(const EvalId& id, const Uuid& token, MonoTime now) {
  STEPPE_TRY(Entry * entry, held(id, token));
  arm(*entry, now + settings_.nack_timeout);
  return {};
}

std::optional<Uuid> EvalBroker::outstanding(const EvalId& id) const {
  const auto at = evals_.find(id);
  if (at == evals_.end() || at->second.place != Place::kOut) return std::nullopt;
  return at->second.token;
}

void EvalBroker::expire(MonoTime now) {
  while (!due_.empty() && due_.begin()->first <= now.ns) {
    Entry& entry = evals_.at(due_.begin()->second);
    disarm(entry);
    if (entry.place == Place::kOut) {
      give_back(entry, now);
    } else {
      place(entry);
    }
  }
}

std::optional<MonoTime> EvalBroker::next_deadline() const {
  if (due_.empty()) return std::nullopt;
  return MonoTime{due_.begin()->first};
}

std::vector<EvalId> EvalBroker::take_cancelable(size_t most) {
  const size_t count = std::min(most, cancelable_.size());
  std::vector<EvalId> taken(cancelable_.begin(), cancelable_.begin() + static_cast<ptrdiff_t>(count));
  cancelable_.erase(cancelable_.begin(), cancelable_.begin() + static_cast<ptrdiff_t>(count));
  return taken;
}

void EvalBroker::forget(const EvalId& id) {
  std::erase(cancelable_, id);
  const auto at = evals_.find(id);
  if (at == evals_.end() || at->second.place == Place::kOut) return;
  Entry& entry = at->second;
  disarm(entry);
  ready_[static_cast<size_t>(entry.eval.type)].erase(rank(entry.eval));
  failed_.erase(rank(entry.eval));
  const std::string job = entry.eval.job;
  if (const auto pending = pending_.find(job); pending != pending_.end()) {
    pending->second.erase(id);
    if (pending->second.empty()) pending_.erase(pending);
  }
  evals_.erase(at);
  if (const auto holder = job_eval_.find(job); holder != job_eval_.end() && holder->second == id) release_job(job);
}

void EvalBroker::clear() {
  evals_.clear();
  job_eval_.clear();
  pending_.clear();
  for (auto& queue : ready_) queue.clear();
  failed_.clear();
  due_.clear();
  cancelable_.clear();
}

EvalBroker::Stats EvalBroker::stats() const {
  Stats stats;
  for (const auto& [id, entry] : evals_) {
    switch (entry.place) {
      case Place::kWaiting: ++stats.waiting; break;
      case Place::kReady: ++stats.ready; break;
      case Place::kPending: ++stats.pending; break;
      case Place::kOut: ++stats.unacked; break;
      case Place::kFailed: ++stats.failed; break;
    }
  }
  stats.cancelable = cancelable_.size();
  return stats;
}

}  // namespace steppe::server
