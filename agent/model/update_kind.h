#pragma once

#include <cstdint>
#include <string_view>

namespace steppe::schema {
class Job;
class TaskGroup;
}

namespace steppe::model {

// True when registering `new_job` over `old_job` makes a new version. Both canonical. Ignores what the servers write:
// status and its description, stable, version, version tag, submit time, the indexes.
bool spec_changed(const schema::Job& old_job, const schema::Job& new_job);

enum class UpdateKind : uint8_t {
  kNone,         // nothing that an alloc of the group sees
  kInPlace,      // the alloc stays and learns the new job
  kDestructive,  // the alloc must be replaced
};

// What an alloc of group `group`, running under `old_job`, needs to come under `new_job`. A group that is missing on
// either side, and a changed datacenter list or node pool that the node might not match, are the caller's to decide:
// missing = kDestructive; datacenters and node pool are not looked at.
UpdateKind update_kind(const schema::Job& old_job, const schema::Job& new_job, std::string_view group);

// The group of that name, or null.
const schema::TaskGroup* find_group(const schema::Job& job, std::string_view name);

}  // namespace steppe::model
