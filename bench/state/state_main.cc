// Memory and speed of the state: bytes per alloc, what a held snapshot costs, entries per second.
//
//   bench-state [--allocs N] [--updates N]
//
// Memory is what malloc has handed out (mallinfo2), next to the growth of the resident set: the one is exact, the other
// is what the machine pays.
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <format>
#include <fstream>
#include <string>
#include <vector>

#include "agent/state/persist.h"
#include "agent/state/sample_test.h"
#include "agent/state/scrub.h"
#include "agent/state/store.h"
#include "bench/report/goal.h"

namespace steppe::state {
namespace {

struct Options {
  uint64_t allocs = 1'000'000;
  uint64_t updates = 500'000;
};

struct Memory {
  double heap_mb = 0;
  double rss_mb = 0;
};

Memory memory() {
  struct mallinfo2 info = mallinfo2();
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return {static_cast<double>(info.uordblks + info.hblkhd) / 1e6, static_cast<double>(resident) * 4096 / 1e6};
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Row {
  std::string name;
  double value;
  std::string unit;
  std::string limit;
};

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)) {}

  int run() {
    add_nodes();
    place();
    report_running();
    hold_snapshot();
    churn_with_snapshots();
    persist();
    scrub();
    print();
    return bench::report("state", judge()) ? 0 : 1;
  }

 private:
  static constexpr uint64_t kNodes = 10000;
  static constexpr uint64_t kPlan = 1000;  // allocs of one job and plan
  static constexpr int64_t kNow = 1'790'000'000'000'000'000;

  template <class Command>
  void apply(schema::LogType type, const Command& command) {
    std::string bytes = command.SerializeAsString();
    double start = seconds();
    Result<Outcome> done = store_.apply(++index_, type, as_bytes(bytes));
    applying_ += seconds() - start;
    if (!done.ok() || done->refused.has_value()) {
      std::fprintf(stderr, "apply failed: %s\n", (done.ok() ? *done->refused : done.error()).message().c_str());
      std::exit(1);
    }
  }

  void add_nodes() {
    applying_ = 0;
    for (uint64_t i = 0; i < kNodes; ++i) {
      nodes_.push_back(sample::uuid(rng_));
      schema::LogNodeRegister command;
      *command.mutable_node() = sample::node(nodes_.back(), std::format("node{}", i));
      apply(schema::LOG_NODE_REGISTER, command);
    }
    rows_.push_back({"register a node", applying_ / kNodes * 1e6, "us", ""});
  }

  // One plan in memory at a time: the allocs' messages are not to be measured.
  void place() {
    malloc_trim(0);
    before_ = memory();
    applying_ = 0;
    ids_.reserve(options_.allocs);
    for (uint64_t placed = 0; placed < options_.allocs;) {
      std::string id = std::format("service-{}", placed / kPlan);
      schema::LogJobRegister job;
      *job.mutable_job() = sample::job(id, 1, kPlan);
      std::string eval_id = sample::uuid(rng_);
      *job.mutable_eval() = sample::eval(eval_id, id);
      apply(schema::LOG_JOB_REGISTER, job);
      std::string deployment = sample::uuid(rng_);
      schema::LogPlanApply plan;
      *plan.mutable_job() = store_.snapshot().job("default", id)->decode();
      plan.mutable_deployment()->set_id(deployment);
      plan.mutable_deployment()->set_job_id(id);
      plan.mutable_deployment()->set_status("running");
      (*plan.mutable_deployment()->mutable_task_groups())["group0"].set_desired_total(kPlan);
      plan.set_unix_ns(kNow);
      for (uint64_t i = 0; i < kPlan && placed < options_.allocs; ++i, ++placed) {
        schema::Allocation& alloc = *plan.add_allocs_updated();
        alloc = sample::alloc(rng_, id, "group0", i, nodes_[rng_.below(kNodes)], eval_id);
        alloc.set_deployment_id(deployment);
        ids_.push_back(*Uuid::parse(alloc.id()));
        encoded_ += alloc.ByteSizeLong();
      }
      apply(schema::LOG_PLAN_APPLY, plan);
    }
    rows_.push_back(
        {"place an alloc (plans of 1000)", applying_ / static_cast<double>(options_.allocs) * 1e6, "us", ""});
    rows_.push_back({"alloc as the plan encodes it",
                     static_cast<double>(encoded_) / static_cast<double>(options_.allocs), "B", ""});
  }

  void report_running() {
    applying_ = 0;
    for (uint64_t at = 0; at < ids_.size();) {
      schema::LogAllocClientUpdate update;
      for (int i = 0; i < 64 && at < ids_.size(); ++i, ++at) {
        *update.add_allocs() = sample::running(ids_[at].text(), kNow + static_cast<int64_t>(at));
      }
      apply(schema::LOG_ALLOC_CLIENT_UPDATE, update);
    }
    while (store_.reclaim(100000)) {
    }
    malloc_trim(0);
    Memory now = memory();
    auto n = static_cast<double>(options_.allocs);
    rows_.push_back({"client update of an alloc (batches of 64)", applying_ / n * 1e6, "us", ""});
    double ids_mb = n * sizeof(Uuid) / 1e6;  // the bench's own list
    rows_.push_back(
        {"heap for each running alloc, all in", (now.heap_mb - before_.heap_mb - ids_mb) * 1e6 / n, "B", "1024"});
    rows_.push_back({"resident set per running alloc", (now.rss_mb - before_.rss_mb - ids_mb) * 1e6 / n, "B", ""});
  }

  void update_random(uint64_t count) {
    for (uint64_t done = 0; done < count;) {
      schema::LogAllocClientUpdate update;
      for (int i = 0; i < 64 && done < count; ++i, ++done) {
        *update.add_allocs() = sample::running(ids_[rng_.below(ids_.size())].text(), kNow + static_cast<int64_t>(done));
      }
      apply(schema::LOG_ALLOC_CLIENT_UPDATE, update);
    }
  }

  void hold_snapshot() {
    Memory start = memory();
    applying_ = 0;
    {
      Snapshot held = store_.snapshot();
      update_random(options_.updates);
      Memory now = memory();
      rows_.push_back({"held snapshot over the updates adds (heap)", now.heap_mb - start.heap_mb, "MB", "200"});
      rows_.push_back({"held snapshot over the updates adds (resident)", now.rss_mb - start.rss_mb, "MB", "200"});
      rows_.push_back(
          {"updates per second, snapshot held", static_cast<double>(options_.updates) / applying_, "/s", ""});
    }
    double before = seconds();
    double worst = 0;
    for (bool more = true; more;) {
      double step = seconds();
      more = store_.reclaim(1000);
      worst = std::max(worst, seconds() - step);
    }
    rows_.push_back({"freeing the snapshot, in all", (seconds() - before) * 1e3, "ms", ""});
    rows_.push_back({"longest step of 1000 rows", worst * 1e3, "ms", ""});
  }

  // A scheduler takes a snapshot between any two entries.
  void churn_with_snapshots() {
    applying_ = 0;
    double taking = 0;
    constexpr uint64_t kEntries = 20000;
    for (uint64_t i = 0; i < kEntries; ++i) {
      double start = seconds();
      Snapshot snapshot = store_.snapshot();
      taking += seconds() - start;
      schema::LogAllocClientUpdate update;
      *update.add_allocs() = sample::running(ids_[rng_.below(ids_.size())].text(), kNow + static_cast<int64_t>(i));
      apply(schema::LOG_ALLOC_CLIENT_UPDATE, update);
    }
    rows_.push_back({"entries per second, a snapshot before each", kEntries / applying_, "/s", ""});
    rows_.push_back({"taking a snapshot", taking / kEntries * 1e6, "us", ""});
  }

  void persist() {
    double start = seconds();
    PersistWriter writer(store_.snapshot());
    PersistReader reader;
    uint64_t bytes = 0;
    double reading = 0;
    for (std::string chunk = writer.next_chunk(); !chunk.empty(); chunk = writer.next_chunk()) {
      bytes += chunk.size();
      double feed = seconds();
      if (!reader.feed(as_bytes(chunk)).ok()) std::exit(1);
      reading += seconds() - feed;
    }
    double all = seconds() - start;
    rows_.push_back({"persisted state", static_cast<double>(bytes) / 1e6, "MB", ""});
    rows_.push_back({"writing it", (all - reading) * 1e3, "ms", ""});
    rows_.push_back({"restoring it", reading * 1e3, "ms", ""});
  }

  void scrub() {
    double start = seconds();
    Scrub scrub(store_.snapshot());
    for (bool done = false; !done;) {
      Result<bool> step = scrub.step(1000);
      if (!step.ok()) {
        std::fprintf(stderr, "%s\n", step.error().message().c_str());
        std::exit(1);
      }
      done = *step;
    }
    rows_.push_back(
        {"background check, rows per second", static_cast<double>(scrub.checked()) / (seconds() - start), "/s", ""});
  }

  void print() const {
    std::printf("state: %llu allocs on %llu nodes, %llu updates\n", static_cast<unsigned long long>(options_.allocs),
                static_cast<unsigned long long>(kNodes), static_cast<unsigned long long>(options_.updates));
    for (const Row& row : rows_) {
      std::printf("  %-50s %12.2f %-3s %s\n", row.name.c_str(), row.value, row.unit.c_str(),
                  row.limit.empty() ? "" : ("limit " + row.limit).c_str());
    }
  }

  std::vector<bench::Goal> judge() const {
    std::vector<bench::Goal> out;
    for (const Row& row : rows_) {
      if (row.limit.empty()) continue;
      double limit = std::strtod(row.limit.c_str(), nullptr);
      bench::Goal goal = bench::at_most("state: " + row.name, row.value, limit);
      goal.ours = std::format("{:.0f} {}", row.value, row.unit);
      goal.ratio = "";
      out.push_back(goal);
    }
    bench::Goal rate;
    for (const Row& row : rows_) {
      if (row.name != "updates per second, snapshot held") continue;
      rate.name = "state: " + row.name;
      rate.ours = std::format("{:.0f}/s", row.value);
      out.push_back(rate);
    }
    return out;
  }

  Options options_;
  SeededRng rng_{1};
  Store store_;
  uint64_t index_ = 1;
  double applying_ = 0;
  uint64_t encoded_ = 0;
  Memory before_;
  std::vector<std::string> nodes_;
  std::vector<Uuid> ids_;
  std::vector<Row> rows_;
};

}  // namespace
}  // namespace steppe::state

int main(int argc, char** argv) {
  steppe::state::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--allocs") == 0) options.allocs = std::strtoull(argv[i + 1], nullptr, 10);
    else if (std::strcmp(argv[i], "--updates") == 0) options.updates = std::strtoull(argv[i + 1], nullptr, 10);
    else return std::fprintf(stderr, "usage: bench-state [--allocs N] [--updates N]\n"), 2;
  }
  return steppe::state::Bench(options).run();
}
