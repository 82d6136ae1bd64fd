#include "init/supervise/supervisor.h"

#include <algorithm>

#include "init/base/assert.h"

namespace steppe::supervise {

using Kind = Effect::Kind;

std::string_view reason_text(Reason reason) {
  switch (reason) {
    case Reason::kAsked: return "asked for";
    case Reason::kPowerButton: return "power button or hypervisor";
    case Reason::kCtrlAltDel: return "ctrl-alt-del";
    case Reason::kNotReady: return "the agent was not ready within its grace";
    case Reason::kBootFailed: return "the machine could not be brought up";
    case Reason::kSelf: return "PID 1 could not go on";
    case Reason::kTrial: return "the image on trial was not blessed in time";
  }
  return "unknown";
}

void Effects::add(Effect effect) {
  STEPPE_ASSERT(count_ < items_.size());
  items_[count_++] = effect;
}

Supervisor::Supervisor(std::span<const ServiceRules> services, const Rules& rules) : count_(services.size()), rules_(rules) {
  STEPPE_ASSERT(count_ <= kMaxServices);
  for (size_t i = 0; i < count_; ++i) services_[i].rules = services[i];
}

bool Supervisor::alive(const Service& service) const {
  switch (service.state) {
    case ServiceState::kStarting:
    case ServiceState::kReady:
    case ServiceState::kLeaving:
    case ServiceState::kKilling:
    case ServiceState::kStopping: return true;
    default: return false;
  }
}

bool Supervisor::has_deadline(const Service& service) const {
  switch (service.state) {
    case ServiceState::kIdle:
    case ServiceState::kDone:
    case ServiceState::kDown: return false;
    case ServiceState::kReady: return service.pinged && service.rules.watchdog.count() > 0;
    // A process that SIGKILL did not end has nothing more to wait for; the machine's own rules see to it.
    case ServiceState::kKilling: return !service.killed;
    default: return true;
  }
}

bool Supervisor::gated() const {
  return std::any_of(services_.begin(), services_.begin() + count_, [](const Service& s) { return s.rules.gate == ServiceRules::Gate::kYes; });
}

Duration Supervisor::delay(uint8_t service) const {
  uint32_t doublings = std::min<uint32_t>(services_[service].streak > 0 ? services_[service].streak - 1 : 0, 20);
  return std::min(rules_.backoff_first * (int64_t{1} << doublings), rules_.backoff_cap);
}

void Supervisor::begin(MonoTime now, Effects& out) {
  begun_at_ = healthy_at_ = feed_at_ = now;
  start_next(now, out);
  tick(now, out);
}

// Services start one after the other, and never once the machine goes down.
void Supervisor::start_next(MonoTime now, Effects& out) {
  if (phase_ != Phase::kRunning) return;
  for (size_t i = 0; i < count_; ++i) {
    if (services_[i].rules.gate == ServiceRules::Gate::kYes && held()) return;
    if (services_[i].state == ServiceState::kIdle) start(static_cast<uint8_t>(i), now, out);
    if (!services_[i].settled) return;
  }
}

void Supervisor::start(uint8_t service, MonoTime now, Effects& out) {
  Service& it = services_[service];
  it.state = ServiceState::kStarting;
  it.deadline = now + it.rules.start_limit;
  it.pinged = it.killed = false;
  out.add({Kind::kSpawn, service});
}

void Supervisor::kill(uint8_t service, Kind how, MonoTime now, Effects& out) {
  Service& it = services_[service];
  if (it.state == ServiceState::kReady && it.rules.gate == ServiceRules::Gate::kYes) healthy_at_ = now;
  it.state = ServiceState::kKilling;
  it.deadline = now + rules_.kill_limit;
  it.killed = how == Kind::kKill;
  out.add({how, service});
}

void Supervisor::exited(uint8_t service, Exit exit, MonoTime now, Effects& out) {
  Service& it = services_[service];
  if (!alive(it)) return;
  ServiceState before = it.state;
  if (before == ServiceState::kReady && it.rules.gate == ServiceRules::Gate::kYes) healthy_at_ = now;
  if (phase_ != Phase::kRunning) {
    it.state = ServiceState::kDown;
    if (before == ServiceState::kStopping) stop_next(now, out);
    return;
  }
  if (before == ServiceState::kStarting && it.rules.life == ServiceRules::Life::kStep && exit == Exit::kClean) {
    it.state = ServiceState::kDone;
    it.settled = true;
    start_next(now, out);
    return;
  }
  bool steady = (before == ServiceState::kReady || before == ServiceState::kLeaving) && now - it.ready_since >= rules_.steady;
  it.streak = steady ? 1 : it.streak + 1;
  ++it.crashes;
  it.settled = true;
  it.state = ServiceState::kBackoff;
  it.deadline = now + delay(service);
  out.add({Kind::kCrashed, service});
  start_next(now, out);
}

void Supervisor::ready(uint8_t service, MonoTime now, Effects& out) {
  Service& it = services_[service];
  if (it.state != ServiceState::kStarting || it.rules.life == ServiceRules::Life::kStep) return;
  it.state = ServiceState::kReady;
  it.ready_since = now;
  it.settled = true;
  out.add({Kind::kReadyNow, service});
  start_next(now, out);
}

void Supervisor::leaving(uint8_t service, MonoTime now, Effects&) {
  Service& it = services_[service];
  if (it.state != ServiceState::kReady) return;
  if (it.rules.gate == ServiceRules::Gate::kYes) healthy_at_ = now;
  it.state = ServiceState::kLeaving;
  it.deadline = now + it.rules.stop_limit;
}

bool Supervisor::waits(MonoTime now) const {
  return held() && services_[held_by_].state == ServiceState::kReady && now - services_[held_by_].ready_since >= rules_.steady;
}

void Supervisor::hold(uint8_t service) {
  if (services_[service].rules.gate == ServiceRules::Gate::kYes || phase_ != Phase::kRunning) return;
  held_by_ = service;
}

void Supervisor::go_on(uint8_t service, MonoTime now, Effects& out) {
  if (held_by_ != service) return;
  held_by_ = kMaxServices;
  healthy_at_ = now;
  start_next(now, out);
}

void Supervisor::pinged(uint8_t service, MonoTime now) {
  Service& it = services_[service];
  if (it.state != ServiceState::kReady) return;
  it.pinged = true;
  it.deadline = now + it.rules.watchdog;
}

bool Supervisor::request(Ending ending, Reason reason, MonoTime now, Effects& out) {
  if (phase_ != Phase::kRunning) return false;
  ending_ = ending;
  reason_ = reason;
  force_at_ = now + rules_.force_limit;
  out.add({Kind::kForceAt, 0, ending, reason});
  out.add({Kind::kRecordReason, 0, ending, reason});
  for (size_t i = 0; i < count_; ++i) {
    if (!alive(services_[i])) services_[i].state = ServiceState::kDown;
  }
  enter(Phase::kDraining, now, out);
  return true;
}

void Supervisor::enter(Phase phase, MonoTime now, Effects& out) {
  phase_ = phase;
  switch (phase) {
    case Phase::kRunning: return;
    case Phase::kDraining:
      phase_deadline_ = now + rules_.drain_limit;
      out.add({Kind::kDrain, 0});
      return;
    case Phase::kStopping:
      phase_deadline_ = force_at_;  // each service has its own limits
      stop_next(now, out);
      return;
    case Phase::kTerminating:
      phase_deadline_ = now + rules_.terminate_limit;
      out.add({Kind::kTerminateAll, 0});
      return;
    case Phase::kKilling:
      phase_deadline_ = now + rules_.kill_limit;
      out.add({Kind::kKillAll, 0});
      return;
    case Phase::kUnmounting:
      phase_deadline_ = now + rules_.unmount_limit;
      out.add({Kind::kUnmount, 0});
      return;
    case Phase::kSyncing:
      phase_deadline_ = now + rules_.sync_limit;
      out.add({Kind::kSync, 0});
      return;
    case Phase::kEnding:
      out.add({Kind::kEnd, 0, ending_, reason_});
      return;
  }
}

// Stops the last service that still runs, one at a time.
void Supervisor::stop_next(MonoTime now, Effects& out) {
  for (size_t i = count_; i-- > 0;) {
    Service& it = services_[i];
    if (!alive(it)) continue;
    if (it.state == ServiceState::kStopping) return;
    it.state = ServiceState::kStopping;
    it.killed = false;
    it.deadline = now + it.rules.stop_limit;
    out.add({Kind::kTerminate, static_cast<uint8_t>(i)});
    return;
  }
  enter(Phase::kTerminating, now, out);
}

void Supervisor::drained(MonoTime now, Effects& out) {
  if (phase_ == Phase::kDraining) enter(Phase::kStopping, now, out);
}

// With no process left, neither signal has anybody to reach. Nothing is counted while services still stop in order.
void Supervisor::emptied(MonoTime now, Effects& out) {
  if (phase_ == Phase::kTerminating || phase_ == Phase::kKilling) enter(Phase::kUnmounting, now, out);
}

void Supervisor::step_over(MonoTime now, Effects& out) {
  if (phase_ == Phase::kUnmounting) enter(Phase::kSyncing, now, out);
  else if (phase_ == Phase::kSyncing) enter(Phase::kEnding, now, out);
}

void Supervisor::phase_deadline(MonoTime now, Effects& out) {
  switch (phase_) {
    case Phase::kRunning:
    case Phase::kEnding: return;
    case Phase::kDraining: return enter(Phase::kStopping, now, out);
    case Phase::kStopping: return enter(Phase::kTerminating, now, out);
    case Phase::kTerminating: return enter(Phase::kKilling, now, out);
    case Phase::kKilling: return enter(Phase::kUnmounting, now, out);
    case Phase::kUnmounting: return enter(Phase::kSyncing, now, out);
    case Phase::kSyncing: return enter(Phase::kEnding, now, out);
  }
}

void Supervisor::service_deadline(uint8_t service, MonoTime now, Effects& out) {
  Service& it = services_[service];
  switch (it.state) {
    case ServiceState::kStarting: return kill(service, Kind::kKill, now, out);
    case ServiceState::kReady: return kill(service, Kind::kAbort, now, out);
    case ServiceState::kLeaving:
    case ServiceState::kKilling: return kill(service, Kind::kKill, now, out);
    case ServiceState::kBackoff: return start(service, now, out);
    case ServiceState::kStopping:
      if (!it.killed) {
        it.killed = true;
        it.deadline = now + rules_.kill_limit;
        out.add({Kind::kKillTree, service});
      } else {
        it.state = ServiceState::kDown;  // it cannot die: left behind, for the signals to all and the forced end
        stop_next(now, out);
      }
      return;
    default: return;
  }
}

void Supervisor::tick(MonoTime now, Effects& out) {
  if (phase_ == Phase::kEnding) return;
  if (phase_ != Phase::kRunning && now >= force_at_) return enter(Phase::kEnding, now, out);
  for (size_t i = 0; i < count_; ++i) {
    Service& it = services_[i];
    if (!has_deadline(it) || now < it.deadline) continue;
    bool starting = it.state == ServiceState::kStarting;
    service_deadline(static_cast<uint8_t>(i), now, out);
    if (starting && phase_ == Phase::kRunning) {
      it.settled = true;
      start_next(now, out);
    }
  }
  if (phase_ != Phase::kRunning && phase_ != Phase::kEnding && now >= phase_deadline_) phase_deadline(now, out);
  for (size_t i = 0; i < count_ && phase_ == Phase::kRunning; ++i) {
    const Service& it = services_[i];
    if (it.rules.gate == ServiceRules::Gate::kYes && it.state == ServiceState::kReady) healthy_at_ = now;
  }
  if (waits(now)) healthy_at_ = now;
  if (phase_ == Phase::kRunning && gated() && now - healthy_at_ >= rules_.ready_grace) request(Ending::kReboot, Reason::kNotReady, now, out);
  if (phase_ == Phase::kRunning && on_trial() && now >= trial_deadline()) request(Ending::kReboot, Reason::kTrial, now, out);
  if (phase_ != Phase::kEnding && now >= feed_at_) {
    feed_at_ = now + rules_.feed_interval;
    out.add({Kind::kFeed, 0});
  }
}

MonoTime Supervisor::next_deadline() const {
  if (phase_ == Phase::kEnding) return {INT64_MAX};
  MonoTime next = feed_at_;
  for (size_t i = 0; i < count_; ++i) {
    const Service& it = services_[i];
    if (has_deadline(it)) next = std::min(next, it.deadline);
  }
  if (phase_ != Phase::kRunning) next = std::min({next, phase_deadline_, force_at_});
  else if (gated()) next = std::min(next, healthy_at_ + rules_.ready_grace);
  if (phase_ == Phase::kRunning && on_trial()) next = std::min(next, trial_deadline());
  return next;
}

}  // namespace steppe::supervise
