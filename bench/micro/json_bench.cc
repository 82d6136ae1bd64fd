// The codec against Boost.JSON's DOM on a job of about 3 KB: message to text against tree to text, and text to message
// against text to tree. Prints both and, at the end, the ratios that the project promises: write <= 4, read <= 3.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <format>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "bench/report/goal.h"

namespace {

namespace schema = steppe::schema;

// A service as people write it: one group, a network, a service with a check, a task with config, env and a template.
constexpr const char* kJob = R"({
  "ID":"web","Name":"web","Namespace":"default","Region":"global","Type":"service","Priority":50,"AllAtOnce":false,
  "Datacenters":["dc1","dc2"],"NodePool":"default","Stop":false,"Version":3,"SubmitTime":1763000000000000000,
  "Constraints":[{"LTarget":"${attr.kernel.name}","RTarget":"linux","Operand":"="},
                 {"LTarget":"${meta.rack}","RTarget":"r1,r2,r3","Operand":"set_contains_any"}],
  "Meta":{"owner":"team-games","contact":"games@example.org","tier":"2"},
  "Update":{"Stagger":30000000000,"MaxParallel":2,"HealthCheck":"checks","MinHealthyTime":10000000000,
            "HealthyDeadline":300000000000,"ProgressDeadline":600000000000,"AutoRevert":true,"AutoPromote":false,"Canary":1},
  "TaskGroups":[{
    "Name":"web","Count":3,
    "RestartPolicy":{"Attempts":2,"Interval":1800000000000,"Delay":15000000000,"Mode":"fail","RenderTemplates":false},
    "ReschedulePolicy":{"Attempts":0,"Interval":0,"Delay":30000000000,"DelayFunction":"exponential",
                        "MaxDelay":3600000000000,"Unlimited":true},
    "EphemeralDisk":{"Sticky":false,"SizeMB":300,"Migrate":false},
    "Networks":[{"Mode":"host","DynamicPorts":[{"Label":"http","Value":0,"To":8080,"HostNetwork":"default"}]}],
    "Services":[{"Name":"web","PortLabel":"http","Provider":"nomad","Tags":["urlprefix-/","v3"],"AddressMode":"auto",
      "OnUpdate":"require_healthy","Checks":[{"Name":"alive","Type":"http","Path":"/health","Interval":10000000000,
      "Timeout":2000000000,"Method":"GET","Header":{"Accept":["text/plain"]}}]}],
    "Tasks":[{"Name":"server","Driver":"exec","User":"www",
      "Config":{"command":"/usr/bin/server","args":["-listen",":8080","-log","json","-workers","8"],"pid_mode":"private"},
      "Env":{"LOG_LEVEL":"info","DB_HOST":"${NOMAD_IP_db}","DB_PORT":"${NOMAD_PORT_db}","FEATURES":"a,b,c"},
      "Resources":{"CPU":500,"MemoryMB":256,"MemoryMaxMB":512,"DiskMB":0},
      "LogConfig":{"MaxFiles":10,"MaxFileSizeMB":10,"Disabled":false},"KillTimeout":5000000000,"KillSignal":"SIGTERM",
      "Artifacts":[{"GetterSource":"https://example.org/server.tar.gz","RelativeDest":"local/","GetterMode":"any",
                    "GetterOptions":{"checksum":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}],
      "Templates":[{"EmbeddedTmpl":"key = \"{{ env \"NOMAD_ALLOC_ID\" }}\"\nport = {{ env \"NOMAD_PORT_http\" }}\n",
                    "DestPath":"local/app.conf","ChangeMode":"restart","Splay":5000000000,"Perms":"0644"}]}]}]})";

schema::Job job() {
  schema::Job job;
  if (!schema::read_json(kJob, &job).ok()) std::abort();
  return job;
}
const std::string& text() {
  static const std::string kText = schema::write_json(job());
  return kText;
}

void write_ours(benchmark::State& state) {
  const schema::Job message = job();
  for (auto _ : state) benchmark::DoNotOptimize(schema::write_json(message));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text().size()));
}
void write_boost(benchmark::State& state) {
  const boost::json::value tree = boost::json::parse(text());
  for (auto _ : state) benchmark::DoNotOptimize(boost::json::serialize(tree));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text().size()));
}
void read_ours(benchmark::State& state) {
  for (auto _ : state) {
    schema::Job message;
    benchmark::DoNotOptimize(schema::read_json(text(), &message).ok());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text().size()));
}
void read_boost(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(boost::json::parse(text()));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text().size()));
}

// Interleaved, so that a slow moment of the machine hits both.
BENCHMARK(write_ours);
BENCHMARK(write_boost);
BENCHMARK(read_ours);
BENCHMARK(read_boost);

// Keeps the fastest repetition of each benchmark.
class Ratios : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      const double ns = run.GetAdjustedCPUTime();
      double& best = best_[run.run_name.function_name];
      best = best == 0 ? ns : std::min(best, ns);
    }
    ConsoleReporter::ReportRuns(runs);
  }
  double best(const std::string& name) { return best_[name]; }
  double ratio(const std::string& a, const std::string& b) { return best_[a] / best_[b]; }

 private:
  std::map<std::string, double> best_;
};

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  Ratios ratios;
  benchmark::RunSpecifiedBenchmarks(&ratios);
  std::vector<steppe::bench::Goal> goals;
  for (auto [what, limit] : {std::pair("write", 4.0), {"read", 3.0}}) {
    const std::string ours = std::string(what) + "_ours", boost = std::string(what) + "_boost";
    steppe::bench::Goal goal = steppe::bench::at_most(std::string("JSON: ") + what + " a job of 3 KB over Boost.JSON", ratios.ratio(ours, boost), limit);
    goal.ours = std::format("{:.1f} us", ratios.best(ours) / 1000);
    goal.peer = std::format("Boost.JSON {:.1f} us", ratios.best(boost) / 1000);
    goals.push_back(goal);
  }
  std::printf("job of %zu bytes\n", text().size());
  return steppe::bench::report("json", goals) ? 0 : 1;
}
