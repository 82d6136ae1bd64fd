#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/schema/log.pb.h"

namespace steppe::state {

// The same rules on maps of whole messages, by scanning, with nothing shared and nothing kept incrementally but the
// summaries: what the store is compared with.
class NaiveState {
 public:
  using JobId = std::pair<std::string, std::string>;
  struct Job {
    std::vector<schema::Job> versions;  // newest first; stable, version and indexes set
    std::string status;
    uint64_t create_index = 0;
    uint64_t modify_index = 0;
    std::map<std::string, schema::TaskGroupSummary> groups;
    int64_t pending = 0, running = 0, dead = 0;
    uint64_t summary_modify_index = 0;
  };

  // Each applies a command that the store accepted.
  void apply(uint64_t index, const schema::LogJobRegister& command);
  void apply(uint64_t index, const schema::LogJobDeregister& command);
  void apply(uint64_t index, const schema::LogJobStability& command);
  void apply(uint64_t index, const schema::LogEvalUpsert& command);
  void apply(uint64_t index, const schema::LogPlanApply& command);
  void apply(uint64_t index, const schema::LogAllocClientUpdate& command);
  void apply(uint64_t index, const schema::LogAllocDesiredTransition& command);
  void apply(uint64_t index, const schema::LogGcReap& command);
  void apply(uint64_t index, const schema::LogNodeRegister& command);
  void apply(uint64_t index, const schema::LogNodeStatus& command);
  void apply(uint64_t index, const schema::LogDeploymentStatus& command);
  void apply(uint64_t index, const schema::LogDeploymentAllocHealth& command);

  std::map<JobId, Job> jobs;
  std::map<std::string, schema::Evaluation> evals;
  std::map<std::string, schema::Allocation> allocs;  // with their jobs
  std::map<std::string, schema::Deployment> deployments;
  std::map<std::string, schema::Node> nodes;

 private:
  Job& store_job(schema::Job job);
  void store_eval(schema::Evaluation eval);
  void store_alloc(const schema::Allocation& alloc);
  void remove_alloc(const std::string& id);
  void update_deployment(const schema::DeploymentStatusUpdate& update, int64_t now);
  void mark_stable(const JobId& id, uint64_t version);
  // At the end of each entry: statuses of the jobs that it touched, by scanning.
  void settle();

  uint64_t index_ = 0;
  int64_t now_ = 0;
  std::map<JobId, bool> touched_;  // true: registered
  std::map<JobId, bool> lost_rows_;
};

}  // namespace steppe::state
