#include "agent/scheduler/plan_check.h"

#include <algorithm>
#include <deque>
#include <set>
#include <vector>

#include "agent/model/alloc_status.h"
#include "agent/model/fit.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/node.pb.h"

namespace steppe::scheduler {
namespace {

const schema::AllocationList& list_of(const google::protobuf::Map<std::string, schema::AllocationList>& lists,
                                      const std::string& node) {
  static const schema::AllocationList kNone;
  const auto it = lists.find(node);
  return it == lists.end() ? kNone : it->second;
}

class PlanCheck {
 public:
  PlanCheck(const state::Snapshot& snapshot, const schema::Plan& plan) : snapshot_(snapshot), plan_(plan) {}

  schema::PlanResult run() {
    std::set<std::string> nodes;  // in order, so that the result does not depend on a map's
    for (const auto& [node, list] : plan_.node_allocation()) nodes.insert(node);
    for (const auto& [node, list] : plan_.node_update()) nodes.insert(node);
    for (const auto& [node, list] : plan_.node_preemptions()) nodes.insert(node);
    bool cut = false;
    for (const std::string& node : nodes) {
      if (node_ok(node)) {
        commit(node);
        continue;
      }
      cut = true;
      out_.add_rejected_nodes(node);
    }
    if (cut) out_.set_refresh_index(snapshot_.index());
    if (cut && plan_.all_at_once()) {
      out_.clear_node_allocation();
      out_.clear_node_update();
      out_.clear_node_preemptions();
      return std::move(out_);
    }
    add_deployment(cut);
    return std::move(out_);
  }

 private:
  void commit(const std::string& node) {
    const auto copy = [&](const auto& from, auto& to) {
      if (const auto it = from.find(node); it != from.end() && it->second.items_size() > 0) to[node] = it->second;
    };
    copy(plan_.node_allocation(), *out_.mutable_node_allocation());
    copy(plan_.node_update(), *out_.mutable_node_update());
    copy(plan_.node_preemptions(), *out_.mutable_node_preemptions());
  }

  bool node_ok(const std::string& node_text) {
    const auto& placed = list_of(plan_.node_allocation(), node_text);
    // Stops alone always go through, whatever became of the node.
    if (placed.items_size() == 0) return true;
    const auto id = NodeId::parse(node_text);
    if (!id.ok()) return false;
    const auto node = snapshot_.node(*id);
    if (!node) return false;
    if (node->status() != state::NodeStatus::kReady) {
      const bool gone = node->status() == state::NodeStatus::kDown || node->status() == state::NodeStatus::kDisconnected;
      return gone && std::ranges::all_of(placed.items(), [](const schema::Allocation& alloc) {
        return alloc.client_status() == "unknown" || alloc.client_status() == "lost";
      });
    }
    const auto existing = snapshot_.allocs_by_node(*id);
    std::set<std::string> here;
    for (const state::AllocView& alloc : existing) here.insert(alloc.id().text());
    const bool only_updates = std::ranges::all_of(placed.items(),
                                                  [&](const schema::Allocation& a) { return here.contains(a.id()); });
    if ((!node->eligible() || node->draining()) && !only_updates) return false;
    return fits(node_text, node->decode(), placed, existing);
  }

  bool fits(const std::string& node_text, const schema::Node& node, const schema::AllocationList& placed,
            const std::vector<state::AllocView>& existing) {
    std::set<std::string> leaving;
    for (const auto& alloc : list_of(plan_.node_update(), node_text).items()) leaving.insert(alloc.id());
    for (const auto& alloc : list_of(plan_.node_preemptions(), node_text).items()) leaving.insert(alloc.id());
    for (const auto& alloc : placed.items()) leaving.insert(alloc.id());  // replaced by its new content
    std::deque<schema::Allocation> kept;
    std::vector<const schema::Allocation*> together;
    for (const state::AllocView& view : existing) {
      if (view.client_terminal() || leaving.contains(view.id().text())) continue;
      together.push_back(&kept.emplace_back(view.decode(state::WithJob::kNo)));
    }
    for (const auto& alloc : placed.items()) together.push_back(&alloc);
    const auto live = std::ranges::count_if(together, [](const auto* a) { return !model::client_terminal(*a); });
    if (node.node_max_allocs() > 0 && live > node.node_max_allocs()) return false;
    return model::allocs_fit(node, together).fits;
  }

  void add_deployment(bool cut) {
    *out_.mutable_deployment_updates() = plan_.deployment_updates();
    if (!plan_.has_deployment()) return;
    if (cut && canaries_lost()) return;
    *out_.mutable_deployment() = plan_.deployment();
  }

  bool canaries_lost() const {
    const auto canaries = [](const auto& lists) {
      int64_t count = 0;
      for (const auto& [node, list] : lists) {
        count += std::ranges::count_if(list.items(),
                                       [](const schema::Allocation& a) { return a.deployment_status().canary(); });
      }
      return count;
    };
    return canaries(plan_.node_allocation()) != canaries(out_.node_allocation());
  }

  const state::Snapshot& snapshot_;
  const schema::Plan& plan_;
  schema::PlanResult out_;
};

}  // namespace

schema::PlanResult evaluate_plan(const state::Snapshot& snapshot, const schema::Plan& plan) {
  return PlanCheck(snapshot, plan).run();
}

}  // namespace steppe::scheduler
