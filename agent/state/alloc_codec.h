#pragma once

#include <string>

#include "agent/schema/alloc.pb.h"
#include "agent/state/rows.h"
#include "init/base/result.h"

// Between an alloc as a message and its rows. For the parts of state/ only.
namespace steppe::state {

// An alloc being changed: the fields that may change, decoded.
struct AllocDraft {
  Placement* placement = nullptr;  // borrowed
  schema::Allocation fields;       // only what the row's tail holds
  DesiredStatus desired = DesiredStatus::kRun;
  ClientStatus client = ClientStatus::kPending;
  uint64_t modify_index = 0;
  uint64_t alloc_modify_index = 0;
  int64_t modify_time = 0;
};

AllocDraft draft_of(const AllocRow& row);

// The row of a draft, with its digest; it holds a reference to the placement.
AllocRow* seal(const AllocDraft& draft);

// Checks ids and statuses of an alloc that comes whole (not its job). kInvalid names the field.
Result<> check_alloc(const schema::Allocation& alloc);

// The placement of an alloc that check_alloc() accepted; it holds a reference to `spec`. `dynamic_ports` is the node's
// range, both ends included.
struct PortRange {
  int64_t low = 20000;
  int64_t high = 32000;
};
Placement* make_placement(const schema::Allocation& alloc, JobSpec& spec, uint64_t create_index, int64_t create_time,
                          PortRange dynamic_ports);

PortRange dynamic_ports(const schema::Node& node);

// The changing fields of an alloc that comes whole.
void take_changing_fields(const schema::Allocation& from, schema::Allocation& to);

// The whole alloc, without its job.
schema::Allocation decode_alloc(const AllocRow& row);
schema::AllocatedResources decode_resources(const Placement& placement);
std::string_view task_group(const Placement& placement);
std::string alloc_name(const Placement& placement);

// Field-sorted protobuf encoding: equal messages give equal bytes.
std::string encode(const google::protobuf::MessageLite& message);
// Decodes what encode() made. Bytes that do not parse are damaged memory: an assertion.
template <class Message>
Message decode(std::string_view bytes) {
  Message message;
  STEPPE_ASSERT(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return message;
}

}  // namespace steppe::state
