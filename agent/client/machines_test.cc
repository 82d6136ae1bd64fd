#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "agent/client/alloc_machine.h"
#include "agent/client/health_machine.h"
#include "agent/client/restart_policy.h"
#include "agent/client/task_machine.h"
#include "agent/schema/alloc.pb.h"

namespace steppe::client {
namespace {

using namespace std::chrono_literals;
using Kind = TaskEffect::Kind;
using Phase = TaskPhase;

Moment at(Duration since_start) { return {WallTime{1'700'000'000'000'000'000} + since_start}; }

RestartPolicy service_policy() { return {2, 30min, 15s, false, true}; }
RestartPolicy batch_policy() { return {3, 24h, 15s, false, false}; }

std::vector<std::string> types(const TaskSnapshot& snapshot) {
  std::vector<std::string> out;
  for (const TaskEvent& event : snapshot.events) out.push_back(event.type);
  return out;
}

bool has(const TaskEffects& effects, Kind kind) {
  return std::ranges::any_of(effects, [&](const TaskEffect& effect) { return effect.kind == kind; });
}

Duration delay_of(const TaskEffects& effects, Kind kind) {
  for (const TaskEffect& effect : effects) {
    if (effect.kind == kind) return effect.delay;
  }
  return Duration(-1);
}

// ---- Restart policy ----

struct RestartCase {
  const char* name;
  RestartPolicy policy;
  bool success;
  int exits_before;
  Duration gap;
  RestartVerdict verdict;
  const char* reason;
};

TEST(RestartPolicy, Table) {
  RestartPolicy delaying = service_policy();
  delaying.delay_mode = true;
  RestartPolicy never = service_policy();
  never.attempts = 0;
  RestartPolicy never_batch = batch_policy();
  never_batch.attempts = 0;
  const RestartCase cases[] = {
      {"first failure", service_policy(), false, 0, 1s, RestartVerdict::kRestart, "Restart within policy"},
      {"last allowed", service_policy(), false, 1, 1s, RestartVerdict::kRestart, "Restart within policy"},
      {"one too many", service_policy(), false, 2, 1s, RestartVerdict::kFail,
       "Exceeded allowed attempts 2 in interval 30m0s and mode is \"fail\""},
      {"interval passed between", service_policy(), false, 5, 31min, RestartVerdict::kRestart, "Restart within policy"},
      {"mode delay", delaying, false, 2, 1s, RestartVerdict::kRestart, "Exceeded allowed attempts, applying a delay"},
      {"service ends well", service_policy(), true, 0, 1s, RestartVerdict::kRestart, "Restart within policy"},
      {"batch ends well", batch_policy(), true, 0, 1s, RestartVerdict::kEnd,
       "Restart unnecessary as task terminated successfully"},
      {"no attempts", never, false, 0, 1s, RestartVerdict::kFail, "Policy allows no restarts"},
      {"no attempts, service ends well", never, true, 0, 1s, RestartVerdict::kFail, "Policy allows no restarts"},
      {"no attempts, batch ends well", never_batch, true, 0, 1s, RestartVerdict::kEnd,
       "Restart unnecessary as task terminated successfully"},
  };
  for (const RestartCase& c : cases) {
    SeededRng rng(7);
    RestartTracker tracker(c.policy);
    Duration now{};
    for (int i = 0; i < c.exits_before; ++i, now += c.gap) (void)tracker.after_exit(false, at(now).wall, rng);
    RestartDecision decision = tracker.after_exit(c.success, at(now).wall, rng);
    EXPECT_EQ(decision.verdict, c.verdict) << c.name;
    EXPECT_EQ(decision.reason, c.reason) << c.name;
  }
}

TEST(RestartPolicy, JitterIsAtMostAQuarterAndDelayModeWaitsForTheIntervalsEnd) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SeededRng rng(seed);
    RestartTracker tracker(service_policy());
    Duration delay = tracker.after_exit(false, at(0s).wall, rng).delay;
    EXPECT_GE(delay, 15s);
    EXPECT_LT(delay, 15s + 3750ms);
  }
  SeededRng rng(1);
  RestartPolicy policy = service_policy();
  policy.delay_mode = true;
  RestartTracker tracker(policy);
  (void)tracker.after_exit(false, at(0s).wall, rng);
  (void)tracker.after_exit(false, at(1min).wall, rng);
  EXPECT_EQ(tracker.after_exit(false, at(2min).wall, rng).delay, 28min);
}

TEST(RestartPolicy, StartErrorsThatCannotGetBetterEndTheTask) {
  SeededRng rng(1);
  RestartTracker tracker(service_policy());
  EXPECT_EQ(tracker.after_start_error(false, at(0s).wall, rng).verdict, RestartVerdict::kFail);
  EXPECT_EQ(tracker.after_start_error(true, at(0s).wall, rng).verdict, RestartVerdict::kRestart);
}

TEST(RestartPolicy, MemorySurvives) {
  SeededRng rng(1);
  RestartTracker first(service_policy());
  (void)first.after_exit(false, at(0s).wall, rng);
  (void)first.after_exit(false, at(1s).wall, rng);
  RestartTracker second(service_policy());
  second.restore(first.memory());
  EXPECT_EQ(second.after_exit(false, at(2s).wall, rng).verdict, RestartVerdict::kFail);
}

// ---- One task ----

struct TaskFixture : testing::Test {
  SeededRng rng{3};
  TaskPolicy policy{service_policy(), 5s, {}, 2};
  TaskMachine machine{policy, rng};

  void to_running() {
    EXPECT_TRUE(has(machine.open_gate(at(0s)), Kind::kPrepare));
    EXPECT_TRUE(has(machine.prepared(at(1s)), Kind::kStart));
    EXPECT_TRUE(has(machine.started(at(2s)), Kind::kChanged));
  }
};

TEST_F(TaskFixture, RunsFailsRestartsAndFailsForGood) {
  to_running();
  EXPECT_EQ(machine.snapshot().state(), "running");
  for (int i = 0; i < 2; ++i) {
    TaskEffects effects = machine.exited({1, 0, false, ""}, at(10s));
    EXPECT_TRUE(has(effects, Kind::kRelease));
    EXPECT_GE(delay_of(effects, Kind::kTimer), 15s);
    EXPECT_EQ(machine.snapshot().state(), "pending");
    EXPECT_TRUE(has(machine.timer(at(30s)), Kind::kPrepare));
    (void)machine.prepared(at(31s));
    (void)machine.started(at(32s));
  }
  TaskEffects effects = machine.exited({1, 0, false, ""}, at(40s));
  EXPECT_TRUE(has(effects, Kind::kFinished));
  EXPECT_TRUE(machine.snapshot().failed);
  EXPECT_EQ(machine.snapshot().restarts, 2u);
  EXPECT_EQ(machine.snapshot().attempt, 3u);
  EXPECT_EQ(machine.snapshot().state(), "dead");
  EXPECT_EQ(machine.snapshot().events.back().display(),
            "Exceeded allowed attempts 2 in interval 30m0s and mode is \"fail\"");
}

TEST_F(TaskFixture, KeepsTheLastTenEvents) {
  to_running();
  for (int i = 0; i < 30; ++i) (void)machine.record(event::with_message(event::kDriver, std::to_string(i)), at(3s));
  ASSERT_EQ(machine.snapshot().events.size(), kMaxTaskEvents);
  EXPECT_EQ(machine.snapshot().events.back().message, "29");
}

TEST_F(TaskFixture, KillSignalsThenEndsUnfailed) {
  to_running();
  TaskEffects effects = machine.kill({}, TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kStop, at(5s));
  EXPECT_EQ(delay_of(effects, Kind::kStop), 5s);
  EXPECT_EQ(machine.phase(), Phase::kStopping);
  effects = machine.exited({0, 9, false, ""}, at(6s));
  EXPECT_TRUE(has(effects, Kind::kFinished));
  EXPECT_FALSE(machine.snapshot().failed);
  EXPECT_EQ(types(machine.snapshot()), (std::vector<std::string>{"Started", "Killing", "Terminated", "Killed"}));
  EXPECT_EQ(machine.snapshot().events[1].display(), "Sent interrupt. Waiting 5s before force killing");
  EXPECT_EQ(machine.snapshot().events[2].display(), "Exit Code: 0, Signal: 9");
}

TEST_F(TaskFixture, KillInEveryPhase) {
  struct Case {
    const char* name;
    void (*reach)(TaskMachine&);
    Phase after;
    Kind effect;
  };
  const Case cases[] = {
      {"waiting", [](TaskMachine&) {}, Phase::kDead, Kind::kFinished},
      {"preparing", [](TaskMachine& m) { (void)m.open_gate(at(0s)); }, Phase::kPreparing, Kind::kCancelPrepare},
      {"running", [](TaskMachine& m) { (void)m.open_gate(at(0s)); (void)m.prepared(at(0s)); (void)m.started(at(0s)); },
       Phase::kStopping, Kind::kStop},
      {"backoff",
       [](TaskMachine& m) {
         (void)m.open_gate(at(0s)); (void)m.prepared(at(0s)); (void)m.started(at(0s)); (void)m.exited({1, 0, false, ""}, at(0s));
       },
       Phase::kDead, Kind::kFinished},
  };
  for (const Case& c : cases) {
    TaskMachine m(policy, rng);
    c.reach(m);
    TaskEffects effects = m.kill({}, TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kStop, at(1s));
    EXPECT_EQ(m.phase(), c.after) << c.name;
    EXPECT_TRUE(has(effects, c.effect)) << c.name;
    EXPECT_FALSE(m.snapshot().failed) << c.name;
  }
}

TEST_F(TaskFixture, AKillDuringStartStopsWhatWasStarted) {
  (void)machine.open_gate(at(0s));
  (void)machine.prepared(at(0s));
  EXPECT_FALSE(has(machine.kill({}, TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kStop, at(1s)), Kind::kStop));
  EXPECT_TRUE(has(machine.started(at(2s)), Kind::kStop));
  EXPECT_TRUE(has(machine.exited({0, 15, false, ""}, at(3s)), Kind::kFinished));
}

TEST_F(TaskFixture, AKillDuringHooksEndsWithThem) {
  (void)machine.open_gate(at(0s));
  (void)machine.kill(event::sibling_failed("db"), TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kStop, at(1s));
  TaskEffects effects = machine.prepare_failed(event::plain(event::kArtifactFailed), true, at(2s));
  EXPECT_TRUE(has(effects, Kind::kFinished));
  EXPECT_FALSE(has(effects, Kind::kTimer));
  EXPECT_FALSE(machine.snapshot().failed);
  for (const TaskEvent& each : machine.snapshot().events) EXPECT_NE(each.type, event::kArtifactFailed) << "being told to end is no failure";
}

TEST_F(TaskFixture, ShutdownDelayIsWaitedOrCutShort) {
  policy.shutdown_delay = 20s;
  machine.set_policy(policy);
  to_running();
  TaskEffects effects = machine.kill({}, TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kStop, at(1s));
  EXPECT_EQ(delay_of(effects, Kind::kTimer), 20s);
  EXPECT_FALSE(has(effects, Kind::kStop));
  effects = machine.kill({}, TaskMachine::KillMode::kNoDelay, TaskMachine::KillMeaning::kStop, at(2s));
  EXPECT_TRUE(has(effects, Kind::kStop));
  EXPECT_EQ(machine.phase(), Phase::kStopping);

  TaskMachine other(policy, rng);
  (void)other.open_gate(at(0s)), (void)other.prepared(at(0s)), (void)other.started(at(0s));
  (void)other.kill({}, TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kStop, at(1s));
  EXPECT_TRUE(has(other.timer(at(21s)), Kind::kStop));
}

TEST_F(TaskFixture, AStopThatDoesNotEndIsKilledAgain) {
  to_running();
  (void)machine.kill({}, TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kStop, at(1s));
  TaskEffects effects = machine.timer(at(20s));
  EXPECT_TRUE(has(effects, Kind::kKill));
  EXPECT_TRUE(has(effects, Kind::kTimer));
}

TEST_F(TaskFixture, AnAskedRestartIsNotCountedAndAKillWinsOverIt) {
  to_running();
  EXPECT_TRUE(has(machine.restart("User requested", at(3s)), Kind::kStop));
  TaskEffects effects = machine.exited({0, 2, false, ""}, at(4s));
  EXPECT_TRUE(has(effects, Kind::kPrepare));
  EXPECT_EQ(machine.snapshot().restart_memory.count, 0);
  EXPECT_EQ(machine.snapshot().restarts, 1u);
  EXPECT_EQ(types(machine.snapshot()), (std::vector<std::string>{"Started", "Restart Signaled", "Terminated", "Restarting"}));
  (void)machine.prepared(at(5s)), (void)machine.started(at(6s));
  (void)machine.restart("again", at(7s));
  (void)machine.kill({}, TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kStop, at(8s));
  EXPECT_TRUE(has(machine.exited({0, 2, false, ""}, at(9s)), Kind::kFinished));
}

TEST_F(TaskFixture, AKillThatFailsTheTask) {
  to_running();
  (void)machine.kill(event::with_detail(event::kKilling, "kill_reason", "allocation exceeded max_run_duration"),
                     TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kFail, at(1s));
  (void)machine.exited({0, 2, false, ""}, at(2s));
  EXPECT_TRUE(machine.snapshot().failed);
}

TEST_F(TaskFixture, RestoresEveryPhase) {
  struct Case {
    Phase stored;
    bool alive;
    Phase after;
  };
  const Case cases[] = {
      {Phase::kWaiting, false, Phase::kWaiting},   {Phase::kPreparing, false, Phase::kWaiting},
      {Phase::kStarting, false, Phase::kWaiting},  {Phase::kStarting, true, Phase::kRunning},
      {Phase::kRunning, true, Phase::kRunning},    {Phase::kRunning, false, Phase::kWaiting},
      {Phase::kStopping, true, Phase::kRunning},   {Phase::kBackoff, false, Phase::kWaiting},
      {Phase::kDead, false, Phase::kDead},
  };
  for (const Case& c : cases) {
    TaskMachine m(policy, rng);
    TaskSnapshot stored;
    stored.phase = c.stored;
    stored.attempt = 4;
    (void)m.restore(stored, c.alive, at(0s));
    EXPECT_EQ(m.phase(), c.after) << static_cast<int>(c.stored);
    EXPECT_EQ(m.snapshot().attempt, 4u);
    if (m.phase() == Phase::kRunning) {
      EXPECT_GT(m.snapshot().started_at.unix_ns, 0);
    }
  }
}

TEST_F(TaskFixture, WhatWasAskedOutlivesTheAgent) {
  struct Case {
    const char* name;
    Phase stored;
    TaskAsked asked;
    bool alive;
    Phase restored;
    Phase after_exit;  // with code 3
    bool failed;
  };
  const TaskAsked stop{.kill = true}, fail{.kill = true, .kill_fails = true}, restart{.restart = true};
  const Case cases[] = {
      {"stopping", Phase::kStopping, stop, true, Phase::kStopping, Phase::kDead, false},
      {"asked while it started", Phase::kStarting, stop, true, Phase::kStopping, Phase::kDead, false},
      {"killed for a fault", Phase::kStopping, fail, true, Phase::kStopping, Phase::kDead, true},
      {"restarting", Phase::kStopping, restart, true, Phase::kStopping, Phase::kPreparing, false},
      {"waits before it stops", Phase::kStopDelay, stop, true, Phase::kStopDelay, Phase::kDead, false},
      {"nothing is left of it", Phase::kStopping, stop, false, Phase::kDead, Phase::kDead, false},
      {"never started", Phase::kPreparing, stop, false, Phase::kDead, Phase::kDead, false},
      {"nothing asked", Phase::kRunning, {}, true, Phase::kRunning, Phase::kBackoff, false},
  };
  policy.shutdown_delay = 20s;
  for (const Case& c : cases) {
    TaskMachine m(policy, rng);
    TaskSnapshot stored;
    stored.phase = c.stored;
    stored.asked = c.asked;
    if (c.stored == Phase::kStarting) stored.asked.no_delay = true;
    TaskEffects effects = m.restore(stored, c.alive, at(0s));
    EXPECT_EQ(m.phase(), c.restored) << c.name;
    EXPECT_EQ(has(effects, Kind::kStop), c.restored == Phase::kStopping) << c.name;
    if (m.phase() != Phase::kDead) (void)m.exited({3, 0, false, ""}, at(1s));
    EXPECT_EQ(m.phase(), c.after_exit) << c.name;
    EXPECT_EQ(m.snapshot().failed, c.failed) << c.name;
  }
}

TEST_F(TaskFixture, WhyATaskEndsIsStoredBeforeItIsSignalled) {
  to_running();
  TaskEffects effects = machine.kill({}, TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kStop, at(5s));
  auto place = [&](Kind kind) { return std::ranges::find(effects, kind, &TaskEffect::kind) - effects.begin(); };
  EXPECT_LT(place(Kind::kChanged), place(Kind::kStop));
  EXPECT_TRUE(machine.snapshot().asked.kill);
}

TEST_F(TaskFixture, OomIsSaid) {
  to_running();
  (void)machine.exited({137, 9, true, ""}, at(3s));
  EXPECT_EQ(machine.snapshot().events[1].display(), "Exit Code: 137, Signal: 9, Exit Message: \"OOM Killed\"");
}

// Any sequence of inputs that the shell can produce keeps the promises, also over the agent's death; a mutant that
// forgets the kill, or does not store it, is caught.
TEST(TaskMachineProperty, RandomLivesEndAndNeverRestartOnceKilled) {
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    SeededRng rng(seed);
    TaskPolicy policy{service_policy(), 5s, rng.chance(1, 2) ? Duration(3s) : Duration(0), 2};
    std::optional<TaskMachine> lives(std::in_place, policy, rng);
    bool timer = false, preparing = false, starting = false, alive = false, killed = false;
    int starts_after_kill = 0;
    auto apply = [&](TaskEffects effects) {
      for (const TaskEffect& effect : effects) {
        if (effect.kind == Kind::kTimer) timer = true;
        if (effect.kind == Kind::kCancelTimer) timer = false;
        if (effect.kind == Kind::kPrepare) preparing = true;
        if (effect.kind == Kind::kStart) starting = true, starts_after_kill += killed;
      }
    };
    apply(lives->open_gate(at(0s)));
    for (int step = 0; step < 60 && lives->phase() != Phase::kDead; ++step) {
      Moment now = at(std::chrono::seconds(step));
      switch (rng.below(9)) {
        case 0: case 1:
          if (preparing) { preparing = false; apply(rng.chance(3, 4) ? lives->prepared(now) : lives->prepare_failed(event::plain(event::kHookFailed), true, now)); }
          else if (starting) { starting = false; bool ok = rng.chance(3, 4); alive = ok; apply(ok ? lives->started(now) : lives->start_failed("no", true, now)); }
          break;
        case 2: case 3: if (alive) { alive = false; apply(lives->exited({static_cast<int>(rng.below(2)), 0, false, ""}, now)); } break;
        case 4: case 5: if (timer) { timer = false; apply(lives->timer(now)); } break;
        case 6: apply(lives->restart("test", now)); break;
        case 7: if (rng.chance(1, 4)) { killed = true; apply(lives->kill({}, TaskMachine::KillMode::kOrderly, TaskMachine::KillMeaning::kStop, now)); } break;
        case 8: {  // the agent dies; a start under way may have succeeded
          if (!rng.chance(1, 3)) break;
          alive = alive || (starting && rng.chance(1, 2));
          timer = preparing = starting = false;
          TaskSnapshot stored = lives->snapshot();
          lives.emplace(policy, rng);
          apply(lives->restore(std::move(stored), alive, now));
          if (lives->phase() == Phase::kWaiting) apply(lives->open_gate(now));
          break;
        }
      }
    }
    EXPECT_EQ(starts_after_kill, 0) << seed;
    // Whatever happened, a kill now and the outstanding answers end it.
    Moment end = at(1h);
    killed = true;
    apply(lives->kill({}, TaskMachine::KillMode::kNoDelay, TaskMachine::KillMeaning::kStop, end));
    if (preparing) apply(lives->prepared(end));
    if (starting) { starting = false; alive = true; apply(lives->started(end)); }
    if (alive) apply(lives->exited({0, 9, false, ""}, end));
    EXPECT_EQ(lives->phase(), Phase::kDead) << seed;
  }
}

// ---- The tasks of an alloc ----

TaskView view(Phase phase, bool failed = false, bool ever = false) { return {phase, failed, ever}; }
TaskRole role(const char* name, Hook hook = Hook::kMain, bool sidecar = false, bool leader = false) {
  return {name, hook, sidecar, leader};
}

std::string told(AllocMachine& machine, const std::vector<TaskView>& tasks) {
  std::string out;
  for (const AllocEffect& effect : machine.step(tasks)) {
    if (!out.empty()) out += ' ';
    out += effect.kind == AllocEffect::Kind::kOpenGate ? "open:" : "kill:";
    out += machine.roles()[effect.task].name;
    if (effect.kind == AllocEffect::Kind::kKill && !effect.why.type.empty()) out += "(" + effect.why.type + ")";
  }
  return out;
}

TEST(AllocMachine, LifecycleOrder) {
  AllocMachine m({role("init", Hook::kPrestart), role("proxy", Hook::kPrestart, true), role("web"),
                  role("warm", Hook::kPoststart), role("clean", Hook::kPoststop)});
  std::vector<TaskView> v(5);
  EXPECT_EQ(told(m, v), "open:init open:proxy");
  EXPECT_EQ(told(m, v), "");
  v[0].phase = Phase::kRunning, v[1].phase = Phase::kRunning;
  EXPECT_EQ(told(m, v), "");
  v[0] = view(Phase::kDead);
  EXPECT_EQ(told(m, v), "open:web");
  v[2].phase = Phase::kStarting;
  EXPECT_EQ(told(m, v), "");
  v[2].phase = Phase::kRunning;
  EXPECT_EQ(told(m, v), "open:warm");
  v[3] = view(Phase::kDead);
  EXPECT_EQ(told(m, v), "");
  v[2] = view(Phase::kDead);
  EXPECT_EQ(told(m, v), "kill:proxy(Main Tasks Dead)");
  v[1] = view(Phase::kDead);
  EXPECT_EQ(told(m, v), "open:clean");
  v[4] = view(Phase::kDead);
  EXPECT_TRUE(m.finished(v));
  EXPECT_EQ(client_status(v), ClientStatus::kComplete);
}

TEST(AllocMachine, AFailedPrestartFailsTheAllocAndStillRunsPoststop) {
  AllocMachine m({role("init", Hook::kPrestart), role("web"), role("clean", Hook::kPoststop)});
  std::vector<TaskView> v(3);
  EXPECT_EQ(told(m, v), "open:init");
  v[0] = view(Phase::kDead, true);
  EXPECT_EQ(told(m, v), "kill:web(Sibling Task Failed)");
  v[1] = view(Phase::kDead);
  EXPECT_EQ(told(m, v), "open:clean");
  v[2] = view(Phase::kDead);
  EXPECT_EQ(client_status(v), ClientStatus::kFailed);
}

TEST(AllocMachine, KillOrderIsLeaderMainsSidecars) {
  AllocMachine m({role("proxy", Hook::kPrestart, true), role("a"), role("lead", Hook::kMain, false, true), role("b"),
                  role("clean", Hook::kPoststop)});
  std::vector<TaskView> v(5, view(Phase::kRunning));
  v[4] = view(Phase::kWaiting);
  (void)m.step(v);
  m.request_stop(TaskMachine::KillMode::kOrderly);
  EXPECT_EQ(told(m, v), "kill:lead");
  EXPECT_EQ(told(m, v), "");
  v[2] = view(Phase::kDead);
  EXPECT_EQ(told(m, v), "kill:a kill:b");
  v[1] = view(Phase::kDead);
  EXPECT_EQ(told(m, v), "");
  v[3] = view(Phase::kDead);
  EXPECT_EQ(told(m, v), "kill:proxy");
  v[0] = view(Phase::kDead);
  EXPECT_EQ(told(m, v), "open:clean");
}

TEST(AllocMachine, ReasonsToKill) {
  struct Case {
    const char* name;
    std::vector<TaskRole> roles;
    std::vector<TaskView> views;
    const char* told;
  };
  auto run = view(Phase::kRunning);
  const Case cases[] = {
      {"failed sibling", {role("a"), role("b")}, {view(Phase::kDead, true), run}, "kill:b(Sibling Task Failed)"},
      {"finished sibling", {role("a"), role("b")}, {view(Phase::kDead), run}, ""},
      {"dead leader", {role("a", Hook::kMain, false, true), role("b")}, {view(Phase::kDead), run}, "kill:b(Leader Task Dead)"},
      {"only sidecars", {role("a"), role("s", Hook::kPoststart, true)}, {view(Phase::kDead), run}, "kill:s(Main Tasks Dead)"},
      {"failed poststop does not kill", {role("a"), role("p", Hook::kPoststop)}, {run, view(Phase::kDead, true)}, ""},
      {"failed poststart", {role("a"), role("p", Hook::kPoststart)}, {run, view(Phase::kDead, true)}, "kill:a(Sibling Task Failed)"},
  };
  for (const Case& c : cases) {
    AllocMachine m(c.roles);
    EXPECT_EQ(told(m, c.views), c.told) << c.name;
  }
}

TEST(AllocMachine, RunTimeOverFailsAllAndKillsPoststop) {
  AllocMachine m({role("a"), role("clean", Hook::kPoststop)});
  std::vector<TaskView> v{view(Phase::kRunning), view(Phase::kWaiting)};
  (void)m.step(v);
  m.run_time_over();
  EXPECT_EQ(told(m, v), "kill:a(Killing)");
  v[0] = view(Phase::kDead, true);
  EXPECT_EQ(told(m, v), "kill:clean(Killing)");
  EXPECT_TRUE(m.timed_out());
}

TEST(AllocMachine, AHurriedStopReachesThoseAlreadyAsked) {
  AllocMachine m({role("a")});
  std::vector<TaskView> v{view(Phase::kRunning)};
  m.request_stop(TaskMachine::KillMode::kOrderly);
  EXPECT_EQ(told(m, v), "kill:a");
  m.request_stop(TaskMachine::KillMode::kNoDelay);
  EXPECT_EQ(told(m, v), "kill:a");
  EXPECT_EQ(told(m, v), "");
}

TEST(AllocMachine, RecoveredTasksDoNotWaitForOpenGates) {
  AllocMachine m({role("init", Hook::kPrestart), role("web"), role("proxy", Hook::kPrestart, true)});
  std::vector<TaskView> v{view(Phase::kDead), view(Phase::kRunning), view(Phase::kRunning)};
  EXPECT_EQ(told(m, v), "");
}

TEST(ClientStatus, Table) {
  using S = ClientStatus;
  struct Case { std::vector<TaskView> views; S status; };
  const Case cases[] = {
      {{view(Phase::kWaiting)}, S::kPending},
      {{view(Phase::kRunning), view(Phase::kWaiting)}, S::kRunning},
      {{view(Phase::kBackoff)}, S::kPending},
      {{view(Phase::kDead), view(Phase::kDead)}, S::kComplete},
      {{view(Phase::kDead, true), view(Phase::kRunning)}, S::kFailed},
  };
  for (const Case& c : cases) EXPECT_EQ(client_status(c.views), c.status);
}

// ---- Health ----

MonoTime mono(Duration d) { return MonoTime{1'000'000} + d; }

TEST(HealthMachine, HealthyAfterMinTimeAndRestartResets) {
  HealthMachine h({false, 10s, 5min}, {role("web")}, mono(0s));
  std::vector<TaskView> v{view(Phase::kRunning)};
  EXPECT_EQ(h.step(v, {0}, mono(0s)), std::nullopt);
  EXPECT_EQ(h.wake()->ns, mono(10s).ns);
  EXPECT_EQ(h.step(v, {1}, mono(9s)), std::nullopt);
  EXPECT_EQ(h.step(v, {1}, mono(12s)), std::nullopt);
  EXPECT_EQ(h.step(v, {1}, mono(19s)), true);
  EXPECT_EQ(h.step(v, {1}, mono(30s)), std::nullopt);
  EXPECT_EQ(h.wake(), std::nullopt);
}

TEST(HealthMachine, Table) {
  struct Case {
    const char* name;
    TaskRole role;
    TaskView view;
    std::optional<bool> verdict;
  };
  const Case cases[] = {
      {"main failed", role("a"), view(Phase::kDead, true), false},
      {"main finished", role("a"), view(Phase::kDead), false},
      {"prestart finished", role("a", Hook::kPrestart), view(Phase::kDead), true},
      {"prestart still runs", role("a", Hook::kPrestart), view(Phase::kRunning), std::nullopt},
      {"sidecar runs", role("a", Hook::kPrestart, true), view(Phase::kRunning), true},
      {"sidecar ended", role("a", Hook::kPrestart, true), view(Phase::kDead), false},
      {"poststart finished", role("a", Hook::kPoststart), view(Phase::kDead), true},
      {"poststop waits", role("a", Hook::kPoststop), view(Phase::kWaiting), true},
  };
  for (const Case& c : cases) {
    HealthMachine h({false, 10s, 5min}, {role("web"), c.role}, mono(0s));
    std::vector<TaskView> v{view(Phase::kRunning), c.view};
    auto first = h.step(v, {0, 0}, mono(1s));
    EXPECT_EQ(first ? first : h.step(v, {0, 0}, mono(11s)), c.verdict) << c.name;
  }
}

TEST(HealthMachine, DeadlineIsUnhealthyAndManualSaysNothing) {
  std::vector<TaskView> v{view(Phase::kStarting)};
  HealthMachine late({false, 10s, 1min}, {role("web")}, mono(0s));
  EXPECT_EQ(late.step(v, {0}, mono(59s)), std::nullopt);
  EXPECT_EQ(late.step(v, {0}, mono(60s)), false);
  HealthMachine manual({true, 10s, 1min}, {role("web")}, mono(0s));
  EXPECT_EQ(manual.step({view(Phase::kDead, true)}, {0}, mono(99s)), std::nullopt);
}

TEST(TaskEvent, SchemaRoundTripAndTexts) {
  TaskEvent event = event::restarting(16s, "Restart within policy");
  EXPECT_EQ(event.display(), "Task restarting in 16s");
  EXPECT_EQ(event::restarting(0s, "User asked").display(), "User asked - Task restarting in 0s");
  EXPECT_EQ(event::not_restarting("Policy allows no restarts").display(), "Policy allows no restarts");
  EXPECT_EQ(event::sibling_failed("db").display(), "Task's sibling \"db\" failed");
  EXPECT_EQ(event::with_message(event::kTaskSetup, "Building Task Directory").display(), "Building Task Directory");
  event = event::not_restarting("x");
  event.time = {42};
  schema::TaskEvent message;
  event.to_schema(message);
  EXPECT_EQ(message.restart_reason(), "x");
  EXPECT_TRUE(message.fails_task());
  EXPECT_EQ(TaskEvent::from_schema(message), event);
}

}  // namespace
}  // namespace steppe::client
