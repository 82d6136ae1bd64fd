#include "agent/scheduler/plan_check.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include "agent/model/alloc_status.h"
#include "agent/model/fit.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/node.pb.h"

namespace steppe::scheduler {
namespace {

// Serialised with sorted maps: equal bytes, equal resources.
std::string canonical_bytes(const schema::AllocatedResources& resources) {
  std::string out;
  google::protobuf::io::StringOutputStream stream(&out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  resources.SerializeWithCachedSizes(&coded);
  coded.Trim();
  return out;
}

bool same_resources(const schema::AllocatedResources& a, const schema::AllocatedResources& b) {
  return a.ByteSizeLong() == b.ByteSizeLong() && canonical_bytes(a) == canonical_bytes(b);
}

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
      if (refuse(node).empty()) {
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

  std::string refuse(const std::string& node_text) {
    const auto& placed = list_of(plan_.node_allocation(), node_text);
    // Stops alone always go through, whatever became of the node.
    if (placed.items_size() == 0) return {};
    const auto id = NodeId::parse(node_text);
    if (!id.ok()) return "node id is not a UUID";
    const auto node = snapshot_.node(*id);
    if (!node) return "node does not exist";
    if (node->status() != state::NodeStatus::kReady) {
      const bool gone = node->status() == state::NodeStatus::kDown || node->status() == state::NodeStatus::kDisconnected;
      const bool ends = std::ranges::all_of(placed.items(), [](const schema::Allocation& alloc) {
        return alloc.client_status() == "unknown" || alloc.client_status() == "lost";
      });
      return gone && ends ? "" : "node is " + std::string(state::text(node->status()));
    }
    const auto existing = snapshot_.allocs_by_node(*id);
    std::map<std::string, state::AllocView> here;
    for (const state::AllocView& alloc : existing) here.emplace(alloc.id().text(), alloc);
    const bool only_updates = std::ranges::all_of(placed.items(),
                                                  [&](const schema::Allocation& a) { return here.contains(a.id()); });
    if ((!node->eligible() || node->draining()) && !only_updates) return "node is not eligible";
    const bool takes_nothing = std::ranges::all_of(placed.items(), [&](const schema::Allocation& a) {
      const auto it = here.find(a.id());
      return it != here.end() && same_resources(it->second.decode_resources(), a.allocated_resources());
    });
    return takes_nothing ? std::string() : misfit(node_text, node->decode(), placed, existing);
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

  std::string misfit(const std::string& node_text, const schema::Node& node, const schema::AllocationList& placed,
                     const std::vector<state::AllocView>& existing) {
    std::set<std::string> leaving;
    for (const auto& alloc : list_of(plan_.node_update(), node_text).items()) leaving.insert(alloc.id());
    for (const auto& alloc : list_of(plan_.node_preemptions(), node_text).items()) leaving.insert(alloc.id());
    for (const auto& alloc : placed.items()) leaving.insert(alloc.id());  // replaced by its new content
    std::deque<schema::Allocation> kept;
    std::vector<const schema::Allocation*> staying, stopping;
    for (const state::AllocView& view : existing) {
      if (view.client_terminal() || leaving.contains(view.id().text())) continue;
      (view.terminal() ? stopping : staying).push_back(&kept.emplace_back(view.decode(state::WithJob::kNo)));
    }
    const auto with_placed = [&](std::vector<const schema::Allocation*> allocs) {
      for (const auto& alloc : placed.items()) allocs.push_back(&alloc);
      return allocs;
    };
    std::vector<const schema::Allocation*> all = staying;
    all.insert(all.end(), stopping.begin(), stopping.end());
    const auto together = with_placed(all);
    const auto live = std::ranges::count_if(together, [](const auto* a) { return !model::client_terminal(*a); });
    if (node.node_max_allocs() > 0 && live > node.node_max_allocs()) return "max allocs";
    model::FitResult fit = model::allocs_fit(node, together);
    if (fit.fits || stopping.empty()) return fit.dimension;
    // What a stopping alloc holds may have been handed to its successor by an earlier plan; the two do not fit together,
    // and that is no fault of this plan. Only stopping allocs that fit with those that stay still count.
    for (const schema::Allocation* alloc : stopping) {
      staying.push_back(alloc);
      if (!model::allocs_fit(node, staying).fits) staying.pop_back();
    }
    fit = model::allocs_fit(node, with_placed(staying));
    return fit.fits ? std::string() : fit.dimension;
  }

  void add_deployment(bool cut) {
    *out_.mutable_deployment_updates() = plan_.deployment_updates();
    if (!plan_.has_deployment()) return;
    // Without its canaries it would be another deployment; but nothing that was placed may name one that does not exist.
    if (cut && canaries_lost() && !placed_for_deployment()) return;
    *out_.mutable_deployment() = plan_.deployment();
  }

  bool placed_for_deployment() const {
    return std::ranges::any_of(out_.node_allocation(), [&](const auto& entry) {
      return std::ranges::any_of(entry.second.items(), [&](const schema::Allocation& alloc) {
        return alloc.deployment_id() == plan_.deployment().id();
      });
    });
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

std::string refusal_of(const state::Snapshot& snapshot, const schema::Plan& plan, const std::string& node_id) {
  return PlanCheck(snapshot, plan).refuse(node_id);
}

}  // namespace steppe::scheduler
