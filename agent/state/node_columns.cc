#include "agent/state/node_columns.h"

#include "agent/state/root.h"

namespace steppe::state {

uint32_t NodeColumns::chunks() const { return (root_->node_limit + kChunkRows - 1) / kChunkRows; }
const NodeFacts& NodeColumns::facts(uint32_t chunk) const {
  return *static_cast<const NodeFacts*>(root_->node_facts.get(chunk));
}
const NodeUsage& NodeColumns::usage(uint32_t chunk) const {
  return *static_cast<const NodeUsage*>(root_->node_usage.get(chunk));
}
std::optional<uint32_t> NodeColumns::ordinal(const NodeId& id) const {
  const uint32_t* found = root_->nodes.keys.find(id);
  if (found == nullptr) return std::nullopt;
  return *found;
}
uint32_t NodeColumns::datacenter_limit() const { return root_->datacenters.limit(); }
uint32_t NodeColumns::pool_limit() const { return root_->pools.limit(); }
uint32_t NodeColumns::class_limit() const { return root_->classes.limit(); }
std::string_view NodeColumns::datacenter(uint32_t id) const { return root_->datacenters.name(id); }
std::string_view NodeColumns::pool(uint32_t id) const { return root_->pools.name(id); }
std::string_view NodeColumns::computed_class(uint32_t id) const { return root_->classes.name(id); }

}  // namespace steppe::state
