#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "init/base/clock.h"

// The rules by which PID 1 keeps services alive and takes the machine down. Pure: events in, effects out. It knows no
// process, file, clock or text from outside; the shell (shell.h) does what it says and tells it what happened.
//
// A service:
//   state      event                        -> state     why
//   idle       all before it are settled    -> starting  order: devices before the agent. "Settled" is ready once, failed once or
//                                                        past its start limit: a broken service delays the next one, never stops it
//   starting   READY=1                      -> ready
//   starting   start limit                  -> killing   a service that hangs while it starts is one that crashed
//   ready      STOPPING=1                   -> leaving   it was not asked to, but may end in peace
//   ready      no WATCHDOG=1 in its time    -> killing   SIGABRT first: the core says where it hung
//   leaving    stop limit                   -> killing
//   killing    kill limit                   -> killing   SIGKILL; a process that cannot die is waited for: two of one service never run
//   any alive  exit                         -> backoff   an exit is a crash: what runs may not end by itself
//   starting   clean exit of a step         -> done      a step (configuration, disks) is done once, and tried again after a failure
//   backoff    its time                     -> starting  100 ms, doubled each time up to 10 s; steady for a minute starts over
//   any        shutdown reaches it          -> stopping  SIGTERM, after its limit cgroup.kill
//   stopping   exit                         -> down
//
// The machine:
//   running -> draining -> stopping -> terminating -> killing -> unmounting -> syncing -> ending
// A machine without a configuration waits for one: hold() by the service that looks for it keeps the gating service from its start and
// `ready_grace` from running, until go_on(). The grace stands still only while the holder is steady: one that keeps
// crashing is a machine that does not come up.
//
// Each step has a deadline of its own at which the next begins, whatever is left; `force_limit` after the request everything
// that is left is skipped. ending: one reboot(2). What hangs below PID 1 is the business of the shell's forcing thread and of the
// hardware watchdog, which is no longer fed then.
//
// A trial of a new image: once trial() was said, blessed() must follow within `trial_limit` of begin(), or the machine reboots in order
// with that reason, and the boot loader has one try less.
//
// The watchdog is fed by tick(), so only while PID 1's loop turns, and while the gating service was ready within `ready_grace`; past it the
// machine goes down in order, with that reason.
namespace steppe::supervise {

inline constexpr size_t kMaxServices = 8;

struct ServiceRules {
  enum class Gate : uint8_t { kNo, kYes };
  enum class Life : uint8_t { kStays, kStep };
  Duration start_limit;      // to READY=1
  Duration stop_limit;       // from SIGTERM to cgroup.kill
  Duration watchdog{0};      // between two WATCHDOG=1, from the first one on; 0: none asked for
  Gate gate = Gate::kNo;     // the machine is healthy only while this one is ready
  // kStep: it ends, with 0 when it did its work, within start_limit; it says no READY=1. The next service starts then, or after its
  // first failure.
  Life life = Life::kStays;
};

struct Rules {
  Duration backoff_first = std::chrono::milliseconds(100);
  Duration backoff_cap = std::chrono::seconds(10);
  Duration steady = std::chrono::minutes(1);         // ready for that long: earlier crashes are forgotten
  Duration feed_interval = std::chrono::seconds(5);  // of the hardware watchdog
  Duration ready_grace = std::chrono::minutes(10);
  Duration trial_limit = std::chrono::minutes(5);    // from begin() to blessed()
  Duration kill_limit = std::chrono::seconds(5);     // after SIGABRT, SIGKILL or cgroup.kill
  Duration drain_limit = std::chrono::seconds(30);
  Duration terminate_limit = std::chrono::seconds(5);
  Duration unmount_limit = std::chrono::seconds(15);
  Duration sync_limit = std::chrono::seconds(15);
  Duration force_limit = std::chrono::seconds(100);
};

enum class ServiceState : uint8_t { kIdle, kStarting, kReady, kLeaving, kKilling, kBackoff, kDone, kStopping, kDown };
enum class Phase : uint8_t { kRunning, kDraining, kStopping, kTerminating, kKilling, kUnmounting, kSyncing, kEnding };
enum class Ending : uint8_t { kReboot, kPowerOff, kHalt };
// Why the machine goes down. Kept over the reboot; numbers are never reused.
enum class Reason : uint8_t { kAsked = 1, kPowerButton = 2, kCtrlAltDel = 3, kNotReady = 4, kBootFailed = 5, kSelf = 6, kTrial = 7 };
std::string_view reason_text(Reason reason);

struct Effect {
  enum class Kind : uint8_t {
    kSpawn,         // service: start it; exited() when that cannot be done
    kTerminate,     // service: SIGTERM to its main process
    kAbort,         // service: SIGABRT
    kKill,          // service: SIGKILL to its main process only: what it left (executors) goes on
    kKillTree,      // service: its whole cgroup
    kReadyNow,      // service: it said so just now
    kCrashed,       // service: it ended; crashes() and delay() say the rest
    kFeed,          // the hardware watchdog
    kRecordReason,  // keep `reason` over the reboot
    kForceAt,       // arrange, apart from this loop, that the machine ends in `ending` at force_deadline() whatever happens
    kDrain,         // start the drain; drained() when it is over
    kTerminateAll,  // SIGTERM to every process; emptied() when none is left
    kKillAll,       // cgroup.kill and SIGKILL to every process; emptied() when none is left
    kUnmount,       // start unmounting in a child; step_over()
    kSync,          // start the last sync in a child; step_over()
    kEnd,           // reboot(2)
  } kind;
  uint8_t service = 0;
  Ending ending = Ending::kReboot;
  Reason reason = Reason::kAsked;
};

// What one event asks for, in order. One event has at most two effects a service and a few for the machine.
class Effects {
 public:
  void add(Effect effect);
  std::span<const Effect> all() const { return {items_.data(), count_}; }

 private:
  std::array<Effect, 4 * kMaxServices + 8> items_{};
  size_t count_ = 0;
};

class Supervisor {
 public:
  // At most kMaxServices, in start order; they stop in the reverse one.
  Supervisor(std::span<const ServiceRules> services, const Rules& rules);

  // Once, first.
  void begin(MonoTime now, Effects& out);
  // A service's main process ended (kClean: with 0), or could not be made.
  enum class Exit : uint8_t { kClean, kFailed };
  void exited(uint8_t service, Exit exit, MonoTime now, Effects& out);
  void ready(uint8_t service, MonoTime now, Effects& out);     // READY=1; said again, or by one that runs already: nothing
  void leaving(uint8_t service, MonoTime now, Effects& out);   // STOPPING=1
  // Keeps the gating service from its start, or lets it start. Of the gating service itself: nothing; one that runs is left alone.
  void hold(uint8_t service);
  void go_on(uint8_t service, MonoTime now, Effects& out);
  bool held() const { return held_by_ < count_; }
  void pinged(uint8_t service, MonoTime now);                  // WATCHDOG=1
  // Takes the machine down. While it goes down already: ignored, false.
  bool request(Ending ending, Reason reason, MonoTime now, Effects& out);
  void drained(MonoTime now, Effects& out);
  void emptied(MonoTime now, Effects& out);
  void step_over(MonoTime now, Effects& out);
  // What runs is an image on trial; said again, or after blessed(): nothing.
  void trial() { trial_ = true; }
  void blessed() { blessed_ = true; }
  bool on_trial() const { return trial_ && !blessed_; }
  MonoTime trial_deadline() const { return begun_at_ + rules_.trial_limit; }
  // Time went on. Called at next_deadline() at the latest, and as often as one likes.
  void tick(MonoTime now, Effects& out);

  MonoTime next_deadline() const;
  MonoTime force_deadline() const { return force_at_; }
  Phase phase() const { return phase_; }
  Ending ending() const { return ending_; }
  Reason reason() const { return reason_; }
  ServiceState state(uint8_t service) const { return services_[service].state; }
  uint64_t crashes(uint8_t service) const { return services_[service].crashes; }  // since boot
  Duration delay(uint8_t service) const;                                          // before the next start, after `crashes`
  size_t service_count() const { return count_; }

 private:
  struct Service {
    ServiceRules rules;
    ServiceState state = ServiceState::kIdle;
    MonoTime deadline{};     // of the state; none in kIdle, kDown, and kReady without watchdog
    MonoTime ready_since{};
    bool settled = false, pinged = false, killed = false;
    uint32_t streak = 0;     // crashes in a row without a steady time between
    uint64_t crashes = 0;
  };

  void start_next(MonoTime now, Effects& out);
  void start(uint8_t service, MonoTime now, Effects& out);
  void kill(uint8_t service, Effect::Kind how, MonoTime now, Effects& out);
  void service_deadline(uint8_t service, MonoTime now, Effects& out);
  void enter(Phase phase, MonoTime now, Effects& out);
  void stop_next(MonoTime now, Effects& out);
  void phase_deadline(MonoTime now, Effects& out);
  bool has_deadline(const Service& service) const;
  bool alive(const Service& service) const;
  bool gated() const;
  bool waits(MonoTime now) const;  // held by a service that is steady

  std::array<Service, kMaxServices> services_{};
  size_t count_;
  Rules rules_;
  Phase phase_ = Phase::kRunning;
  Ending ending_ = Ending::kReboot;
  Reason reason_ = Reason::kAsked;
  size_t held_by_ = kMaxServices;  // the service that holds; kMaxServices: none
  MonoTime phase_deadline_{}, force_at_{}, feed_at_{}, healthy_at_{}, begun_at_{};
  bool trial_ = false, blessed_ = false;
};

}  // namespace steppe::supervise
