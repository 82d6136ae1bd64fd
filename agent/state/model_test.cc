#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <format>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/state/alloc_codec.h"
#include "agent/state/naive_state_test.h"
#include "agent/state/node_columns.h"
#include "agent/state/persist.h"
#include "agent/state/root.h"
#include "agent/state/sample_test.h"
#include "agent/state/scrub.h"
#include "agent/state/store.h"
#include "agent/state/writer.h"

namespace steppe::state {
namespace {

schema::Job bare(schema::Job job) {
  job.clear_status();
  job.clear_status_description();
  job.clear_stable();
  job.clear_modify_index();
  job.clear_version_tag();
  return job;
}

template <class Message>
void expect_equal(const Message& got, const Message& want, const std::string& what) {
  ASSERT_EQ(encode(got), encode(want)) << what << "\ngot:  " << got.ShortDebugString()
                                       << "\nwant: " << want.ShortDebugString();
}

void compare_allocs(const Snapshot& got, const NaiveState& want) {
  ASSERT_EQ(got.alloc_count(), want.allocs.size());
  std::map<std::string, std::set<std::string>> by_node, by_job, by_eval, by_deployment;
  for (const auto& [id, alloc] : want.allocs) {
    auto view = got.alloc(AllocId(*Uuid::parse(id)));
    ASSERT_TRUE(view.has_value()) << id;
    schema::Allocation bare_alloc = alloc;
    bare_alloc.clear_job();
    expect_equal(view->decode(WithJob::kNo), bare_alloc, "alloc " + id);
    expect_equal(bare(view->job().decode()), bare(alloc.job()), "job of alloc " + id);
    EXPECT_EQ(view->name(), alloc.name());
    EXPECT_EQ(view->canary(), alloc.deployment_status().canary());
    EXPECT_EQ(view->migrate(), alloc.desired_transition().migrate());
    EXPECT_EQ(view->healthy().has_value(), alloc.deployment_status().has_healthy());
    by_node[alloc.node_id()].insert(id);
    by_job[alloc.job_id()].insert(id);
    by_eval[alloc.eval_id()].insert(id);
    if (!alloc.deployment_id().empty()) by_deployment[alloc.deployment_id()].insert(id);
  }
  auto ids = [](const std::vector<AllocView>& views) {
    std::set<std::string> set;
    for (const AllocView& view : views) set.insert(view.id().text());
    return set;
  };
  for (const auto& [id, set] : by_node) ASSERT_EQ(ids(got.allocs_by_node(NodeId(*Uuid::parse(id)))), set);
  for (const auto& [id, set] : by_job) ASSERT_EQ(ids(got.allocs_by_job("default", id, Incarnation::kAny)), set);
  for (const auto& [id, set] : by_eval) ASSERT_EQ(ids(got.allocs_by_eval(EvalId(*Uuid::parse(id)))), set);
  for (const auto& [id, set] : by_deployment) {
    ASSERT_EQ(ids(got.allocs_by_deployment(DeploymentId(*Uuid::parse(id)))), set);
  }
  auto next = want.allocs.begin();
  got.each_alloc(AllocId(), Order::kForward,
                 [&](const AllocView& view) { return view.id().text() == (next++)->first; });
  EXPECT_EQ(next, want.allocs.end()) << "not in the order of ids";
}

void compare_jobs(const Snapshot& got, const NaiveState& want) {
  ASSERT_EQ(got.job_count(), want.jobs.size());
  for (const auto& [id, job] : want.jobs) {
    auto view = got.job(id.first, id.second);
    ASSERT_TRUE(view.has_value()) << id.second;
    ASSERT_EQ(text(view->status()), job.status) << id.second << " at " << got.index();
    ASSERT_EQ(view->modify_index(), job.modify_index) << id.second;
    ASSERT_EQ(view->create_index(), job.create_index);
    auto versions = got.job_versions(id.first, id.second);
    ASSERT_EQ(versions.size(), job.versions.size()) << id.second;
    for (size_t i = 0; i < versions.size(); ++i) {
      ASSERT_EQ(versions[i].stable(), job.versions[i].stable());
      expect_equal(bare(versions[i].decode()), bare(job.versions[i]), "version of " + id.second);
    }
    schema::JobSummary summary = view->summary();
    ASSERT_EQ(summary.summary().size(), job.groups.size());
    for (const auto& [name, group] : job.groups) {
      expect_equal(summary.summary().at(name), group,
                   std::format("summary of {} {} at {}", id.second, name, got.index()));
    }
    ASSERT_EQ(summary.modify_index(), job.summary_modify_index) << id.second;
    ASSERT_EQ(summary.children().pending(), job.pending);
    ASSERT_EQ(summary.children().running(), job.running);
    ASSERT_EQ(summary.children().dead(), job.dead);
  }
}

void compare_nodes(const Snapshot& got, const NaiveState& want) {
  ASSERT_EQ(got.node_count(), want.nodes.size());
  NodeColumns columns = got.node_columns();
  size_t rows = 0;
  for (uint32_t c = 0; c < columns.chunks(); ++c) {
    for (uint8_t flags : columns.facts(c).flags) rows += (flags & kNodeExists) != 0 ? 1 : 0;
  }
  ASSERT_EQ(rows, want.nodes.size());
  for (const auto& [id, node] : want.nodes) {
    auto view = got.node(NodeId(*Uuid::parse(id)));
    ASSERT_TRUE(view.has_value());
    expect_equal(view->decode(), node, "node " + id);
    uint32_t i = *columns.ordinal(view->id());
    const NodeFacts& facts = columns.facts(i / kChunkRows);
    const NodeUsage& usage = columns.usage(i / kChunkRows);
    i %= kChunkRows;
    int32_t cpu = 0, memory = 0, count = 0, ports = 0;
    for (const auto& [alloc_id, alloc] : want.allocs) {
      const std::string& status = alloc.client_status();
      if (alloc.node_id() != id || status == "complete" || status == "failed" || status == "lost") continue;
      cpu += static_cast<int32_t>(alloc.allocated_resources().tasks().at("web").cpu().cpu_shares());
      memory += 256;
      ++count;
      ++ports;
    }
    ASSERT_EQ(usage.cpu[i], cpu) << id;
    ASSERT_EQ(usage.memory[i], memory);
    ASSERT_EQ(usage.allocs[i], count);
    ASSERT_EQ(usage.ports[i], ports);
    ASSERT_EQ(facts.cpu_total[i], 14000);
    ASSERT_EQ(facts.cpu_reserved[i], 100);
    ASSERT_EQ((facts.flags[i] & kNodeReady) != 0, node.status() == "ready");
    ASSERT_EQ(columns.computed_class(facts.computed_class[i]), node.computed_class());
    ASSERT_EQ(columns.datacenter(facts.datacenter[i]), node.datacenter());
  }
}

void compare(const Snapshot& got, const NaiveState& want) {
  ASSERT_NO_FATAL_FAILURE(compare_allocs(got, want));
  ASSERT_NO_FATAL_FAILURE(compare_jobs(got, want));
  ASSERT_NO_FATAL_FAILURE(compare_nodes(got, want));
  ASSERT_EQ(got.eval_count(), want.evals.size());
  for (const auto& [id, eval] : want.evals) {
    auto view = got.eval(EvalId(*Uuid::parse(id)));
    ASSERT_TRUE(view.has_value());
    expect_equal(view->decode(), eval, "eval " + id);
  }
  ASSERT_EQ(got.deployment_count(), want.deployments.size());
  for (const auto& [id, deployment] : want.deployments) {
    auto view = got.deployment(DeploymentId(*Uuid::parse(id)));
    ASSERT_TRUE(view.has_value());
    expect_equal(view->decode(), deployment, "deployment " + id);
  }
}

std::string persisted(const Snapshot& snapshot) {
  PersistWriter writer(snapshot);
  std::string all;
  for (std::string chunk = writer.next_chunk(); !chunk.empty(); chunk = writer.next_chunk()) all += chunk;
  return all;
}

// Random entries against the store, a replica of it, and the naive state.
class Driver {
 public:
  explicit Driver(uint64_t seed) : rng_(seed) {
    for (int i = 0; i < 12; ++i) node_ids_.push_back(sample::uuid(rng_));
  }

  void step() {
    now_ += 1'000'000'000;
    watch();
    before_ = naive_;
    switch (rng_.below(16)) {
      case 0:
      case 1: return register_job();
      case 2: return deregister();
      case 3: return upsert_eval();
      case 4:
      case 5:
      case 6: return place();
      case 7:
      case 8:
      case 9: return client_update();
      case 10: return transition();
      case 11: return node();
      case 12: return deployment();
      case 13: return health();
      case 14: return gc();
      default: return refused();
    }
  }

  void finish() {
    ASSERT_NO_FATAL_FAILURE(compare(store_.snapshot(), naive_));
    EXPECT_EQ(store_.snapshot().digest(), replica_.snapshot().digest());
    Scrub scrub(store_.snapshot());
    while (true) {
      Result<bool> done = scrub.step(7);
      ASSERT_TRUE(done.ok()) << done.error().message();
      if (*done) break;
    }
    ASSERT_NO_FATAL_FAILURE(check_kept());
  }

  void keep_snapshot() { kept_.push_back({store_.snapshot(), store_.snapshot().digest(), naive_}); }
  void check_kept() {
    for (const Kept& kept : kept_) {
      ASSERT_EQ(kept.snapshot.digest(), kept.digest);
      ASSERT_NO_FATAL_FAILURE(compare(kept.snapshot, kept.naive));
    }
    kept_.clear();
  }
  void restore() {
    std::string bytes = persisted(store_.snapshot());
    uint64_t digest = store_.snapshot().digest();
    PersistReader reader;
    for (size_t at = 0; at < bytes.size();) {
      size_t size = std::min<size_t>(bytes.size() - at, 1 + rng_.below(5000));
      ASSERT_TRUE(reader.feed(as_bytes(std::string_view(bytes).substr(at, size))).ok());
      at += size;
    }
    auto restored = reader.finish();
    ASSERT_TRUE(restored.ok()) << restored.error().message();
    store_.install(std::move(*restored));
    ASSERT_EQ(store_.snapshot().digest(), digest);
    ASSERT_NO_FATAL_FAILURE(compare(store_.snapshot(), naive_));
  }
  const NaiveState& naive() const { return naive_; }
  Store& store() { return store_; }

 private:
  struct Kept {
    Snapshot snapshot;
    uint64_t digest;
    NaiveState naive;
  };

  template <class Command>
  void apply(schema::LogType type, const Command& command) {
    ++index_;
    auto done = sample::apply(store_, index_, type, command);
    ASSERT_TRUE(done.ok()) << done.error().message();
    ASSERT_FALSE(done->refused.has_value()) << done->refused->message();
    naive_.apply(index_, command);
    ASSERT_TRUE(sample::apply(replica_, index_, type, command).ok());
    ASSERT_NO_FATAL_FAILURE(check_watches());
  }

  // ---- watches fire exactly for what changed
  void watch() {
    fired_.clear();
    tokens_.clear();
    keys_.clear();
    auto add = [&](const std::string& name, WatchKey key) {
      auto token = store_.watches().wait({std::move(key)}, [this, name](uint64_t) { fired_.insert(name); });
      ASSERT_TRUE(token.ok());
      tokens_.push_back(std::move(*token));
    };
    add("allocs", WatchKey::whole(Table::kAllocs));
    add("jobs", WatchKey::whole(Table::kJobs));
    add("evals", WatchKey::whole(Table::kEvals));
    add("deployments", WatchKey::whole(Table::kDeployments));
    node_ = pick(node_ids_);
    add("node allocs", WatchKey::allocs_of_node(*Uuid::parse(node_)));
    job_ = std::format("job{}", rng_.below(6));
    add("job row", WatchKey::job("default", job_));
    add("job allocs", WatchKey::of_job(Table::kAllocs, "default", job_));
    add("job evals", WatchKey::of_job(Table::kEvals, "default", job_));
    add("job summary", WatchKey::row(Table::kJobSummary, job_key("default", job_)));
    alloc_ = naive_.allocs.empty() ? sample::uuid(rng_) : any(naive_.allocs);
    add("alloc row", WatchKey::row(Table::kAllocs, *Uuid::parse(alloc_)));
  }
  template <class Map, class Pick>
  static bool changed(const Map& before, const Map& after, Pick pick) {
    for (const auto& [key, value] : before) {
      if (!pick(value)) continue;
      auto found = after.find(key);
      if (found == after.end() || encode(found->second) != encode(value)) return true;
    }
    for (const auto& [key, value] : after) {
      if (!before.contains(key) && pick(value)) return true;
    }
    return false;
  }
  void check_watches() {
    auto expect = [&](const std::string& name, bool want) {
      ASSERT_EQ(fired_.contains(name), want) << name << " at " << index_;
    };
    auto all = [](const auto&) { return true; };
    expect("allocs", changed(before_.allocs, naive_.allocs, all));
    expect("evals", changed(before_.evals, naive_.evals, all));
    expect("deployments", changed(before_.deployments, naive_.deployments, all));
    expect("node allocs", changed(before_.allocs, naive_.allocs, [&](const auto& a) { return a.node_id() == node_; }));
    expect("job allocs", changed(before_.allocs, naive_.allocs, [&](const auto& a) { return a.job_id() == job_; }));
    expect("job evals", changed(before_.evals, naive_.evals, [&](const auto& e) { return e.job_id() == job_; }));
    expect("alloc row", changed(before_.allocs, naive_.allocs, [&](const auto& a) { return a.id() == alloc_; }));
    auto job_index = [](const NaiveState& state, const std::string& id, bool summary) -> uint64_t {
      auto job = state.jobs.find({"default", id});
      return job == state.jobs.end() ? 0 : summary ? job->second.summary_modify_index : job->second.modify_index;
    };
    expect("job row", job_index(before_, job_, false) != job_index(naive_, job_, false));
    expect("job summary", job_index(before_, job_, true) != job_index(naive_, job_, true));
  }

  template <class List>
  const std::string& pick(const List& list) {
    return list[rng_.below(list.size())];
  }
  template <class Map>
  std::string any(const Map& map) {
    auto it = map.begin();
    std::advance(it, static_cast<ptrdiff_t>(rng_.below(map.size())));
    return it->first;
  }
  std::string any_job() {
    auto it = naive_.jobs.begin();
    std::advance(it, static_cast<ptrdiff_t>(rng_.below(naive_.jobs.size())));
    return it->first.second;
  }

  schema::Evaluation new_eval(const std::string& job_id) {
    schema::Evaluation eval = sample::eval(sample::uuid(rng_), job_id);
    const char* statuses[] = {"pending", "blocked", "complete", "failed"};
    eval.set_status(statuses[rng_.below(4)]);
    if (rng_.below(2) == 0) (*eval.mutable_queued_allocations())["group0"] = static_cast<int64_t>(rng_.below(4));
    if (rng_.below(3) == 0) (*eval.mutable_failed_tg_allocs())["group0"].set_nodes_evaluated(3);
    return eval;
  }
  void register_job() {
    schema::LogJobRegister command;
    uint64_t which = rng_.below(6);
    schema::Job& job = *command.mutable_job();
    job = sample::job(std::format("job{}", which), 1 + static_cast<int>(rng_.below(2)),
                      static_cast<int64_t>(rng_.below(3)));
    if (which == 5) job.mutable_periodic()->set_enabled(true);
    if (which == 4) job.set_parent_id("job5");
    if (which == 3) job.set_type("system");
    job.set_submit_time(now_);
    if (rng_.below(3) != 0) *command.mutable_eval() = new_eval(job.id());
    command.set_unix_ns(now_);
    apply(schema::LOG_JOB_REGISTER, command);
  }
  void deregister() {
    if (naive_.jobs.empty()) return;
    schema::LogJobDeregister command;
    command.set_namespace_("default");
    command.set_job_id(any_job());
    command.set_purge(rng_.below(3) == 0);
    command.set_no_shutdown_delay(rng_.below(3) == 0);
    command.set_submit_time(now_);
    if (rng_.below(2) == 0) *command.mutable_eval() = new_eval(command.job_id());
    command.set_unix_ns(now_);
    apply(schema::LOG_JOB_DEREGISTER, command);
  }
  void upsert_eval() {
    schema::LogEvalUpsert command;
    for (uint64_t n = 1 + rng_.below(3); n > 0; --n) {
      if (!naive_.evals.empty() && rng_.below(2) == 0) {
        schema::Evaluation& eval = *command.add_evals();
        eval = naive_.evals.at(any(naive_.evals));
        eval.set_status(rng_.below(2) == 0 ? "complete" : "blocked");
      } else {
        *command.add_evals() = new_eval(std::format("job{}", rng_.below(7)));
      }
    }
    command.set_unix_ns(now_);
    apply(schema::LOG_EVAL_UPSERT, command);
  }
  void place() {
    if (naive_.jobs.empty()) return;
    schema::LogPlanApply command;
    std::string job_id = any_job();
    auto versions = store_.snapshot().job_versions("default", job_id);
    *command.mutable_job() = versions[rng_.below(versions.size())].decode();
    std::string eval_id = naive_.evals.empty() ? sample::uuid(rng_) : any(naive_.evals);
    command.set_eval_id(eval_id);
    if (rng_.below(2) == 0) {
      schema::Deployment& d = *command.mutable_deployment();
      d.set_id(sample::uuid(rng_));
      d.set_namespace_("default");
      d.set_job_id(job_id);
      d.set_job_version(command.job().version());
      d.set_status("running");
      schema::DeploymentState& state = (*d.mutable_task_groups())["group0"];
      state.set_progress_deadline(600'000'000'000);
      state.set_desired_total(2);
    }
    std::set<std::string> used;
    for (uint64_t n = rng_.below(4); n > 0; --n) {
      schema::Allocation& alloc = *command.add_allocs_updated();
      if (!naive_.allocs.empty() && rng_.below(4) == 0) {
        std::string id = any(naive_.allocs);
        alloc = naive_.allocs.at(id);
        if (alloc.job_id() != job_id || !used.insert(id).second) {
          command.mutable_allocs_updated()->RemoveLast();
          continue;
        }
        alloc.clear_job();
        alloc.set_desired_status("run");
        if (rng_.below(2) == 0) alloc.clear_deployment_status();
      } else {
        alloc = sample::alloc(rng_, job_id, rng_.below(5) == 0 ? "gone" : "group0", rng_.below(9), pick(node_ids_),
                              eval_id);
        (*alloc.mutable_allocated_resources()->mutable_tasks())["web"].mutable_cpu()->set_cpu_shares(
            100 + static_cast<int64_t>(rng_.below(900)));
        if (rng_.below(3) == 0) alloc.set_name("odd name");
        if (!naive_.allocs.empty() && rng_.below(3) == 0) alloc.set_previous_allocation(any(naive_.allocs));
        if (rng_.below(3) == 0) alloc.mutable_deployment_status()->set_canary(true);
      }
      if (command.has_deployment()) alloc.set_deployment_id(command.deployment().id());
      used.insert(alloc.id());
    }
    for (const auto& [id, alloc] : naive_.allocs) {
      if (used.contains(id) || rng_.below(12) != 0) continue;
      schema::Allocation& stop = *(rng_.below(4) == 0 ? command.add_allocs_preempted() : command.add_allocs_stopped());
      stop.set_id(id);
      stop.set_preempted_by_allocation("5b8b4567-327b-43c6-83e2-bd3f6de1e3d6");
      stop.set_desired_description("alloc not needed");
      if (rng_.below(4) == 0) stop.set_client_status("lost");
    }
    for (auto& victim : *command.mutable_allocs_preempted()) victim.clear_client_status();
    command.set_unix_ns(now_);
    apply(schema::LOG_PLAN_APPLY, command);
  }
  void client_update() {
    schema::LogAllocClientUpdate command;
    std::set<std::string> used;
    for (uint64_t n = rng_.below(5); n > 0 && !naive_.allocs.empty(); --n) {
      std::string id = any(naive_.allocs);
      if (!used.insert(id).second) continue;
      schema::Allocation& update = *command.add_allocs();
      update = sample::running(id, now_);
      const char* statuses[] = {"pending", "running", "complete", "failed", "unknown"};
      update.set_client_status(statuses[rng_.below(5)]);
      if (rng_.below(3) == 0) {
        update.mutable_deployment_status()->set_healthy(rng_.below(2) == 0);
        update.mutable_deployment_status()->set_timestamp(now_);
      }
    }
    *command.add_allocs() = sample::running(sample::uuid(rng_), now_);
    if (rng_.below(3) == 0) *command.add_evals() = new_eval(std::format("job{}", rng_.below(6)));
    command.set_unix_ns(now_);
    apply(schema::LOG_ALLOC_CLIENT_UPDATE, command);
  }
  void transition() {
    schema::LogAllocDesiredTransition command;
    for (uint64_t n = rng_.below(3); n > 0 && !naive_.allocs.empty(); --n) {
      schema::DesiredTransition& t = (*command.mutable_transitions())[any(naive_.allocs)];
      if (rng_.below(2) == 0) t.set_migrate(rng_.below(2) == 0);
      else t.set_force_reschedule(true);
    }
    *command.add_evals() = new_eval(std::format("job{}", rng_.below(6)));
    command.set_unix_ns(now_);
    apply(schema::LOG_ALLOC_DESIRED_TRANSITION, command);
  }
  void node() {
    if (!naive_.nodes.empty() && rng_.below(2) == 0) {
      schema::LogNodeStatus command;
      command.set_node_id(any(naive_.nodes));
      const char* statuses[] = {"ready", "down", "disconnected", "initializing"};
      command.set_status(statuses[rng_.below(4)]);
      command.set_updated_at(now_ / 1'000'000'000);
      return apply(schema::LOG_NODE_STATUS, command);
    }
    schema::LogNodeRegister command;
    *command.mutable_node() = sample::node(pick(node_ids_), "n");
    command.mutable_node()->set_computed_class(std::format("v1:{}", rng_.below(4)));
    command.mutable_node()->set_datacenter(std::format("dc{}", rng_.below(3)));
    command.mutable_node()->set_status(rng_.below(4) == 0 ? "down" : "ready");
    command.mutable_node()->set_status_updated_at(now_ / 1'000'000'000);
    apply(schema::LOG_NODE_REGISTER, command);
  }
  std::string live_deployment() {
    for (const auto& [id, d] : naive_.deployments) {
      if ((d.status() == "running" || d.status() == "paused") && rng_.below(2) == 0) return id;
    }
    return {};
  }
  void deployment() {
    schema::LogDeploymentStatus command;
    command.mutable_update()->set_deployment_id(live_deployment());
    if (command.update().deployment_id().empty()) return;
    const char* statuses[] = {"running", "paused", "successful", "failed"};
    command.mutable_update()->set_status(statuses[rng_.below(4)]);
    command.mutable_update()->set_updated_at(now_);
    command.set_unix_ns(now_);
    apply(schema::LOG_DEPLOYMENT_STATUS, command);
  }
  void health() {
    schema::LogDeploymentAllocHealth command;
    command.set_deployment_id(live_deployment());
    for (const auto& [id, alloc] : naive_.allocs) {
      if (command.deployment_id().empty() || alloc.deployment_id() != command.deployment_id()) continue;
      if (rng_.below(2) == 0) command.add_healthy_allocation_ids(id);
      else command.add_unhealthy_allocation_ids(id);
    }
    if (command.deployment_id().empty()) return;
    command.set_timestamp(now_);
    command.set_unix_ns(now_);
    apply(schema::LOG_DEPLOYMENT_ALLOC_HEALTH, command);
  }
  void gc() {
    schema::LogGcReap command;
    if (!naive_.evals.empty()) command.add_eval_ids(any(naive_.evals));
    for (int n = 0; n < 3 && !naive_.allocs.empty(); ++n) command.add_alloc_ids(any(naive_.allocs));
    if (!naive_.deployments.empty() && rng_.below(3) == 0) command.add_deployment_ids(any(naive_.deployments));
    if (!naive_.nodes.empty() && rng_.below(4) == 0) command.add_node_ids(any(naive_.nodes));
    apply(schema::LOG_GC_REAP, command);
  }
  // Commands that must change nothing.
  void refused() {
    uint64_t digest = store_.snapshot().digest(Table::kAllocs) ^ store_.snapshot().digest(Table::kJobs);
    ++index_;
    schema::LogPlanApply plan;
    if (!naive_.jobs.empty()) *plan.mutable_job() = store_.snapshot().job("default", any_job())->decode();
    *plan.add_allocs_updated() = sample::alloc(rng_, "job0", "group0", 0, pick(node_ids_), sample::uuid(rng_));
    if (rng_.below(2) == 0) plan.add_allocs_stopped()->set_id(sample::uuid(rng_));
    else plan.add_deployment_updates()->set_deployment_id(sample::uuid(rng_));
    for (Store* store : {&store_, &replica_}) {
      auto done = sample::apply(*store, index_, schema::LOG_PLAN_APPLY, plan);
      ASSERT_TRUE(done.ok());
      ASSERT_TRUE(done->refused.has_value());
      ASSERT_TRUE(done->changes.empty());
    }
    ASSERT_EQ(store_.snapshot().digest(Table::kAllocs) ^ store_.snapshot().digest(Table::kJobs), digest);
    ASSERT_TRUE(fired_.empty());
  }

  SeededRng rng_;
  Store store_;
  Store replica_;
  NaiveState naive_, before_;
  uint64_t index_ = 1;
  int64_t now_ = 1'790'000'000'000'000'000;
  std::vector<std::string> node_ids_;
  std::vector<Kept> kept_;
  std::set<std::string> fired_;
  std::vector<WatchToken> tokens_;
  std::vector<WatchKey> keys_;
  std::string node_, job_, alloc_;
};

class Model : public testing::TestWithParam<uint64_t> {};

TEST_P(Model, StoreAndNaiveStateAgree) {
  Driver driver(GetParam());
  SeededRng chance(GetParam() + 1000);
  for (int i = 0; i < 250; ++i) {
    ASSERT_NO_FATAL_FAILURE(driver.step()) << "step " << i;
    if (chance.below(10) == 0)
      ASSERT_NO_FATAL_FAILURE(compare(driver.store().snapshot(), driver.naive())) << "step " << i;
    if (chance.below(25) == 0) driver.keep_snapshot();
    if (chance.below(70) == 0) ASSERT_NO_FATAL_FAILURE(driver.check_kept()) << "step " << i;
    if (chance.below(80) == 0) ASSERT_NO_FATAL_FAILURE(driver.restore()) << "step " << i;
    if (chance.below(5) == 0) driver.store().reclaim(chance.below(40));
  }
  driver.finish();
}

// Bugs planted into the store must be seen by the comparison, one by one.
TEST(ModelMutants, PlantedBugsAreSeen) {
  Driver driver(3);
  for (int i = 0; i < 60; ++i) driver.step();
  Root& root = driver.store().writer().root();
  Reclaimer& reclaimer = driver.store().writer().reclaimer();
  auto seen = [&] {
    testing::TestPartResultArray results;
    testing::ScopedFakeTestPartResultReporter capture(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    Root copy = root;
    compare(Snapshot(std::shared_ptr<const Root>(&copy, [](const Root*) {})), driver.naive());
    return results.size() > 0;
  };
  ASSERT_FALSE(seen());
  ASSERT_FALSE(driver.naive().allocs.empty());
  Uuid id = *Uuid::parse(driver.naive().allocs.begin()->first);
  uint32_t ordinal = *root.allocs.keys.find(id);
  auto* alloc = const_cast<AllocRow*>(root.allocs.at(ordinal));
  Posting posting = Posting::of(owner_of(alloc->placement->node_id), ordinal);
  root.allocs_by_node.erase(reclaimer, posting);
  EXPECT_TRUE(seen()) << "an alloc that its node's index lost";
  root.allocs_by_node.insert(reclaimer, posting);
  ASSERT_FALSE(seen());
  alloc->alloc_modify_index ^= 1;
  EXPECT_TRUE(seen()) << "an index that did not rise";
  alloc->alloc_modify_index ^= 1;
  auto* job = const_cast<JobRow*>(root.jobs.at(0));
  ++job->groups.front().running;
  EXPECT_TRUE(seen()) << "a summary that counted twice";
  --job->groups.front().running;
  if (const uint32_t* node = root.nodes.keys.find(alloc->placement->node_id); node != nullptr) {
    ++root.node_usage.edit<NodeUsage>(reclaimer, 0)->cpu[*node];
    EXPECT_TRUE(seen()) << "usage that was not given back";
    --root.node_usage.edit<NodeUsage>(reclaimer, 0)->cpu[*node];
  }
  ASSERT_FALSE(seen());
}

INSTANTIATE_TEST_SUITE_P(Seeds, Model, testing::Range<uint64_t>(1, 13));

}  // namespace
}  // namespace steppe::state
