#include "init/supervise/supervisor.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace steppe::supervise {
namespace {

using namespace std::chrono_literals;
using Kind = Effect::Kind;
using Exit = Supervisor::Exit;

MonoTime at(Duration since_boot) { return MonoTime{1'000'000'000'000} + since_boot; }

const char* kind_name(Kind kind) {
  static constexpr const char* kNames[] = {"spawn", "terminate", "abort",  "kill",          "kill-tree", "ready",   "crashed", "feed",
                                           "record", "force",    "drain",  "terminate-all", "kill-all",  "unmount", "sync",    "end"};
  return kNames[static_cast<int>(kind)];
}

bool of_service(Kind kind) { return kind <= Kind::kCrashed; }

// "spawn 0, spawn 1"; feeding is left out unless asked for.
std::string text(const Effects& effects, bool with_feed = false) {
  std::string out;
  for (const Effect& e : effects.all()) {
    if (e.kind == Kind::kFeed && !with_feed) continue;
    out += (out.empty() ? "" : ", ") + std::string(kind_name(e.kind));
    if (of_service(e.kind)) out += " " + std::to_string(e.service);
  }
  return out;
}

ServiceRules plain() { return {.start_limit = 30s, .stop_limit = 10s}; }
ServiceRules gate() { return {.start_limit = 30s, .stop_limit = 10s, .gate = ServiceRules::Gate::kYes}; }

struct Steps {
  explicit Steps(std::vector<ServiceRules> services, Rules rules = {}) : it(services, rules) {}
  std::string begin() { return say([&](Effects& e) { it.begin(at(0s), e); }); }
  std::string ready(uint8_t s, Duration t) { return say([&](Effects& e) { it.ready(s, at(t), e); }); }
  std::string exited(uint8_t s, Duration t, Exit exit = Exit::kFailed) { return say([&](Effects& e) { it.exited(s, exit, at(t), e); }); }
  std::string leaving(uint8_t s, Duration t) { return say([&](Effects& e) { it.leaving(s, at(t), e); }); }
  std::string tick(Duration t, bool feed = false) { return say([&](Effects& e) { it.tick(at(t), e); }, feed); }
  std::string request(Ending ending, Duration t) { return say([&](Effects& e) { it.request(ending, Reason::kAsked, at(t), e); }); }
  std::string drained(Duration t) { return say([&](Effects& e) { it.drained(at(t), e); }); }
  std::string emptied(Duration t) { return say([&](Effects& e) { it.emptied(at(t), e); }); }
  std::string step_over(Duration t) { return say([&](Effects& e) { it.step_over(at(t), e); }); }
  std::string say(const std::function<void(Effects&)>& event, bool feed = false) {
    Effects effects;
    event(effects);
    return text(effects, feed);
  }
  Supervisor it;
};

TEST(Supervisor, services_start_one_after_the_other) {
  Steps run({plain(), plain(), gate()});
  EXPECT_EQ(run.begin(), "spawn 0");
  EXPECT_EQ(run.ready(0, 1s), "ready 0, spawn 1");
  EXPECT_EQ(run.ready(0, 2s), "") << "said again";
  EXPECT_EQ(run.ready(2, 2s), "") << "it does not run";
  EXPECT_EQ(run.ready(1, 3s), "ready 1, spawn 2");
  EXPECT_EQ(run.ready(2, 4s), "ready 2");
}

TEST(Supervisor, a_held_machine_waits_for_its_configuration_and_does_not_reboot) {
  Steps run({plain(), plain(), gate()});
  run.begin();
  run.it.hold(0);
  EXPECT_EQ(run.ready(0, 2s), "ready 0, spawn 1") << "what is no gate starts";
  EXPECT_EQ(run.ready(1, 3s), "ready 1");
  for (int minute = 1; minute < 1'800; ++minute) EXPECT_EQ(run.tick(std::chrono::minutes(minute)), "") << minute;
  EXPECT_EQ(run.say([&](Effects& e) { run.it.go_on(1, at(30h), e); }), "") << "not the one that holds";
  EXPECT_EQ(run.say([&](Effects& e) { run.it.go_on(0, at(30h), e); }), "spawn 2");
  EXPECT_EQ(run.say([&](Effects& e) { run.it.go_on(0, at(30h), e); }), "");
  EXPECT_EQ(run.ready(2, 30h + 10s), "ready 2");
  run.it.hold(0);
  EXPECT_EQ(run.tick(50h), "") << "one that runs goes on";
  EXPECT_EQ(run.it.state(2), ServiceState::kReady);
}

TEST(Supervisor, a_holder_that_does_not_live_holds_back_no_reboot) {
  Steps run({plain(), gate()});
  run.begin();
  run.it.hold(1);
  EXPECT_FALSE(run.it.held()) << "the gate does not hold itself";
  run.it.hold(0);
  run.ready(0, 1s);
  for (Duration t = 1min; t < 20min; t += 5s) EXPECT_EQ(run.tick(t), "");
  EXPECT_EQ(run.exited(0, 20min), "crashed 0") << "the gate does not start because of it";
  EXPECT_EQ(run.tick(20min + 1s), "spawn 0");
  run.ready(0, 20min + 2s);
  for (Duration t = 21min; t < 50min; t += 5s) EXPECT_EQ(run.tick(t), "") << "it lives again and holds still";
  Duration when = 50min;
  while (run.it.phase() == Phase::kRunning && when < 90min) {
    run.exited(0, when);
    for (int i = 0; i < 3; ++i) run.tick(when += 5s);
    run.ready(0, when);
    run.it.hold(0);
    run.tick(when += 20s);
  }
  EXPECT_EQ(run.it.reason(), Reason::kNotReady);
  EXPECT_GE(when, 59min) << "the grace counts from where it was last steady";
  EXPECT_LT(when, 61min);
}

TEST(Supervisor, a_broken_service_delays_the_next_and_does_not_stop_it) {
  Steps crash({plain(), gate()});
  crash.begin();
  EXPECT_EQ(crash.exited(0, 1s), "crashed 0, spawn 1");
  Steps hang({plain(), gate()});
  hang.begin();
  EXPECT_EQ(hang.tick(29s), "");
  EXPECT_EQ(hang.tick(30s), "kill 0, spawn 1");
  EXPECT_EQ(hang.exited(0, 31s), "crashed 0");
}

ServiceRules step() { return {.start_limit = 30s, .stop_limit = 10s, .life = ServiceRules::Life::kStep}; }

TEST(Supervisor, a_step_is_done_once) {
  Steps run({step(), gate()});
  EXPECT_EQ(run.begin(), "spawn 0");
  EXPECT_EQ(run.ready(0, 1s), "") << "it ends, that is all";
  EXPECT_EQ(run.exited(0, 2s, Exit::kClean), "spawn 1");
  EXPECT_EQ(run.it.state(0), ServiceState::kDone);
  EXPECT_EQ(run.tick(1h), "kill 1, force, record, drain") << "nothing of the step";
}

TEST(Supervisor, a_step_that_fails_is_tried_again_while_the_next_goes_on) {
  Steps run({step(), gate()});
  run.begin();
  EXPECT_EQ(run.exited(0, 1s), "crashed 0, spawn 1");
  EXPECT_EQ(run.tick(1s + 100ms), "spawn 0");
  EXPECT_EQ(run.tick(31s + 100ms), "kill 0, kill 1") << "one that hangs is killed";
  EXPECT_EQ(run.exited(0, 32s, Exit::kClean), "crashed 0") << "killed is not done, whatever it says";
  EXPECT_EQ(run.tick(33s), "spawn 0");
  EXPECT_EQ(run.exited(0, 34s, Exit::kClean), "");
  EXPECT_EQ(run.it.crashes(0), 2u);
}

TEST(Supervisor, a_service_that_ends_cleanly_has_crashed_all_the_same) {
  Steps run({gate()});
  run.begin();
  run.ready(0, 1s);
  EXPECT_EQ(run.exited(0, 2s, Exit::kClean), "crashed 0");
}

TEST(Supervisor, backoff_doubles_to_its_cap_and_is_forgotten_after_a_steady_minute) {
  Steps run({gate()});
  run.begin();
  Duration now = 0s, expected[] = {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 6400ms, 10s, 10s, 10s};
  uint64_t crashes = 0;
  for (Duration wait : expected) {
    EXPECT_EQ(run.exited(0, now), "crashed 0");
    EXPECT_EQ(run.it.crashes(0), ++crashes);
    EXPECT_EQ(run.it.delay(0), wait);
    EXPECT_EQ(run.tick(now + wait - 1ns), "");
    now += wait;
    EXPECT_EQ(run.tick(now), "spawn 0");
  }
  run.ready(0, now);
  EXPECT_EQ(run.exited(0, now + 59s), "crashed 0");
  EXPECT_EQ(run.it.delay(0), 10s) << "not steady";
  now += 70s;
  run.tick(now);
  run.ready(0, now);
  EXPECT_EQ(run.exited(0, now + 60s), "crashed 0");
  EXPECT_EQ(run.it.delay(0), 100ms);
  EXPECT_EQ(run.it.crashes(0), 12u) << "counted since boot";
}

TEST(Supervisor, a_service_with_a_watchdog_that_falls_silent_is_aborted_then_killed) {
  ServiceRules rules = gate();
  rules.watchdog = 20s;
  Steps run({rules});
  run.begin();
  run.ready(0, 1s);
  EXPECT_EQ(run.tick(5min), "") << "the first word arms it";
  run.it.pinged(0, at(5min));
  EXPECT_EQ(run.tick(5min + 19s), "");
  EXPECT_EQ(run.tick(5min + 20s), "abort 0");
  EXPECT_EQ(run.tick(5min + 24s), "");
  EXPECT_EQ(run.tick(5min + 25s), "kill 0");
  EXPECT_EQ(run.tick(6min), "") << "no second one while the first is not gone";
  EXPECT_EQ(run.exited(0, 6min), "crashed 0");
}

TEST(Supervisor, a_service_may_leave_by_itself_and_starts_again) {
  Steps run({gate()});
  run.begin();
  run.ready(0, 1s);
  run.leaving(0, 2s);
  EXPECT_EQ(run.tick(11s), "");
  EXPECT_EQ(run.tick(12s), "kill 0");
  EXPECT_EQ(run.exited(0, 13s), "crashed 0");
}

TEST(Supervisor, shutdown_goes_through_all_steps_in_order) {
  Steps run({plain(), plain(), gate()});
  run.begin();
  run.ready(0, 1s), run.ready(1, 1s), run.ready(2, 1s);
  EXPECT_EQ(run.request(Ending::kPowerOff, 10s), "force, record, drain");
  EXPECT_EQ(run.request(Ending::kReboot, 10s), "") << "one is under way";
  EXPECT_EQ(run.it.ending(), Ending::kPowerOff);
  EXPECT_EQ(run.drained(12s), "terminate 2");
  EXPECT_EQ(run.exited(2, 13s), "terminate 1") << "no restart";
  EXPECT_EQ(run.emptied(13s), "") << "services still stop";
  EXPECT_EQ(run.exited(1, 13s), "terminate 0");
  EXPECT_EQ(run.exited(0, 13s), "terminate-all");
  EXPECT_EQ(run.emptied(14s), "unmount");
  EXPECT_EQ(run.step_over(15s), "sync");
  EXPECT_EQ(run.step_over(16s), "end");
  EXPECT_EQ(run.tick(10min, true), "") << "not fed any more: a reboot(2) that hangs is the watchdog's";
}

TEST(Supervisor, whatever_hangs_has_a_deadline) {
  Rules rules;
  rules.force_limit = 10min;
  Steps run({plain(), gate()}, rules);
  run.begin();
  run.ready(0, 1s), run.ready(1, 1s);
  run.request(Ending::kReboot, 100s);
  EXPECT_EQ(run.tick(129s), "");
  EXPECT_EQ(run.tick(130s), "terminate 1");
  EXPECT_EQ(run.tick(140s), "kill-tree 1");
  EXPECT_EQ(run.tick(145s), "terminate 0") << "the one before it cannot die and is left behind";
  EXPECT_EQ(run.tick(155s), "kill-tree 0");
  EXPECT_EQ(run.tick(160s), "terminate-all");
  EXPECT_EQ(run.tick(165s), "kill-all");
  EXPECT_EQ(run.tick(170s), "unmount");
  EXPECT_EQ(run.tick(185s), "sync");
  EXPECT_EQ(run.tick(200s), "end");
}

TEST(Supervisor, the_forced_end_skips_everything) {
  Steps run({gate()});
  run.begin();
  run.ready(0, 1s);
  run.request(Ending::kReboot, 10s);
  EXPECT_EQ(run.it.force_deadline(), at(110s));
  EXPECT_EQ(run.tick(110s), "end");
  EXPECT_EQ(run.tick(111s), "");
  EXPECT_EQ(run.exited(0, 112s), "");
}

TEST(Supervisor, fed_while_the_agent_was_ready_within_its_grace_then_an_orderly_reboot) {
  Steps run({gate()});
  run.begin();
  EXPECT_EQ(run.tick(0s, true), "") << "begin fed";
  EXPECT_EQ(run.tick(5s, true), "feed");
  EXPECT_EQ(run.tick(9s, true), "");
  run.ready(0, 10s);
  run.tick(2h);
  run.exited(0, 2h);
  run.tick(2h + 1s);
  EXPECT_EQ(run.it.state(0), ServiceState::kStarting);
  EXPECT_EQ(run.tick(2h + 9min, true), "kill 0, feed") << "it hangs in its start, but the machine still has grace";
  EXPECT_EQ(run.tick(2h + 10min - 1ns), "");
  EXPECT_EQ(run.tick(2h + 10min), "force, record, drain");
  EXPECT_EQ(run.tick(2h + 10min + 5s, true), "feed") << "orderly, and fed until the end";
  EXPECT_EQ(run.it.reason(), Reason::kNotReady);
}

TEST(Supervisor, a_trial_that_nobody_blesses_ends_by_a_reboot) {
  Steps run({gate()});
  run.begin();
  run.ready(0, 20s);
  run.it.trial();
  EXPECT_TRUE(run.it.on_trial());
  EXPECT_EQ(run.it.trial_deadline(), at(5min)) << "since the boot, not since it was known";
  EXPECT_LE(run.it.next_deadline(), at(5min));
  EXPECT_EQ(run.tick(5min - 1ns), "");
  EXPECT_EQ(run.tick(5min), "force, record, drain") << "ready, but not blessed";
  EXPECT_EQ(run.it.reason(), Reason::kTrial);
}

TEST(Supervisor, a_blessed_trial_goes_on) {
  Steps run({gate()});
  run.begin();
  run.ready(0, 20s);
  run.it.trial();
  run.it.blessed();
  run.it.trial();
  EXPECT_FALSE(run.it.on_trial());
  EXPECT_EQ(run.tick(1h), "");
}

TEST(Supervisor, a_trial_that_is_not_ready_in_its_own_time_does_not_wait_for_the_longer_grace) {
  Steps run({gate()});
  run.begin();
  run.it.trial();
  run.tick(2min);
  run.tick(5min - 1s);
  EXPECT_EQ(run.tick(5min), "force, record, drain");
  EXPECT_EQ(run.it.reason(), Reason::kTrial);
}

TEST(Supervisor, without_a_gating_service_there_is_no_such_rule) {
  Steps run({plain()});
  run.begin();
  EXPECT_EQ(run.tick(48h, true), "kill 0, feed");
}

// ------------------------------------------------------------------------------------------------------------------------------
// Random walks. The Judge sees events and effects and knows the promises, not the states; planted faults in what it sees must be found.

class Judge {
 public:
  Judge(size_t services, const Rules& rules) : rules_(rules), running_(services), seen_(services), settled_(services) {}

  std::optional<std::string> effect(const Effect& e, MonoTime now) {
    if (ended_) return "something after the end";
    switch (e.kind) {
      case Kind::kSpawn:
        if (running_[e.service]) return "two processes of one service";
        if (down_) return "a start while the machine goes down";
        for (uint8_t i = 0; i < e.service; ++i) {
          if (!settled_[i]) return "started before an earlier one was settled";
        }
        running_[e.service] = seen_[e.service] = true;
        return {};
      case Kind::kTerminate:
        if (!down_) return "stopped without a reason";
        for (size_t i = e.service + 1u; i < running_.size(); ++i) {
          if (running_[i] && !stuck_.contains(i)) return "stopped before a later one was";
        }
        return {};
      case Kind::kKillTree: stuck_.insert(e.service); return {};
      case Kind::kKill:
        settled_[e.service] = true;
        return {};
      case Kind::kReadyNow: settled_[e.service] = true; return {};
      case Kind::kForceAt: down_ = true; down_at_ = now; return {};
      case Kind::kFeed:
        if (now - fed_ < rules_.feed_interval && fed_.ns != 0) return "fed too often";
        fed_ = now;
        return {};
      case Kind::kEnd:
        if (!down_) return "the end without a request";
        if (now - down_at_ > rules_.force_limit + kStep) return "the end came too late";
        ended_ = true;
        return {};
      case Kind::kTerminateAll:
      case Kind::kKillAll:
      case Kind::kUnmount:
      case Kind::kSync: {
        if (step_ && static_cast<int>(*step_) >= static_cast<int>(e.kind)) return "a step of the end twice or out of order";
        step_ = e.kind;
        return {};
      }
      default: return {};
    }
  }
  std::optional<std::string> turned(MonoTime now, bool ready) {
    if (ready || healthy_.ns == 0) healthy_ = now;
    if (!ended_ && now - fed_ > rules_.feed_interval + kStep) return "not fed";
    if (!down_ && now - healthy_ > rules_.ready_grace + kStep) return "no reboot though the agent was away for too long";
    if (down_ && !ended_ && now - down_at_ > rules_.force_limit + kStep) return "no end";
    return {};
  }
  void exited(uint8_t service) { running_[service] = false, settled_[service] = true; }
  bool running(uint8_t service) const { return running_[service]; }
  bool ended() const { return ended_; }

  static constexpr Duration kStep = 5s;  // the longest time between two turns of a walk

 private:
  Rules rules_;
  std::vector<bool> running_, seen_, settled_;
  std::set<size_t> stuck_;
  std::optional<Kind> step_;
  bool down_ = false, ended_ = false;
  MonoTime fed_{}, healthy_{}, down_at_{};
};

// What goes wrong between the Supervisor and the world, on purpose.
using Fault = std::function<std::vector<Effect>(std::vector<Effect>)>;

std::optional<std::string> walk(uint32_t seed, const Rules& rules, const Fault& fault = nullptr) {
  std::mt19937 random(seed);
  auto one_in = [&](uint32_t n) { return random() % n == 0; };
  std::vector<ServiceRules> services = {plain(), plain(), gate()};
  services[2].watchdog = 15s;
  if (one_in(2)) services[1] = step();
  Supervisor it(services, rules);
  Judge judge(services.size(), Rules{});
  MonoTime now = at(0s);
  std::optional<std::string> wrong;
  auto feed = [&](const std::function<void(Effects&)>& event) {
    Effects effects;
    event(effects);
    std::vector<Effect> list(effects.all().begin(), effects.all().end());
    if (fault) list = fault(std::move(list));
    for (const Effect& e : list) {
      if (auto found = judge.effect(e, now); found && !wrong) wrong = found;
    }
  };
  feed([&](Effects& e) { it.begin(now, e); });
  bool stubborn = one_in(3);  // processes that nothing ends
  uint32_t ask = one_in(2) ? 40 : 4'000;
  for (int turn = 0; turn < 1'500 && !judge.ended() && !wrong; ++turn) {
    now = now + Duration(random() % Judge::kStep.count());
    if (MonoTime next = it.next_deadline(); one_in(2) && next > now && next - now < Judge::kStep) now = next;
    uint8_t service = static_cast<uint8_t>(random() % services.size());
    switch (random() % 8) {
      case 0: if (judge.running(service) && !stubborn) { judge.exited(service); feed([&](Effects& e) { it.exited(service, one_in(2) ? Exit::kClean : Exit::kFailed, now, e); }); } break;
      case 1:
      case 2: feed([&](Effects& e) { it.ready(service, now, e); }); break;
      case 3: it.pinged(service, now); break;
      case 4: if (one_in(20)) feed([&](Effects& e) { it.leaving(service, now, e); }); break;
      case 5: if (one_in(ask)) feed([&](Effects& e) { it.request(Ending::kReboot, Reason::kAsked, now, e); }); break;
      case 6: if (one_in(4)) feed([&](Effects& e) { one_in(2) ? it.drained(now, e) : it.step_over(now, e); }); break;
      default: if (one_in(4)) feed([&](Effects& e) { it.emptied(now, e); }); break;
    }
    feed([&](Effects& e) { it.tick(now, e); });
    if (auto found = judge.turned(now, it.state(2) == ServiceState::kReady); found && !wrong) wrong = found;
  }
  return wrong;
}

TEST(SupervisorWalk, keeps_its_promises) {
  for (uint32_t seed = 0; seed < 400; ++seed) EXPECT_EQ(walk(seed, Rules{}), std::nullopt) << "seed " << seed;
}

bool found_within(uint32_t seeds, const Rules& rules, const Fault& fault) {
  for (uint32_t seed = 0; seed < seeds; ++seed) {
    if (walk(seed, rules, fault)) return true;
  }
  return false;
}

TEST(SupervisorWalk, planted_faults_are_found) {
  auto drop = [](Kind kind, int every) {
    return [kind, every, count = std::make_shared<int>(0)](std::vector<Effect> list) {
      std::erase_if(list, [&](const Effect& e) { return e.kind == kind && ++*count % every == 0; });
      return list;
    };
  };
  auto twice = [](Kind kind) {
    return [kind](std::vector<Effect> list) {
      for (size_t i = 0; i < list.size(); ++i) {
        if (list[i].kind == kind) return list.insert(list.begin() + static_cast<long>(i), list[i]), list;
      }
      return list;
    };
  };
  EXPECT_TRUE(found_within(50, Rules{}, drop(Kind::kFeed, 10))) << "a feeding forgotten";
  EXPECT_TRUE(found_within(50, Rules{}, drop(Kind::kEnd, 1))) << "the end forgotten";
  EXPECT_TRUE(found_within(50, Rules{}, twice(Kind::kSpawn))) << "a service started twice";
  EXPECT_TRUE(found_within(50, Rules{}, twice(Kind::kUnmount))) << "a step repeated";
  Rules patient;
  patient.ready_grace = 100h;
  EXPECT_TRUE(found_within(50, patient, nullptr)) << "no reboot for an agent that is away";
  Rules slow;
  slow.force_limit = 1h;
  slow.drain_limit = 1h;
  EXPECT_TRUE(found_within(50, slow, nullptr)) << "no forced end";
  Rules starving;
  starving.feed_interval = 30s;
  EXPECT_TRUE(found_within(50, starving, nullptr)) << "the watchdog starves";
}

}  // namespace
}  // namespace steppe::supervise
