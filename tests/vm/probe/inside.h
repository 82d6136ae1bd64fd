#pragma once

namespace steppe::vm {

// What a machine looks like from inside once the agent, whose process number this is, was ready.
void check_inside(int agent);

}  // namespace steppe::vm
