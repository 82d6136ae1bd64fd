// bench-scheduler [--quick] [--json FILE]: the cases of Nomad's BenchmarkServiceScheduler (nodes x racks x allocs x
// spread), planned by our scheduler, beside the array scan of the same run. A plan is made, never applied: every round plans the
// whole job against empty nodes, as there.
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <format>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/node_class.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/scheduler/scheduler.h"
#include "agent/state/store.h"
#include "bench/report/goal.h"
#include "bench/scheduler/array_scan.h"
#include "init/base/bytes.h"
#include "init/base/ids.h"

namespace steppe::bench {
namespace {

struct Case {
  uint32_t nodes, racks, allocs;
  bool spread;
};

struct Measured {
  Case of;
  uint32_t placed = 0;
  uint64_t feasible = 0;      // nodes scored for each placement
  double first_us = 0;        // the first evaluation of a worker: nodes are decoded
  double ours_us = 0;         // per placement that succeeded, median of the rounds
  double floor_us = 0;        // array scan per placement
  double eval_us = 0;         // whole evaluation, median
};

// Processor time of this thread: other programs on the machine do not count.
double now_us() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class World {
 public:
  explicit World(const Case& c) : ids_(c.nodes * 1000003ULL + c.racks) {
    for (uint32_t i = 0; i < c.nodes; ++i) add_node(i, c.racks);
    add_job(c);
    eval_.set_id(Uuid::random(ids_).text());
    eval_.set_namespace_("default");
    eval_.set_job_id("bench");
    eval_.set_type("service");
    eval_.set_priority(50);
    eval_.set_triggered_by("job-register");
    eval_.set_status("pending");
  }

  scheduler::Outcome plan(scheduler::Scheduler& worker) {
    eval_.set_id(Uuid::random(ids_).text());  // other ties every round
    scheduler::Options options;
    options.now = WallTime{1'800'000'000'000'000'000};
    return worker.schedule(eval_, store_.snapshot(), options);
  }

  const ScanInput& scan() const { return scan_; }

 private:
  template <class Command>
  void apply(schema::LogType type, const Command& command) {
    const std::string bytes = command.SerializeAsString();
    const auto outcome = store_.apply(++index_, static_cast<uint32_t>(type), as_bytes(bytes));
    if (outcome.ok() && !outcome->refused) return;
    std::cerr << "bench-scheduler: cannot set up the cluster: "
              << (outcome.ok() ? outcome->refused->message() : outcome.error().message()) << "\n";
    std::exit(1);
  }

  // 4 cores of 3500 MHz less 100, 32000 MB less 256, two datacenters by turns, a rack in meta.
  void add_node(uint32_t i, uint32_t racks) {
    schema::LogNodeRegister command;
    schema::Node& node = *command.mutable_node();
    node.set_id(Uuid::random(ids_).text());
    node.set_secret_id(Uuid::random(ids_).text());
    node.set_name(std::format("node-{}", i));
    node.set_datacenter(i % 2 == 0 ? "dc-1" : "dc-2");
    node.set_node_pool("default");
    node.set_status("ready");
    node.set_scheduling_eligibility("eligible");
    (*node.mutable_attributes())["kernel.name"] = "linux";
    (*node.mutable_attributes())["arch"] = "x86";
    (*node.mutable_attributes())["nomad.version"] = "2.0.6";
    (*node.mutable_meta())["rack"] = std::format("r{}", i % racks);
    auto& driver = (*node.mutable_drivers())["exec"];
    driver.set_detected(true);
    driver.set_healthy(true);
    node.mutable_node_resources()->mutable_cpu()->set_cpu_shares(14000);
    node.mutable_node_resources()->mutable_memory()->set_memory_mb(32000);
    node.mutable_node_resources()->mutable_disk()->set_disk_mb(100 * 1024);
    node.mutable_reserved_resources()->mutable_cpu()->set_cpu_shares(100);
    node.mutable_reserved_resources()->mutable_memory()->set_memory_mb(256);
    node.set_computed_class(model::computed_class(node));
    apply(schema::LOG_NODE_REGISTER, command);
    schema::LogNodeStatus ready;
    ready.set_node_id(node.id());
    ready.set_status("ready");
    ready.set_updated_at(1'800'000'000);
    apply(schema::LOG_NODE_STATUS, ready);
    scan_.cpu_total.push_back(13900);
    scan_.memory_total.push_back(31744);
    scan_.feasible.push_back(i % racks < racks / 2);
  }

  void add_job(const Case& c) {
    schema::LogJobRegister command;
    schema::Job& job = *command.mutable_job();
    job.set_id("bench");
    job.set_name("bench");
    job.set_namespace_("default");
    job.set_region("global");
    job.set_type("service");
    job.set_priority(50);
    job.set_node_pool("default");
    job.add_datacenters("dc-1");
    job.add_datacenters("dc-2");
    auto& constraint = *job.add_constraints();
    constraint.set_l_target("${meta.rack}");
    constraint.set_operand("set_contains_any");
    std::string racks;
    for (uint32_t r = 0; r < c.racks / 2; ++r) racks += std::format("{}r{}", r == 0 ? "" : ",", r);
    constraint.set_r_target(racks);
    if (c.spread) {
      auto& spread = *job.add_spreads();
      spread.set_attribute("${meta.rack}");
      spread.set_weight(100);
    }
    auto& group = *job.add_task_groups();
    group.set_name("web");
    group.set_count(c.allocs);
    group.mutable_ephemeral_disk()->set_size_mb(300);
    auto& task = *group.add_tasks();
    task.set_name("web");
    task.set_driver("exec");
    task.mutable_resources()->set_cpu(6000);
    task.mutable_resources()->set_memory_mb(6000);
    scan_.cpu_ask = 6000;
    scan_.memory_ask = 6000;
    apply(schema::LOG_JOB_REGISTER, command);
  }

  SeededRng ids_;
  state::Store store_;
  uint64_t index_ = 0;
  schema::Evaluation eval_;
  ScanInput scan_;
};

Measured measure(World& world, const Case& c, int rounds) {
  Measured out{.of = c};
  scheduler::Scheduler worker;
  double start = now_us();
  { const auto first = world.plan(worker); }
  out.first_us = now_us() - start;
  std::vector<double> ours, floor, evals;
  uint64_t sum = 0;
  for (int round = 0; round < rounds; ++round) {  // by turns: what slows one slows the other
    start = now_us();
    const scheduler::Outcome planned = world.plan(worker);
    const double took = now_us() - start;
    uint32_t placed = 0;
    for (const auto& [node, list] : planned.plan.node_allocation()) placed += static_cast<uint32_t>(list.items_size());
    out.placed = placed;
    out.feasible = planned.scored / std::max<uint32_t>(placed + (placed < c.allocs ? 1 : 0), 1);
    evals.push_back(took);
    ours.push_back(took / std::max<uint32_t>(placed, 1));
    start = now_us();
    const uint32_t scanned = array_scan(world.scan(), c.allocs, sum);
    floor.push_back((now_us() - start) / std::max<uint32_t>(scanned, 1));
    if (scanned != placed) std::cerr << std::format("note: the scan placed {}, the scheduler {}\n", scanned, placed);
  }
  if (sum == 1) std::cerr << "";
  out.ours_us = median(ours);
  out.floor_us = median(floor);
  out.eval_us = median(evals);
  return out;
}

std::string json_line(const Measured& m) {
  return std::format(
      R"({{"nodes":{},"racks":{},"allocs":{},"spread":{},"placed":{},"feasible_scored":{},"us_per_placement":{:.3f},"floor_us_per_placement":{:.3f},"ratio":{:.3f},"eval_us":{:.1f},"first_eval_us":{:.1f}}})",
      m.of.nodes, m.of.racks, m.of.allocs, m.of.spread ? "true" : "false", m.placed, m.feasible, m.ours_us, m.floor_us,
      m.ours_us / m.floor_us, m.eval_us, m.first_us);
}

int run(bool quick, const std::string& json_path) {
  const std::vector<uint32_t> nodes = quick ? std::vector<uint32_t>{1000, 10000} : std::vector<uint32_t>{500, 1000, 5000, 10000};
  const std::vector<uint32_t> racks = quick ? std::vector<uint32_t>{25} : std::vector<uint32_t>{25, 50, 75};
  const std::vector<uint32_t> allocs = quick ? std::vector<uint32_t>{300, 1200} : std::vector<uint32_t>{50, 300, 600, 900, 1200};
  std::vector<std::string> lines;
  std::cout << std::format("{:>6} {:>6} {:>7} {:>7} {:>7} {:>9} {:>12} {:>12} {:>7} {:>11}\n", "nodes", "racks", "allocs",
                           "spread", "placed", "scored", "us/placement", "array scan", "ratio", "first eval");
  double worst = 0;
  std::vector<Goal> goals;
  for (const uint32_t n : nodes) {
    for (const uint32_t r : racks) {
      for (const bool spread : {false, true}) {
        for (const uint32_t a : allocs) {
          const Case c{n, r, a, spread};
          World world(c);
          const Measured m = measure(world, c, quick ? 3 : 5);
          lines.push_back(json_line(m));
          if (n == 10000 && a == 1200) {
            worst = std::max(worst, m.ours_us / m.floor_us);
            Goal goal = at_most(std::format("place 1200 on 10000 nodes{}, {} racks", spread ? ", spread" : "", r), m.ours_us / m.floor_us, 5);
            goal.ours = std::format("{:.2f} us each", m.ours_us);
            goal.floor = std::format("{:.2f} us", m.floor_us);
            // Half of the nodes are feasible, and every one of them is scored for every placement.
            if (m.feasible < n * (r / 2) / r || m.placed != a) goal.met = false, goal.name += ": not all scored";
            goals.push_back(goal);
          }
          std::cout << std::format("{:>6} {:>6} {:>7} {:>7} {:>7} {:>9} {:>12.3f} {:>12.3f} {:>7.2f} {:>9.1f}ms\n", n, r, a,
                                   spread ? "yes" : "no", m.placed, m.feasible, m.ours_us, m.floor_us,
                                   m.ours_us / m.floor_us, m.first_us / 1000) << std::flush;
        }
      }
    }
  }
  if (!json_path.empty()) {
    std::ofstream file(json_path);
    file << "{\"bench\":\"scheduler\",\"cases\":[\n";
    for (size_t i = 0; i < lines.size(); ++i) file << lines[i] << (i + 1 < lines.size() ? ",\n" : "\n");
    file << std::format("],\"worst_ratio_10000x1200\":{:.3f}}}\n", worst);
    if (!file.good()) {
      std::cerr << "bench-scheduler: cannot write " << json_path << "\n";
      return 1;
    }
  }
  return report("scheduler", goals) ? 0 : 1;
}

}  // namespace
}  // namespace steppe::bench

int main(int argc, char** argv) {
  bool quick = false;
  std::string json;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick") {
      quick = true;
    } else if (argument == "--json" && i + 1 < argc) {
      json = argv[++i];
    } else {
      std::cerr << "usage: bench-scheduler [--quick] [--json FILE]\n";
      return 2;
    }
  }
  return steppe::bench::run(quick, json);
}
