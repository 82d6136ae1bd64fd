#pragma once

#include "agent/jobspec/decoder.h"

namespace steppe::schema {
class Job;
}

namespace steppe::jobspec {

// What a parsed job needs before it is shown or sent: defaults that stand further out move into their tasks, lone tasks
// get a group, ports are sorted into static and dynamic, and the few defaults that belong to parsing are filled in.
void normalize(schema::Job& job, const std::string& label, TaskDefaults defaults);

}  // namespace steppe::jobspec
