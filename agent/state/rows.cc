#include "agent/state/rows.h"

#include <algorithm>

#include "agent/state/digest.h"
#include "agent/state/table.h"

namespace steppe::state {
namespace {

uint64_t seed(Table table) { return static_cast<uint64_t>(table); }

}  // namespace

uint64_t JobSpec::compute_digest() const {
  Digest d(seed(Table::kJobVersions));
  d.add(ns).add(id).add(parent_id).add(node_pool).add(version).add(create_index).add(job_modify_index);
  d.add(static_cast<uint64_t>(submit_time)).add(static_cast<uint64_t>(priority)).add(static_cast<uint64_t>(type));
  d.add(uint64_t{stop} | uint64_t{periodic} << 1 | uint64_t{parameterized} << 2);
  for (const std::string& group : groups) d.add(group);
  return d.add(bytes).value();
}

JobRow::JobRow(const JobRow& other)
    : Counted(other),
      ordinal(other.ordinal),
      versions(other.versions),
      status(other.status),
      status_description(other.status_description),
      create_index(other.create_index),
      modify_index(other.modify_index),
      groups(other.groups),
      children_pending(other.children_pending),
      children_running(other.children_running),
      children_dead(other.children_dead),
      summary_create_index(other.summary_create_index),
      summary_modify_index(other.summary_modify_index),
      allocs(other.allocs),
      live_allocs(other.live_allocs),
      evals(other.evals),
      live_evals(other.live_evals),
      live_deployments(other.live_deployments),
      digest(other.digest) {
  for (const JobVersion& version : versions) Reclaimer::retain(version.spec);
}

void JobRow::drop(Reclaimer& reclaimer) {
  for (const JobVersion& version : versions) reclaimer.release(version.spec);
}

GroupSummary* JobRow::group(std::string_view name) {
  auto found = std::ranges::lower_bound(groups, name, {}, &GroupSummary::name);
  return found != groups.end() && found->name == name ? &*found : nullptr;
}

uint64_t JobRow::compute_digest() const {
  Digest d(seed(Table::kJobs));
  for (const JobVersion& version : versions) {
    d.add(version.spec->digest).add(uint64_t{version.stable}).add(version.tag).add(version.submission);
  }
  d.add(static_cast<uint64_t>(status)).add(status_description).add(create_index).add(modify_index);
  for (const GroupSummary& g : groups) {
    d.add(g.name);
    for (int64_t n : {g.queued, g.complete, g.failed, g.running, g.starting, g.lost, g.unknown}) {
      d.add(static_cast<uint64_t>(n));
    }
  }
  for (int64_t n : {children_pending, children_running, children_dead}) d.add(static_cast<uint64_t>(n));
  return d.add(summary_create_index).add(summary_modify_index).value();
}

uint64_t NodeRow::compute_digest() const {
  // Ordinals and dictionary ids are local: a peer that restored a snapshot has others.
  Digest d(seed(Table::kNodes));
  d.add(ByteView(id.bytes)).add(name).add(node_class).add(static_cast<uint64_t>(status));
  d.add(uint64_t{eligible} | uint64_t{draining} << 1).add(static_cast<uint64_t>(status_updated_at));
  d.add(create_index).add(modify_index).add(last_missed_heartbeat_index).add(last_alloc_update_index);
  return d.add(bytes).value();
}

uint64_t Placement::compute_digest() const {
  Digest d(seed(Table::kAllocs));
  d.add(ByteView(id.bytes)).add(ByteView(node_id.bytes)).add(ByteView(eval_id.bytes));
  d.add(ByteView(deployment_id.bytes)).add(create_index).add(static_cast<uint64_t>(create_time)).add(spec->digest);
  for (int32_t n : {usage.cpu, usage.memory, usage.memory_max, usage.disk, usage.cores}) {
    d.add(static_cast<uint64_t>(n));
  }
  return d.add(uint64_t{ports} | uint64_t{group} << 16 | uint64_t{name_index} << 32).add(tail()).value();
}

void Placement::drop(Reclaimer& reclaimer) { reclaimer.release(spec); }

uint64_t AllocRow::compute_digest() const {
  Digest d(seed(Table::kAllocs) + 0x100);
  d.add(placement->digest).add(modify_index).add(alloc_modify_index).add(static_cast<uint64_t>(modify_time));
  d.add(static_cast<uint64_t>(desired) | static_cast<uint64_t>(client) << 8 | uint64_t{flags} << 16);
  return d.add(tail()).value();
}

void AllocRow::drop(Reclaimer& reclaimer) { reclaimer.release(placement); }

uint64_t EvalRow::compute_digest() const {
  Digest d(seed(Table::kEvals));
  d.add(ByteView(id.bytes)).add(ns).add(job_id).add(static_cast<uint64_t>(type)).add(static_cast<uint64_t>(status));
  d.add(static_cast<uint64_t>(priority)).add(static_cast<uint64_t>(wait_until));
  d.add(static_cast<uint64_t>(modify_time)).add(create_index).add(modify_index);
  return d.add(bytes).value();
}

uint64_t DeploymentRow::compute_digest() const {
  Digest d(seed(Table::kDeployments));
  d.add(ByteView(id.bytes)).add(ns).add(job_id).add(job_version).add(job_create_index);
  d.add(static_cast<uint64_t>(status)).add(create_index).add(modify_index);
  return d.add(bytes).value();
}

uint64_t PlainRow::compute_digest() const { return Digest(seed(Table::kNodePools)).add(name).add(bytes).value(); }

}  // namespace steppe::state
