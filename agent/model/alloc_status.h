#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "init/base/clock.h"

namespace steppe::schema {
class Allocation;
class Job;
}

// Questions about the state of an allocation.
namespace steppe::model {

// The client is done with it: complete, failed or lost.
bool client_terminal(const schema::Allocation& alloc);
// The servers want it gone: desired stop or evict.
bool server_terminal(const schema::Allocation& alloc);
inline bool terminal(const schema::Allocation& alloc) { return server_terminal(alloc) || client_terminal(alloc); }

// Every task ended, and none failed. What a batch job counts as done.
bool ran_successfully(const schema::Allocation& alloc);

// "job.group[3]" -> 3; nullopt for a name of another shape.
std::optional<uint64_t> alloc_index(std::string_view alloc_name);
std::string alloc_name(std::string_view job, std::string_view group, uint64_t index);

// The last time a task of it finished; nullopt while none has. In nanoseconds since 1970.
std::optional<WallTime> last_finished(const schema::Allocation& alloc);

// A job that still has, or will have, work of its own: not stopped. Periodic and parameterized parents have none.
bool job_stopped(const schema::Job* job);
bool is_periodic(const schema::Job& job);       // with an enabled periodic block
bool is_parameterized(const schema::Job& job);  // a parent that was not itself dispatched

}  // namespace steppe::model
