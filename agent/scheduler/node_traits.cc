#include "agent/scheduler/node_traits.h"

#include <algorithm>

#include "init/base/assert.h"

namespace steppe::scheduler {
namespace {

// Sorted, so that two nodes that differ in map order only get one text.
template <class Map, class Describe>
void append_sorted(std::string& out, const Map& map, Describe describe) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : map) {
    if (std::string part = describe(name, value); !part.empty()) parts.push_back(std::move(part));
  }
  std::ranges::sort(parts);
  for (const std::string& part : parts) out.append(part).push_back('\x1f');
  out.push_back('\x1e');
}

std::string signature(const schema::Node& node) {
  std::string out = node.computed_class();
  // A node without a class is like no other.
  if (out.empty()) out = node.id();
  out.push_back('\x1e');
  append_sorted(out, node.drivers(), [](const std::string& name, const schema::DriverInfo& driver) {
    return driver.detected() && driver.healthy() ? name : std::string();
  });
  append_sorted(out, node.host_volumes(), [](const std::string& name, const schema::ClientHostVolumeConfig& volume) {
    return name + (volume.read_only() ? ":ro" : ":rw");
  });
  std::vector<std::string> networks;
  for (const auto& network : node.node_resources().networks()) networks.push_back("n" + network.mode());
  for (const auto& network : node.node_resources().node_networks()) {
    networks.push_back("m" + network.mode());
    for (const auto& address : network.addresses()) networks.push_back("a" + address.alias());
  }
  std::ranges::sort(networks);
  networks.erase(std::ranges::unique(networks).begin(), networks.end());
  for (const std::string& network : networks) out.append(network).push_back('\x1f');
  return out;
}

}  // namespace

uint32_t TraitCache::intern(const schema::Node& node) {
  const auto [it, added] = ids_.try_emplace(signature(node), static_cast<uint32_t>(traits_.size()));
  if (added) traits_.push_back({node.computed_class(), node.node_class()});
  return it->second;
}

void TraitCache::refresh(const state::Snapshot& snapshot) {
  const uint64_t index = snapshot.table_index(state::Table::kNodes);
  if (fresh_ && index == nodes_index_) return;
  const state::NodeColumns columns = snapshot.node_columns();
  entries_.resize(size_t{columns.chunks()} * state::kChunkRows);
  for (uint32_t c = 0; c < columns.chunks(); ++c) {
    const state::NodeFacts& facts = columns.facts(c);
    for (uint32_t i = 0; i < state::kChunkRows; ++i) {
      if ((facts.flags[i] & state::kNodeExists) == 0) continue;
      const uint32_t ordinal = c * state::kChunkRows + i;
      const auto view = snapshot.node(ordinal);
      STEPPE_ASSERT(view.has_value());
      Entry& entry = entries_[ordinal];
      if (entry.id == facts.ids[i] && entry.modify_index == view->modify_index()) continue;
      entry = {facts.ids[i], view->modify_index(), intern(view->decode())};
      ++decoded_;
    }
  }
  nodes_index_ = index;
  fresh_ = true;
}

Cluster::Cluster(const state::Snapshot& snapshot, TraitCache& traits)
    : snapshot_(snapshot), columns_(snapshot.node_columns()), traits_(traits) {
  traits.refresh(snapshot);
}

Cluster::Room Cluster::capacity(uint32_t ordinal) const {
  const state::NodeFacts& facts = columns_.facts(ordinal / state::kChunkRows);
  const uint32_t i = ordinal % state::kChunkRows;
  return {int64_t{facts.cpu_total[i]} - facts.cpu_reserved[i], int64_t{facts.memory_total[i]} - facts.memory_reserved[i],
          int64_t{facts.disk_total[i]} - facts.disk_reserved[i]};
}

Cluster::Room Cluster::used(uint32_t ordinal) const {
  const state::NodeUsage& usage = columns_.usage(ordinal / state::kChunkRows);
  const uint32_t i = ordinal % state::kChunkRows;
  return {usage.cpu[i], usage.memory[i], usage.disk[i]};
}

const schema::Node& Cluster::node(uint32_t ordinal) {
  const auto it = decoded_.find(ordinal);
  if (it != decoded_.end()) return it->second;
  const auto view = snapshot_.node(ordinal);
  STEPPE_ASSERT(view.has_value());
  return decoded_.emplace(ordinal, view->decode()).first->second;
}

}  // namespace steppe::scheduler
