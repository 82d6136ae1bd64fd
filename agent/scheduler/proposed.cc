#include "agent/scheduler/proposed.h"

#include "agent/schema/alloc.pb.h"

namespace steppe::scheduler {
namespace {

int64_t core_speed(const schema::CpuCore& core) {
  if (core.base_speed() > 0) return static_cast<int64_t>(core.base_speed());
  if (core.max_speed() > 0) return static_cast<int64_t>(core.max_speed());
  return static_cast<int64_t>(core.guess_speed());
}

}  // namespace

CoreLedger::CoreLedger(const schema::Node& node) {
  const auto& resources = node.node_resources();
  for (const auto& core : resources.processors().topology().cores()) {
    if (!core.disable()) speed_[core.id()] = core_speed(core);
  }
  if (speed_.empty()) {
    // A node from before topologies: total MHz over the cores that it lists.
    const auto& cpu = resources.cpu();
    const auto cores = static_cast<int64_t>(cpu.total_cpu_cores());
    for (const uint64_t id : cpu.reservable_cpu_cores()) speed_[id] = cores > 0 ? cpu.cpu_shares() / cores : 0;
  } else if (resources.cpu().reservable_cpu_cores_size() > 0) {
    const std::set<uint64_t> reservable(resources.cpu().reservable_cpu_cores().begin(),
                                        resources.cpu().reservable_cpu_cores().end());
    std::erase_if(speed_, [&](const auto& core) { return !reservable.contains(core.first); });
  }
  for (const uint64_t id : node.reserved_resources().cpu().reserved_cpu_cores()) speed_.erase(id);
}

void CoreLedger::hold(const schema::AllocatedResources& resources) {
  for (const auto& [name, task] : resources.tasks()) {
    held_.insert(task.cpu().reserved_cores().begin(), task.cpu().reserved_cores().end());
  }
}

std::optional<std::vector<uint64_t>> CoreLedger::pick(int64_t count) const {
  std::vector<uint64_t> out;
  for (const auto& [id, speed] : speed_) {
    if (static_cast<int64_t>(out.size()) == count) break;
    if (!held_.contains(id)) out.push_back(id);
  }
  if (static_cast<int64_t>(out.size()) < count) return std::nullopt;
  return out;
}

int64_t CoreLedger::mhz(const std::vector<uint64_t>& cores) const {
  int64_t total = 0;
  for (const uint64_t id : cores) {
    if (const auto it = speed_.find(id); it != speed_.end()) total += it->second;
  }
  return total;
}

double CoreLedger::mean_mhz() const {
  if (speed_.empty()) return 0;
  double total = 0;
  for (const auto& [id, speed] : speed_) total += static_cast<double>(speed);
  return total / static_cast<double>(speed_.size());
}

void Proposed::shift(uint32_t ordinal, const state::Usage& usage, int64_t sign) {
  Delta& delta = deltas_[ordinal];
  delta.cpu += sign * usage.cpu;
  delta.memory += sign * usage.memory;
  delta.disk += sign * usage.disk;
  delta.ledger.reset();
}

void Proposed::stop(const state::AllocView& alloc) {
  const auto ordinal = cluster_.columns().ordinal(alloc.node_id());
  // Ended allocs hold nothing that could become free.
  if (!ordinal || !stopped_.insert(alloc.id()).second || alloc.client_terminal()) return;
  shift(*ordinal, alloc.usage(), -1);
}

void Proposed::undo_stop(const state::AllocView& alloc) {
  const auto ordinal = cluster_.columns().ordinal(alloc.node_id());
  if (!ordinal || stopped_.erase(alloc.id()) == 0 || alloc.client_terminal()) return;
  shift(*ordinal, alloc.usage(), 1);
}

void Proposed::place(uint32_t ordinal, const schema::Allocation& alloc, const Cluster::Room& takes) {
  Delta& delta = deltas_[ordinal];
  delta.cpu += takes.cpu;
  delta.memory += takes.memory;
  delta.disk += takes.disk;
  delta.placed.push_back(&alloc);
  if (delta.ledger == nullptr) return;
  delta.ledger->ports.hold(alloc.allocated_resources());
  delta.ledger->devices.hold(alloc.allocated_resources());
  delta.ledger->cores.hold(alloc.allocated_resources());
  ++delta.ledger->allocs;
}

Cluster::Room Proposed::used(uint32_t ordinal) const {
  Cluster::Room room = cluster_.used(ordinal);
  const auto it = deltas_.find(ordinal);
  if (it == deltas_.end()) return room;
  room.cpu += it->second.cpu;
  room.memory += it->second.memory;
  room.disk += it->second.disk;
  return room;
}

std::vector<state::AllocView> Proposed::live(uint32_t ordinal) const {
  std::vector<state::AllocView> out;
  for (const state::AllocView& alloc : cluster_.snapshot().allocs_by_node(cluster_.columns().id(ordinal))) {
    if (!alloc.client_terminal() && !stopped_.contains(alloc.id())) out.push_back(alloc);
  }
  return out;
}

const std::vector<const schema::Allocation*>& Proposed::placed(uint32_t ordinal) const {
  static const std::vector<const schema::Allocation*> kNothing;
  const auto it = deltas_.find(ordinal);
  return it == deltas_.end() ? kNothing : it->second.placed;
}

std::unique_ptr<NodeLedger> Proposed::build(uint32_t ordinal) {
  const schema::Node& node = cluster_.node(ordinal);
  auto ledger = std::make_unique<NodeLedger>(PortLedger(node), DeviceLedger(node), CoreLedger(node));
  for (const state::AllocView& alloc : cluster_.snapshot().allocs_by_node(cluster_.columns().id(ordinal))) {
    if (alloc.client_terminal()) continue;
    const schema::AllocatedResources resources = alloc.decode_resources();
    if (stopped_.contains(alloc.id())) {
      ledger->ports.cool(resources);
      continue;
    }
    ledger->ports.hold(resources);
    ledger->devices.hold(resources);
    ledger->cores.hold(resources);
    ++ledger->allocs;
  }
  return ledger;
}

NodeLedger& Proposed::ledger(uint32_t ordinal) {
  Delta& delta = deltas_[ordinal];
  if (delta.ledger == nullptr) {
    delta.ledger = build(ordinal);
    for (const schema::Allocation* alloc : delta.placed) {
      delta.ledger->ports.hold(alloc->allocated_resources());
      delta.ledger->devices.hold(alloc->allocated_resources());
      delta.ledger->cores.hold(alloc->allocated_resources());
      ++delta.ledger->allocs;
    }
  }
  return *delta.ledger;
}

}  // namespace steppe::scheduler
