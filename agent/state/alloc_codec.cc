#include "agent/state/alloc_codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <format>

#include "agent/model/alloc_status.h"
#include "agent/model/fit.h"
#include "agent/schema/node.pb.h"
#include "agent/state/score_pack.h"

namespace steppe::state {
namespace {

constexpr int64_t kMaxAmount = int64_t{1} << 30;  // MHz or MB that one alloc may ask: a petabyte of memory

int32_t amount(int64_t value) { return static_cast<int32_t>(std::clamp<int64_t>(value, 0, kMaxAmount)); }

Usage usage_of(const schema::AllocatedResources& resources) {
  model::FlatResources flat = model::alloc_resources(resources);
  return {amount(flat.cpu_shares), amount(flat.memory_mb), amount(flat.memory_max_mb), amount(flat.disk_mb),
          static_cast<int32_t>(flat.cores.size())};
}

uint16_t ports_in_range(const schema::AllocatedResources& resources, PortRange range) {
  auto inside = [&](int64_t port) { return port >= range.low && port <= range.high; };
  size_t count = 0;
  for (const auto& port : resources.shared().ports()) count += inside(port.value()) ? 1 : 0;
  for (const auto& [name, task] : resources.tasks()) {
    for (const auto& network : task.networks()) {
      for (const auto& port : network.dynamic_ports()) count += inside(port.value()) ? 1 : 0;
      for (const auto& port : network.reserved_ports()) count += inside(port.value()) ? 1 : 0;
    }
  }
  return static_cast<uint16_t>(std::min<size_t>(count, 0xffff));
}

uint8_t flags_of(const schema::Allocation& fields) {
  uint8_t flags = 0;
  if (fields.has_deployment_status()) {
    const auto& status = fields.deployment_status();
    if (status.has_healthy()) flags |= AllocRow::kHealthKnown | (status.healthy() ? AllocRow::kHealthy : 0);
    if (status.canary()) flags |= AllocRow::kCanary;
  }
  const auto& transition = fields.desired_transition();
  if (transition.migrate()) flags |= AllocRow::kMigrate;
  if (transition.reschedule()) flags |= AllocRow::kReschedule;
  if (transition.force_reschedule()) flags |= AllocRow::kForceReschedule;
  if (transition.no_shutdown_delay()) flags |= AllocRow::kNoShutdownDelay;
  return flags;
}

Result<> check_id(std::string_view field, std::string_view text, bool required) {
  if (text.empty() && !required) return {};
  Result<Uuid> id = Uuid::parse(text);
  if (!id.ok()) return std::move(id).error().wrap(std::format("alloc {}", field));
  return {};
}

// Tail of a placement: sizes of the group name and of the message (u32 each), the group name where the job does not
// have it, the message, the packed scores.
constexpr size_t kSizes = 8;

std::string pack_placement(schema::Allocation fixed) {
  std::string scores;
  if (fixed.has_metrics()) scores = pack_scores(*fixed.mutable_metrics());
  std::string group = std::move(*fixed.mutable_task_group());
  fixed.clear_task_group();
  std::string message = encode(fixed);
  std::string tail(kSizes, '\0');
  store_le(tail.data(), static_cast<uint32_t>(group.size()));
  store_le(tail.data() + 4, static_cast<uint32_t>(message.size()));
  return tail + group + message + scores;
}

schema::Allocation unpack_placement(std::string_view tail) {
  auto group_size = load_le<uint32_t>(tail.data());
  auto size = load_le<uint32_t>(tail.data() + 4);
  auto fixed = decode<schema::Allocation>(tail.substr(kSizes + group_size, size));
  tail.remove_prefix(kSizes + group_size + size);
  if (!tail.empty()) STEPPE_ASSERT(unpack_scores(tail, *fixed.mutable_metrics()));
  return fixed;
}

}  // namespace

std::string encode(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    STEPPE_ASSERT(message.SerializeToCodedStream(&coded));
  }
  bytes.shrink_to_fit();
  return bytes;
}

AllocDraft draft_of(const AllocRow& row) {
  return {row.placement,    decode<schema::Allocation>(row.tail()),
          row.desired,      row.client,
          row.modify_index, row.alloc_modify_index,
          row.modify_time};
}

AllocRow* seal(const AllocDraft& draft) {
  AllocRow* row = AllocRow::make(encode(draft.fields));
  row->placement = Reclaimer::retain(draft.placement);
  row->modify_index = draft.modify_index;
  row->alloc_modify_index = draft.alloc_modify_index;
  row->modify_time = draft.modify_time;
  row->desired = draft.desired;
  row->client = draft.client;
  row->flags = flags_of(draft.fields);
  row->digest = row->compute_digest();
  return row;
}

Result<> check_alloc(const schema::Allocation& alloc) {
  STEPPE_TRY_VOID(check_id("ID", alloc.id(), true));
  STEPPE_TRY_VOID(check_id("NodeID", alloc.node_id(), true));
  STEPPE_TRY_VOID(check_id("EvalID", alloc.eval_id(), true));
  STEPPE_TRY_VOID(check_id("DeploymentID", alloc.deployment_id(), false));
  STEPPE_TRY_VOID(check_id("PreviousAllocation", alloc.previous_allocation(), false));
  if (!alloc.desired_status().empty()) STEPPE_TRY_VOID(parse_desired_status(alloc.desired_status()));
  if (!alloc.client_status().empty()) STEPPE_TRY_VOID(parse_client_status(alloc.client_status()));
  return {};
}

Placement* make_placement(const schema::Allocation& alloc, JobSpec& spec, uint64_t create_index, int64_t create_time,
                          PortRange dynamic_ports) {
  auto group = std::ranges::find(spec.groups, alloc.task_group());
  bool known_group = group != spec.groups.end() && group - spec.groups.begin() < Placement::kNoGroup;
  std::optional<uint64_t> number = model::alloc_index(alloc.name());
  bool plain_name = known_group && number.has_value() && *number < Placement::kNoIndex &&
                    model::alloc_name(spec.id, alloc.task_group(), *number) == alloc.name();

  schema::Allocation fixed;
  if (!known_group) fixed.set_task_group(alloc.task_group());
  if (!plain_name) fixed.set_name(alloc.name());
  fixed.set_node_name(alloc.node_name());
  if (alloc.has_allocated_resources()) *fixed.mutable_allocated_resources() = alloc.allocated_resources();
  if (alloc.has_metrics()) *fixed.mutable_metrics() = alloc.metrics();
  fixed.set_previous_allocation(alloc.previous_allocation());
  *fixed.mutable_preempted_allocations() = alloc.preempted_allocations();

  Placement* placement = Placement::make(pack_placement(std::move(fixed)));
  placement->id = AllocId(*Uuid::parse(alloc.id()));
  placement->node_id = NodeId(*Uuid::parse(alloc.node_id()));
  placement->eval_id = EvalId(*Uuid::parse(alloc.eval_id()));
  if (!alloc.deployment_id().empty()) placement->deployment_id = DeploymentId(*Uuid::parse(alloc.deployment_id()));
  placement->create_index = create_index;
  placement->create_time = create_time;
  placement->spec = Reclaimer::retain(&spec);
  placement->usage = usage_of(alloc.allocated_resources());
  placement->ports = ports_in_range(alloc.allocated_resources(), dynamic_ports);
  if (known_group) placement->group = static_cast<uint16_t>(group - spec.groups.begin());
  else placement->group = Placement::kNoGroup;
  placement->name_index = plain_name ? static_cast<uint32_t>(*number) : Placement::kNoIndex;
  placement->digest = placement->compute_digest();
  return placement;
}

PortRange dynamic_ports(const schema::Node& node) {
  PortRange range;
  const schema::NodeResources& resources = node.node_resources();
  if (resources.min_dynamic_port() > 0) range.low = resources.min_dynamic_port();
  if (resources.max_dynamic_port() > 0) range.high = resources.max_dynamic_port();
  return range;
}

void take_changing_fields(const schema::Allocation& from, schema::Allocation& to) {
  to.set_desired_description(from.desired_description());
  to.set_client_description(from.client_description());
  if (from.has_desired_transition()) *to.mutable_desired_transition() = from.desired_transition();
  *to.mutable_task_states() = from.task_states();
  *to.mutable_alloc_states() = from.alloc_states();
  to.set_next_allocation(from.next_allocation());
  if (from.has_deployment_status()) *to.mutable_deployment_status() = from.deployment_status();
  if (from.has_reschedule_tracker()) *to.mutable_reschedule_tracker() = from.reschedule_tracker();
  if (from.has_network_status()) *to.mutable_network_status() = from.network_status();
  to.set_followup_eval_id(from.followup_eval_id());
  to.set_preempted_by_allocation(from.preempted_by_allocation());
}

std::string_view task_group(const Placement& placement) {
  if (placement.group != Placement::kNoGroup) return placement.spec->groups[placement.group];
  return placement.tail().substr(kSizes, load_le<uint32_t>(placement.tail().data()));
}

std::string alloc_name(const Placement& placement) {
  if (placement.name_index == Placement::kNoIndex) return unpack_placement(placement.tail()).name();
  return model::alloc_name(placement.spec->id, task_group(placement), placement.name_index);
}

schema::AllocatedResources decode_resources(const Placement& placement) {
  schema::Allocation fixed = unpack_placement(placement.tail());
  return std::move(*fixed.mutable_allocated_resources());
}

schema::Allocation decode_alloc(const AllocRow& row) {
  const Placement& p = *row.placement;
  schema::Allocation alloc = unpack_placement(p.tail());
  STEPPE_ASSERT(alloc.MergeFromString(std::string(row.tail())));
  alloc.set_id(p.id.text());
  alloc.set_namespace_(p.spec->ns);
  alloc.set_job_id(p.spec->id);
  alloc.set_eval_id(p.eval_id.text());
  alloc.set_node_id(p.node_id.text());
  if (!p.deployment_id.nil()) alloc.set_deployment_id(p.deployment_id.text());
  alloc.set_task_group(std::string(task_group(p)));
  if (p.name_index != Placement::kNoIndex) {
    alloc.set_name(model::alloc_name(p.spec->id, alloc.task_group(), p.name_index));
  }
  alloc.set_desired_status(std::string(text(row.desired)));
  alloc.set_client_status(std::string(text(row.client)));
  alloc.set_create_index(p.create_index);
  alloc.set_modify_index(row.modify_index);
  alloc.set_alloc_modify_index(row.alloc_modify_index);
  alloc.set_create_time(p.create_time);
  alloc.set_modify_time(row.modify_time);
  return alloc;
}

}  // namespace steppe::state
