#include "agent/scheduler/reconcile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <format>
#include <functional>

#include "agent/model/alloc_status.h"
#include "agent/schema/alloc.pb.h"

namespace steppe::scheduler {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr WallTime kNow{1'800'000'000 * kSecond};

// A job of one group "web" and everything around it; allocs are named by short ids.
struct World {
  World() {
    eval.set_id("eval");
    eval.set_namespace_("default");
    eval.set_job_id("job");
    eval.set_priority(50);
    for (uint64_t version = 0; version < 4; ++version) versions.push_back(make_job(version, 3));
    in.job = &versions[0];
  }

  static schema::Job make_job(uint64_t version, int64_t count) {
    schema::Job job;
    job.set_id("job");
    job.set_namespace_("default");
    job.set_type("service");
    job.set_version(version);
    job.set_create_index(10);
    job.set_job_modify_index(10 + version);
    auto& group = *job.add_task_groups();
    group.set_name("web");
    group.set_count(count);
    auto& policy = *group.mutable_reschedule_policy();
    policy.set_unlimited(true);
    policy.set_delay(30 * kSecond);
    policy.set_delay_function("constant");
    policy.set_max_delay(3600 * kSecond);
    return job;
  }

  schema::TaskGroup& group(uint64_t version) { return *versions[version].mutable_task_groups(0); }
  void use(uint64_t version) { in.job = &versions[version]; }
  void each_group(const std::function<void(schema::TaskGroup&)>& change) {
    for (auto& job : versions) change(*job.mutable_task_groups(0));
  }
  void rolling(int64_t max_parallel, int64_t canary = 0) {
    each_group([&](schema::TaskGroup& g) {
      g.mutable_update()->set_max_parallel(max_parallel);
      g.mutable_update()->set_canary(canary);
      g.mutable_update()->set_progress_deadline(600 * kSecond);
    });
  }

  schema::Allocation& alloc(const std::string& id, uint64_t index, uint64_t version = 0,
                            std::string_view client = "running", std::string_view node = "n1") {
    auto& a = allocs.emplace_back();
    a.set_id(id);
    a.set_name(model::alloc_name("job", "web", index));
    a.set_task_group("web");
    a.set_job_id("job");
    a.set_node_id(std::string(node));
    a.set_desired_status("run");
    a.set_client_status(std::string(client));
    a.set_create_index(allocs.size());
    a.set_modify_time(kNow.unix_ns - 100 * kSecond);
    in.allocs.push_back({&a, &versions[version]});
    return a;
  }
  void running(uint64_t count, uint64_t version = 0) {
    for (uint64_t i = 0; i < count; ++i) alloc(std::format("a{}", i), i, version);
  }
  schema::Deployment& deploy(uint64_t version, std::string_view status = "running") {
    deployment.set_id("dep");
    deployment.set_job_version(version);
    deployment.set_job_create_index(10);
    deployment.set_status(std::string(status));
    (*deployment.mutable_task_groups())["web"].set_desired_total(3);
    in.deployment = &deployment;
    return deployment;
  }
  schema::DeploymentState& state() { return (*deployment.mutable_task_groups())["web"]; }

  ReconcileResult run() {
    in.eval = &eval;
    in.now = kNow;
    in.update_kind = [this](const JobAlloc& item, const schema::TaskGroup&) {
      return item.job->version() == in.job->version() ? model::UpdateKind::kNone : change;
    };
    SeededRng rng(1);
    return reconcile(in, rng);
  }
  std::string summary();

  std::deque<schema::Job> versions;
  std::deque<schema::Allocation> allocs;
  schema::Evaluation eval;
  schema::Deployment deployment;
  ReconcileInput in;
  model::UpdateKind change = model::UpdateKind::kDestructive;
};

std::string short_name(const std::string& name) { return name.substr(name.find('[')); }

std::string describe(const PlacementAsk& ask) {
  std::string out = short_name(ask.name);
  if (ask.previous.alloc != nullptr) out += "<" + ask.previous.alloc->id();
  if (ask.canary) out += " canary";
  if (ask.reschedule) out += " reschedule";
  if (ask.lost) out += " lost";
  if (ask.old_job != nullptr) out += std::format(" v{}", ask.old_job->version());
  return out;
}

// One line a kind, in the order of the result; what is empty is left out.
std::string World::summary() {
  const ReconcileResult r = run();
  std::string out;
  const auto line = [&](std::string_view title, std::vector<std::string> items) {
    if (items.empty()) return;
    out += std::string(title) + ":";
    for (const auto& item : items) out += " " + item + ",";
    out.back() = '\n';
  };
  std::vector<std::string> items;
  for (const auto& ask : r.place) items.push_back(describe(ask));
  line("place", items);
  items.clear();
  for (const auto& ask : r.destructive) items.push_back(describe(ask.place));
  line("replace", items);
  items.clear();
  for (const auto& item : r.in_place) items.push_back(item.alloc->id());
  line("in place", items);
  items.clear();
  for (const auto& ask : r.stop) {
    std::string why(ask.description);
    items.push_back(ask.alloc.alloc->id() + " (" + why + ")" + std::string(ask.client_status.empty() ? "" : " ") +
                    std::string(ask.client_status) + (ask.followup_eval_id.empty() ? "" : " later"));
  }
  line("stop", items);
  items.clear();
  for (const auto& update : r.disconnect_updates) items.push_back(update.id() + " " + update.client_status());
  line("disconnect", items);
  items.clear();
  for (const auto& update : r.reconnect_updates) items.push_back(update.id() + " " + update.client_status());
  line("reconnect", items);
  items.clear();
  for (const auto& eval_later : r.followup_evals) {
    items.push_back(std::format("{} in {}s", eval_later.triggered_by(), (eval_later.wait_until() - kNow.unix_ns) / kSecond));
  }
  line("later", items);
  items.clear();
  if (r.new_deployment) {
    const auto& g = r.deployment.task_groups().at("web");
    items.push_back(std::format("v{} total {} canaries {} ({})", r.deployment.job_version(), g.desired_total(),
                                g.desired_canaries(), r.deployment.status_description()));
  }
  line("deployment", items);
  items.clear();
  for (const auto& update : r.deployment_updates) items.push_back(update.status() + " (" + update.status_description() + ")");
  line("update deployment", items);
  return out;
}

struct Case {
  const char* name;
  std::function<void(World&)> arrange;
  const char* want;
};

void check(std::initializer_list<Case> cases) {
  for (const Case& c : cases) {
    World world;
    c.arrange(world);
    EXPECT_EQ(world.summary(), c.want) << c.name;
  }
}

TEST(Reconcile, CountsAndNames) {
  check({
      {"nothing there", [](World&) {}, "place: [0], [1], [2]\n"},
      {"all there", [](World& w) { w.running(3); }, ""},
      {"a hole in the names is filled first",
       [](World& w) { w.alloc("a0", 0), w.alloc("a2", 2); }, "place: [1]\n"},
      {"scale down stops the highest",
       [](World& w) { w.running(5); },
       "stop: a4 (alloc not needed due to job update), a3 (alloc not needed due to job update)\n"},
      {"count 0", [](World& w) { w.running(1), w.group(0).set_count(0); },
       "stop: a0 (alloc not needed due to job update)\n"},
      {"duplicate names: the younger goes",
       [](World& w) { w.running(3), w.alloc("b1", 1); }, "stop: b1 (alloc not needed due to job update)\n"},
      {"scale down takes migrating ones first",
       [](World& w) {
         w.running(3);
         w.allocs[0].mutable_desired_transition()->set_migrate(true);
         w.group(0).set_count(2);
       },
       "stop: a0 (alloc not needed due to job update)\n"},
      {"a group that is gone",
       [](World& w) { w.running(1), w.allocs[0].set_task_group("old"); },
       "place: [0], [1], [2]\nstop: a0 (alloc not needed due to job update)\n"},
      {"stopped job",
       [](World& w) { w.running(2), w.versions[0].set_stop(true); },
       "stop: a0 (alloc not needed due to job update), a1 (alloc not needed due to job update)\n"},
      {"purged job", [](World& w) { w.running(1), w.in.job = nullptr; },
       "stop: a0 (alloc not needed due to job update)\n"},
      {"told to stop does not count",
       [](World& w) { w.running(3), w.allocs[1].set_desired_status("stop"); }, "place: [1]\n"},
  });
}

TEST(Reconcile, Updates) {
  check({
      {"in place", [](World& w) { w.running(3), w.use(1), w.change = model::UpdateKind::kInPlace; },
       "in place: a0, a1, a2\n"},
      {"destructive without update block: all at once", [](World& w) { w.running(3), w.use(1); },
       "replace: [0]<a0, [1]<a1, [2]<a2\n"},
      {"rolling", [](World& w) { w.rolling(2), w.running(3), w.use(1); },
       "replace: [0]<a0, [1]<a1\ndeployment: v1 total 3 canaries 0 (Deployment is running)\n"},
      {"rolling goes on as allocs become healthy",
       [](World& w) {
         w.rolling(2), w.running(3), w.use(1), w.deploy(1);
         auto& done = w.alloc("b0", 0, 1);
         done.set_deployment_id("dep");
         done.mutable_deployment_status()->set_healthy(true);
         w.allocs[0].set_desired_status("stop");
         auto& waiting = w.alloc("b1", 1, 1);
         waiting.set_deployment_id("dep");
         w.allocs[1].set_desired_status("stop");
       },
       "replace: [2]<a2\n"},
      {"one unhealthy alloc halts it",
       [](World& w) {
         w.rolling(2), w.running(3), w.use(1), w.deploy(1);
         auto& bad = w.alloc("b0", 0, 1);
         bad.set_deployment_id("dep");
         bad.mutable_deployment_status()->set_healthy(false);
         w.allocs[0].set_desired_status("stop");
       },
       ""},
      {"paused", [](World& w) { w.rolling(2), w.running(3), w.use(1), w.deploy(1, "paused"); }, ""},
      {"failed", [](World& w) { w.rolling(2), w.running(3), w.use(1), w.deploy(1, "failed"); }, ""},
      {"a missing alloc takes part of the limit",
       [](World& w) { w.rolling(2), w.running(2), w.use(1); },
       "place: [2]\nreplace: [0]<a0\ndeployment: v1 total 3 canaries 0 (Deployment is running)\n"},
      {"a newer version cancels the deployment",
       [](World& w) { w.rolling(1), w.running(3), w.use(2), w.deploy(1); },
       "replace: [0]<a0\ndeployment: v2 total 3 canaries 0 (Deployment is running)\n"
       "update deployment: cancelled (Cancelled due to newer version of job)\n"},
      {"stopping the job cancels it",
       [](World& w) { w.rolling(1), w.running(1), w.deploy(0), w.versions[0].set_stop(true); },
       "stop: a0 (alloc not needed due to job update)\nupdate deployment: cancelled (Cancelled because job is stopped)\n"},
      {"first version gets a deployment", [](World& w) { w.rolling(1); },
       "place: [0], [1], [2]\ndeployment: v0 total 3 canaries 0 (Deployment is running)\n"},
      {"the same version again gets none",
       [](World& w) { w.rolling(1), w.running(2); }, "place: [2]\n"},
      {"batch never gets one",
       [](World& w) {
         w.rolling(1), w.in.batch = true;
         for (auto& job : w.versions) job.set_type("batch");
       },
       "place: [0], [1], [2]\n"},
      {"complete when all are healthy",
       [](World& w) {
         w.rolling(1), w.running(3), w.deploy(0);
         w.state().set_healthy_allocs(3);
       },
       "update deployment: successful (Deployment completed successfully)\n"},
      {"not complete while one is missing",
       [](World& w) {
         w.rolling(1), w.running(3), w.deploy(0);
         w.state().set_healthy_allocs(2);
       },
       ""},
  });
}

TEST(Reconcile, Canaries) {
  check({
      {"placed beside the old ones, under their names",
       [](World& w) { w.rolling(1, 2), w.running(3), w.use(1); },
       "place: [0] canary, [1] canary\n"
       "deployment: v1 total 3 canaries 2 (Deployment is running but requires manual promotion)\n"},
      {"not for in-place changes",
       [](World& w) { w.rolling(1, 2), w.running(3), w.use(1), w.change = model::UpdateKind::kInPlace; },
       "in place: a0, a1, a2\ndeployment: v1 total 3 canaries 0 (Deployment is running)\n"},
      {"waiting for promotion",
       [](World& w) {
         w.rolling(1, 1), w.running(3), w.use(1), w.deploy(1);
         w.alloc("c0", 0, 1).set_deployment_id("dep");
         w.state().set_desired_canaries(1);
         w.state().add_placed_canaries("c0");
       },
       ""},
      {"promoted: the old one of that name goes, then the rest rolls",
       [](World& w) {
         w.rolling(1, 1), w.running(3), w.use(1), w.deploy(1);
         auto& canary = w.alloc("c0", 0, 1);
         canary.set_deployment_id("dep");
         canary.mutable_deployment_status()->set_healthy(true);
         w.state().set_desired_canaries(1);
         w.state().add_placed_canaries("c0");
         w.state().set_promoted(true);
       },
       "replace: [1]<a1\nstop: a0 (alloc not needed due to job update)\n"},
      {"a lost old one is replaced by its own version",
       [](World& w) {
         w.rolling(1, 1), w.running(3), w.use(1), w.deploy(1);
         w.alloc("c0", 0, 1, "running", "n2").set_deployment_id("dep");
         w.state().set_desired_canaries(1);
         w.state().add_placed_canaries("c0");
         w.allocs[2].set_node_id("dead");
         w.in.tainted["dead"] = NodeFate::kDown;
       },
       "place: [2]<a2 lost v0\nstop: a2 (alloc is lost since its node is down) lost\n"},
      {"failed: unpromoted canaries stop",
       [](World& w) {
         w.rolling(1, 1), w.running(3), w.use(1), w.deploy(1, "failed");
         w.alloc("c0", 0, 1).set_deployment_id("dep");
         w.state().set_desired_canaries(1);
         w.state().add_placed_canaries("c0");
       },
       "stop: c0 (alloc not needed due to job update)\n"},
      {"automatic promotion is named",
       [](World& w) {
         w.rolling(1, 1), w.running(3), w.use(1);
         w.each_group([](schema::TaskGroup& g) { g.mutable_update()->set_auto_promote(true); });
       },
       "place: [0] canary\n"
       "deployment: v1 total 3 canaries 1 (Deployment is running pending automatic promotion)\n"},
  });
}

TEST(Reconcile, NodesThatGoAway) {
  check({
      {"down: lost and replaced",
       [](World& w) {
         w.running(3), w.allocs[1].set_node_id("dead");
         w.in.tainted["dead"] = NodeFate::kDown;
       },
       "place: [1]<a1 lost\nstop: a1 (alloc is lost since its node is down) lost\n"},
      {"disconnected without permission: the same",
       [](World& w) {
         w.running(3), w.allocs[1].set_node_id("gone");
         w.in.tainted["gone"] = NodeFate::kDisconnected;
       },
       "place: [1]<a1 lost\nstop: a1 (alloc is lost since its node is down) lost\n"},
      {"disconnected with lost_after: unknown, with a replacement",
       [](World& w) {
         w.each_group([](schema::TaskGroup& g) { g.mutable_disconnect()->set_lost_after(60 * kSecond); });
         w.running(3), w.allocs[1].set_node_id("gone");
         w.in.tainted["gone"] = NodeFate::kDisconnected;
       },
       "place: [1]<a1 reschedule\ndisconnect: a1 unknown\nlater: max-disconnect-timeout in 60s\n"},
      {"disconnected, replace = false: unknown, and that is all",
       [](World& w) {
         w.each_group([](schema::TaskGroup& g) {
           g.mutable_disconnect()->set_lost_after(60 * kSecond);
           g.mutable_disconnect()->set_replace(false);
         });
         w.running(3), w.allocs[1].set_node_id("gone");
         w.in.tainted["gone"] = NodeFate::kDisconnected;
       },
       "disconnect: a1 unknown\nlater: max-disconnect-timeout in 60s\n"},
      {"unknown with a replacement: left alone",
       [](World& w) {
         w.each_group([](schema::TaskGroup& g) { g.mutable_disconnect()->set_lost_after(600 * kSecond); });
         w.running(3);
         auto& gone = w.alloc("u1", 1, 0, "unknown", "gone");
         gone.set_next_allocation("a1");
         auto& since = *gone.add_alloc_states();
         since.set_field("ClientStatus"), since.set_value("unknown"), since.set_time(kNow.unix_ns - 10 * kSecond);
         w.in.tainted["gone"] = NodeFate::kDisconnected;
       },
       ""},
      {"unknown for too long: lost",
       [](World& w) {
         w.each_group([](schema::TaskGroup& g) { g.mutable_disconnect()->set_lost_after(5 * kSecond); });
         w.running(3);
         auto& gone = w.alloc("u1", 1, 0, "unknown", "gone");
         gone.set_next_allocation("a1");
         auto& since = *gone.add_alloc_states();
         since.set_field("ClientStatus"), since.set_value("unknown"), since.set_time(kNow.unix_ns - 10 * kSecond);
         w.in.tainted["gone"] = NodeFate::kDisconnected;
       },
       "stop: u1 (alloc is lost since its node is down) lost\n"},
      {"draining: stopped and placed elsewhere",
       [](World& w) { w.running(3), w.allocs[2].mutable_desired_transition()->set_migrate(true); },
       "place: [2]<a2\nstop: a2 (alloc is being migrated)\n"},
      {"stop_on_client_after holds the replacement back",
       [](World& w) {
         w.each_group([](schema::TaskGroup& g) { g.mutable_disconnect()->set_stop_on_client_after(30 * kSecond); });
         w.running(3), w.allocs[1].set_node_id("dead");
         w.in.tainted["dead"] = NodeFate::kDown;
       },
       "stop: a1 (alloc is lost since its node is down) lost later\nlater: alloc-failure in 30s\n"},
  });
}

schema::Allocation& reconnected(World& w, std::string_view strategy) {
  w.each_group([&](schema::TaskGroup& g) {
    g.mutable_disconnect()->set_lost_after(600 * kSecond);
    g.mutable_disconnect()->set_reconcile(std::string(strategy));
  });
  w.running(3);
  auto& back = w.alloc("u1", 1, 0, "running", "back");
  back.set_next_allocation("a1");
  auto& since = *back.add_alloc_states();
  since.set_field("ClientStatus"), since.set_value("unknown"), since.set_time(kNow.unix_ns - 10 * kSecond);
  return back;
}

void scored(schema::Allocation& alloc, double score) {
  auto& meta = *alloc.mutable_metrics()->add_score_meta_data();
  meta.set_node_id(alloc.node_id());
  meta.set_norm_score(score);
}

TEST(Reconcile, Reconnecting) {
  const char* kKeepsOriginal = "stop: a1 (alloc not needed due to disconnected client reconnect)\nreconnect: u1 running\n";
  const char* kKeepsNew = "stop: u1 (alloc not needed due to disconnected client reconnect)\n";
  check({
      {"equal scores: the original", [](World& w) { reconnected(w, "best_score"); }, kKeepsOriginal},
      {"the replacement scores higher and runs",
       [](World& w) { scored(reconnected(w, "best_score"), 0.5), scored(w.allocs[1], 0.7); }, kKeepsNew},
      {"the replacement scores higher but does not run yet",
       [](World& w) {
         scored(reconnected(w, "best_score"), 0.5), scored(w.allocs[1], 0.7);
         w.allocs[1].set_client_status("pending");
       },
       kKeepsOriginal},
      {"keep_original", [](World& w) { scored(w.alloc("x", 9), 1), w.in.allocs.clear(), w.allocs.clear(), reconnected(w, "keep_original"); },
       kKeepsOriginal},
      {"keep_replacement", [](World& w) { reconnected(w, "keep_replacement"); }, kKeepsNew},
      {"longest_running",
       [](World& w) {
         (*reconnected(w, "longest_running").mutable_task_states())["t"].set_started_at(200);
         (*w.allocs[1].mutable_task_states())["t"].set_started_at(100);
       },
       kKeepsNew},
      {"an older version always goes",
       [](World& w) {
         reconnected(w, "keep_original");
         w.use(1), w.change = model::UpdateKind::kInPlace;
         for (size_t i = 0; i < 3; ++i) w.in.allocs[i].job = &w.versions[1];
       },
       "stop: u1 (alloc not needed due to job update)\n"},
      {"failed while away: stopped",
       [](World& w) { reconnected(w, "keep_original").set_client_status("failed"); },
       "stop: u1 (alloc was rescheduled because it failed)\n"},
  });
}

TEST(Reconcile, Rescheduling) {
  const auto failed = [](World& w, int64_t seconds_ago) -> schema::Allocation& {
    w.running(3);
    w.allocs[1].set_client_status("failed");
    w.allocs[1].set_modify_time(kNow.unix_ns - seconds_ago * kSecond);
    return w.allocs[1];
  };
  check({
      {"due", [&](World& w) { failed(w, 31); }, "place: [1]<a1 reschedule\n"},
      {"due within the second", [&](World& w) { failed(w, 30); }, "place: [1]<a1 reschedule\n"},
      {"later: a follow-up evaluation", [&](World& w) { failed(w, 10); }, "later: alloc-failure in 20s\n"},
      {"the follow-up evaluation itself",
       [&](World& w) { failed(w, 28).set_followup_eval_id("eval"); }, "place: [1]<a1 reschedule\n"},
      {"another is on its way", [&](World& w) { failed(w, 10).set_followup_eval_id("other"); }, ""},
      {"close ones share an evaluation",
       [&](World& w) {
         failed(w, 10);
         w.allocs[0].set_client_status("failed"), w.allocs[0].set_modify_time(kNow.unix_ns - 12 * kSecond);
         w.allocs[2].set_client_status("failed"), w.allocs[2].set_modify_time(kNow.unix_ns - 3 * kSecond);
       },
       "later: alloc-failure in 18s, alloc-failure in 27s\n"},
      {"no policy: it keeps its slot",
       [&](World& w) {
         failed(w, 100);
         w.each_group([](schema::TaskGroup& g) { g.mutable_reschedule_policy()->set_unlimited(false); });
       },
       ""},
      {"forced",
       [&](World& w) {
         failed(w, 1).mutable_desired_transition()->set_force_reschedule(true);
       },
       "place: [1]<a1 reschedule\n"},
      {"of the running deployment: waits for the watcher",
       [&](World& w) { w.rolling(1), failed(w, 100).set_deployment_id("dep"), w.deploy(0); }, ""},
      {"of the running deployment, allowed",
       [&](World& w) {
         w.rolling(1);
         auto& alloc = failed(w, 100);
         alloc.set_deployment_id("dep");
         alloc.mutable_desired_transition()->set_reschedule(true);
         w.deploy(0);
       },
       "place: [1]<a1 reschedule\n"},
      {"already replaced",
       [&](World& w) { failed(w, 100).set_next_allocation("a9"), w.alloc("a9", 1); }, ""},
  });
}

TEST(Reconcile, Batch) {
  const auto batch = [](World& w) {
    w.in.batch = true;
    for (auto& job : w.versions) job.set_type("batch");
  };
  const auto done = [](World& w, std::string_view id, uint64_t index, uint64_t version) -> schema::Allocation& {
    auto& a = w.alloc(std::string(id), index, version, "complete");
    auto& task = (*a.mutable_task_states())["t"];
    task.set_state("dead");
    return a;
  };
  check({
      {"done stays done",
       [&](World& w) { batch(w), done(w, "a0", 0, 0), done(w, "a1", 1, 0), done(w, "a2", 2, 0); }, ""},
      {"done stays done when its node dies",
       [&](World& w) {
         batch(w), done(w, "a0", 0, 0).set_node_id("dead"), done(w, "a1", 1, 0), done(w, "a2", 2, 0);
         w.in.tainted["dead"] = NodeFate::kDown;
       },
       ""},
      {"done stays done when told to migrate",
       [&](World& w) {
         batch(w), done(w, "a0", 0, 0).mutable_desired_transition()->set_migrate(true);
         done(w, "a1", 1, 0), done(w, "a2", 2, 0);
       },
       ""},
      {"done and then stopped stays done",
       [&](World& w) {
         batch(w), done(w, "a0", 0, 0).set_desired_status("stop");
         done(w, "a1", 1, 0), done(w, "a2", 2, 0);
       },
       ""},
      {"a new version runs again",
       [&](World& w) { batch(w), w.use(1), done(w, "a0", 0, 0), done(w, "a1", 1, 0), done(w, "a2", 2, 0); },
       "place: [0], [1], [2]\n"},
      {"stopped before it was done runs again",
       [&](World& w) { batch(w), w.running(3), w.allocs[0].set_desired_status("stop"), w.allocs[0].set_client_status("complete"); },
       "place: [0]\n"},
      {"a service alloc that completes is replaced",
       [&](World& w) { w.running(2), w.alloc("a2", 2, 0, "complete"); }, "place: [2]\n"},
  });
}

// Whatever comes in: the slots add up, and no alloc is both stopped and kept.
TEST(Reconcile, CountsAddUpFromAnyState) {
  constexpr std::string_view kClients[] = {"pending", "running", "complete", "failed", "lost", "unknown"};
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    SeededRng rng(seed);
    World w;
    w.in.batch = rng.chance(1, 3);
    if (rng.chance(1, 2)) w.rolling(static_cast<int64_t>(1 + rng.below(3)), static_cast<int64_t>(rng.below(2)));
    if (rng.chance(1, 3)) {
      w.each_group([](schema::TaskGroup& g) { g.mutable_disconnect()->set_lost_after(60 * kSecond); });
    }
    const uint64_t current = rng.below(2);
    w.use(current);
    const uint64_t count = rng.below(8);
    for (uint64_t i = 0; i < count; ++i) {
      auto& a = w.alloc(std::format("a{}", i), rng.below(5), rng.below(current + 1), kClients[rng.below(6)],
                        rng.chance(1, 4) ? "bad" : "n1");
      if (rng.chance(1, 6)) a.set_desired_status("stop");
      if (rng.chance(1, 8)) a.mutable_desired_transition()->set_migrate(true);
    }
    if (rng.chance(1, 2)) w.in.tainted["bad"] = rng.chance(1, 2) ? NodeFate::kDown : NodeFate::kDisconnected;
    if (rng.chance(1, 3)) w.deploy(current, rng.chance(1, 2) ? "running" : "failed");
    w.change = rng.chance(1, 2) ? model::UpdateKind::kDestructive : model::UpdateKind::kInPlace;
    const ReconcileResult r = w.run();
    std::map<std::string, int> touched;
    for (const auto& ask : r.stop) {
      ++touched[ask.alloc.alloc->id()];
      EXPECT_FALSE(model::server_terminal(*ask.alloc.alloc)) << seed;
    }
    for (const auto& ask : r.destructive) ++touched[ask.place.previous.alloc->id()];
    for (const auto& item : r.in_place) ++touched[item.alloc->id()];
    for (const auto& [id, times] : touched) EXPECT_EQ(times, 1) << id << " seed " << seed;
    // What runs afterwards: live ones that stay, plus what is placed, without canaries, never above the count.
    int64_t live = 0;
    for (const JobAlloc& item : w.in.allocs) {
      const bool leaves = std::ranges::any_of(r.stop, [&](const StopAsk& s) { return s.alloc == item; }) ||
                          std::ranges::any_of(r.destructive, [&](const DestructiveAsk& d) { return d.place.previous == item; });
      live += !model::terminal(*item.alloc) && !leaves && item.alloc->client_status() != "unknown";
    }
    for (const auto& update : r.disconnect_updates) live -= update.client_status() == "unknown";
    int64_t placed = static_cast<int64_t>(r.destructive.size());
    for (const auto& ask : r.place) placed += !ask.canary;
    EXPECT_LE(live + placed, 3) << seed;
  }
}

}  // namespace
}  // namespace steppe::scheduler
