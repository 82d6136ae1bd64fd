#include "agent/scheduler/feasibility.h"

#include <algorithm>
#include <format>

#include "agent/model/alloc_status.h"
#include "agent/model/interpolate.h"
#include "agent/scheduler/device_ledger.h"
#include "init/base/text.h"

namespace steppe::scheduler {
namespace {

constexpr std::string_view kAnyPool = "all";

bool constraint_escapes(const schema::Constraint& c) {
  return model::is_unique_target(c.l_target()) || model::is_unique_target(c.r_target());
}

std::string constraint_text(const schema::Constraint& c) {
  return std::format("{} {} {}", c.l_target(), c.operand(), c.r_target());
}

bool has_network_mode(const schema::Node& node, std::string_view mode) {
  const auto matches = [&](const auto& network) { return network.mode() == mode; };
  return std::ranges::any_of(node.node_resources().networks(), matches) ||
         std::ranges::any_of(node.node_resources().node_networks(), matches);
}

bool has_alias(const schema::Node& node, std::string_view alias) {
  return std::ranges::any_of(node.node_resources().node_networks(), [&](const schema::NodeNetworkResource& network) {
    return std::ranges::any_of(network.addresses(),
                               [&](const schema::NodeNetworkAddress& a) { return a.alias() == alias; });
  });
}

std::string check_network(const schema::NetworkResource& ask, const schema::Node& node) {
  const std::string& mode = ask.mode();
  const bool host = mode.empty() || mode == "host" || mode == "none";
  if (!host && !has_network_mode(node, mode)) return "missing network";
  const auto missing = [&](const schema::Port& port) -> bool {
    return !port.host_network().empty() && port.host_network() != "default" && !has_alias(node, port.host_network());
  };
  for (const auto* ports : {&ask.reserved_ports(), &ask.dynamic_ports()}) {
    for (const auto& port : *ports) {
      if (missing(port)) return std::format("missing host network \"{}\" for port \"{}\"", port.host_network(), port.label());
    }
  }
  return {};
}

bool drivers_ready(const GroupAsk& ask, const schema::Node& node) {
  return std::ranges::all_of(ask.drivers, [&](const std::string& name) {
    const auto it = node.drivers().find(name);
    return it != node.drivers().end() && it->second.detected() && it->second.healthy();
  });
}

}  // namespace

bool has_host_volume(const schema::Node& node, const schema::VolumeRequest& request, std::string_view alloc_name) {
  std::string source = request.source();
  if (request.per_alloc()) {
    const auto index = model::alloc_index(alloc_name);
    if (index) source += std::format("[{}]", *index);
  }
  const auto it = node.host_volumes().find(source);
  return it != node.host_volumes().end() && (!it->second.read_only() || request.read_only());
}

Refusal check_node(model::ConstraintChecker& checker, const GroupAsk& ask, const schema::Node& node) {
  for (size_t i = 0; i < ask.job_constraints; ++i) {
    const auto& c = *ask.constraints[i];
    if (!checker.check(c, node)) return {constraint_text(c), !constraint_escapes(c)};
  }
  if (!drivers_ready(ask, node)) return {"missing drivers", false};
  for (size_t i = ask.job_constraints; i < ask.constraints.size(); ++i) {
    const auto& c = *ask.constraints[i];
    if (!checker.check(c, node)) return {constraint_text(c), !constraint_escapes(c)};
  }
  if (!ask.device_tasks.empty() && !node_has_devices(checker, ask.device_tasks, node)) return {"missing devices", true};
  if (ask.network != nullptr) {
    if (std::string reason = check_network(*ask.network, node); !reason.empty()) return {std::move(reason), false};
  }
  std::map<std::string_view, const schema::VolumeRequest*> volumes;  // in a fixed order, for the reason's sake
  for (const auto& [name, volume] : ask.group->volumes()) volumes[name] = &volume;
  for (const auto& [name, volume] : volumes) {
    if (volume->type() == "csi") return {"missing CSI Volume " + volume->source(), false};
    // Per-alloc volumes depend on the alloc's index: looked at when a node is picked.
    if (volume->type() == "host" && !volume->per_alloc() && !has_host_volume(node, *volume, {})) {
      return {"missing compatible host volumes", false};
    }
  }
  return {};
}

bool has_escaped(const GroupAsk& ask) {
  return std::ranges::any_of(ask.constraints, [](const schema::Constraint* c) { return constraint_escapes(*c); });
}

PlaceFilter::PlaceFilter(const state::NodeColumns& columns, const schema::Job& job)
    : datacenters_(columns.datacenter_limit()), pools_(columns.pool_limit()) {
  for (uint32_t id = 0; id < datacenters_.size(); ++id) {
    datacenters_[id] = std::ranges::any_of(
        job.datacenters(), [&](const std::string& pattern) { return glob_match(pattern, columns.datacenter(id)); });
  }
  for (uint32_t id = 0; id < pools_.size(); ++id) {
    pools_[id] = job.node_pool() == kAnyPool || columns.pool(id) == job.node_pool();
  }
}

bool job_admits(const schema::Job& job, std::string_view datacenter, std::string_view pool) {
  if (job.node_pool() != kAnyPool && job.node_pool() != pool) return false;
  return std::ranges::any_of(job.datacenters(),
                             [&](const std::string& pattern) { return glob_match(pattern, datacenter); });
}

namespace {

class FeasibleFinder {
 public:
  FeasibleFinder(Cluster& cluster, model::ConstraintChecker& checker, const GroupAsk& ask)
      : cluster_(cluster), checker_(checker), by_trait_(ask), places_(cluster.columns(), *ask.job) {
    out_.escaped = has_escaped(ask);
    for (size_t i = by_trait_.constraints.size(); i-- > 0;) {
      const schema::Constraint* c = by_trait_.constraints[i];
      if (!constraint_escapes(*c)) continue;
      unique_.insert(unique_.begin(), c);
      by_trait_.constraints.erase(by_trait_.constraints.begin() + static_cast<ptrdiff_t>(i));
      if (i < by_trait_.job_constraints) --by_trait_.job_constraints;
    }
    verdicts_.resize(cluster.traits().size());
    tally_.resize(cluster.traits().size());
    in_datacenter_.resize(cluster.columns().datacenter_limit());
  }

  Feasible run() {
    const auto& columns = cluster_.columns();
    for (uint32_t c = 0; c < columns.chunks(); ++c) scan(c, columns.facts(c));
    finish();
    return std::move(out_);
  }

 private:
  void scan(uint32_t chunk, const state::NodeFacts& facts) {
    for (uint32_t i = 0; i < state::kChunkRows; ++i) {
      const uint8_t flags = facts.flags[i];
      if ((flags & state::kNodePlaceable) != state::kNodePlaceable || (flags & state::kNodeDraining) != 0) continue;
      if (!places_.in_pool(facts.pool[i])) continue;
      ++out_.counts.in_pool;
      if (!places_.allows(facts.datacenter[i], facts.pool[i])) continue;
      ++in_datacenter_[facts.datacenter[i]];
      ++out_.counts.evaluated;
      judge(chunk * state::kChunkRows + i);
    }
  }

  void judge(uint32_t ordinal) {
    const uint32_t trait = cluster_.traits().of(ordinal);
    if (!verdicts_[trait]) verdicts_[trait] = check_node(checker_, by_trait_, cluster_.node(ordinal));
    if (!verdicts_[trait]->ok()) {
      ++tally_[trait];
      return;
    }
    // What the trait cannot answer is asked of the node itself, after all that it can.
    for (const schema::Constraint* c : unique_) {
      if (node_meets(*c, ordinal)) continue;
      count(trait, {constraint_text(*c), false}, 1);
      return;
    }
    out_.nodes.push_back(ordinal);
  }

  // Id and name are in the row; anything else needs the decoded node.
  bool node_meets(const schema::Constraint& c, uint32_t ordinal) {
    if (c.r_target().starts_with("${") || (c.l_target() != "${node.unique.id}" && c.l_target() != "${node.unique.name}")) {
      return checker_.check(c, cluster_.node(ordinal));
    }
    const auto view = cluster_.snapshot().node(ordinal);
    const std::string left = c.l_target() == "${node.unique.id}" ? view->id().text() : std::string(view->name());
    return checker_.check(c.operand(), left, c.r_target());
  }

  void count(uint32_t trait, const Refusal& verdict, int64_t nodes) {
    out_.counts.filtered += nodes;
    out_.counts.by_constraint[verdict.reason] += nodes;
    const std::string& node_class = cluster_.traits().trait(trait).node_class;
    if (!node_class.empty()) out_.counts.by_class[node_class] += nodes;
  }

  void finish() {
    const auto& columns = cluster_.columns();
    for (uint32_t id = 0; id < in_datacenter_.size(); ++id) {
      if (in_datacenter_[id] > 0) out_.counts.available[std::string(columns.datacenter(id))] = in_datacenter_[id];
    }
    for (uint32_t trait = 0; trait < verdicts_.size(); ++trait) {
      if (!verdicts_[trait]) continue;
      const Refusal& verdict = *verdicts_[trait];
      if (tally_[trait] > 0) count(trait, verdict, tally_[trait]);
      const std::string& computed = cluster_.traits().trait(trait).computed_class;
      if (computed.empty()) continue;
      if (verdict.ok()) {
        out_.class_eligible[computed] = true;
      } else if (verdict.by_class) {
        out_.class_eligible.try_emplace(computed, false);
      }
      // Refused for a driver or a volume: the class stays unknown, so that a change of the node is looked at.
    }
  }

  Cluster& cluster_;
  model::ConstraintChecker& checker_;
  GroupAsk by_trait_;                               // without the constraints on unique attributes
  std::vector<const schema::Constraint*> unique_;   // those
  PlaceFilter places_;
  Feasible out_;
  std::vector<std::optional<Refusal>> verdicts_;
  std::vector<int64_t> tally_;
  std::vector<int64_t> in_datacenter_;
};

}  // namespace

Feasible find_feasible(Cluster& cluster, model::ConstraintChecker& checker, const GroupAsk& ask) {
  return FeasibleFinder(cluster, checker, ask).run();
}

}  // namespace steppe::scheduler
