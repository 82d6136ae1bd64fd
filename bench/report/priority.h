#pragma once

namespace steppe::bench {

// SCHED_FIFO for this process, its threads to come and its children, so that what else the machine does hits nobody: a
// waiter beside a busy neighbour is otherwise woken at the next tick (4 ms). For short bursts; every timed side alike.
// False where it is not allowed.
bool run_ahead();
void run_ordinarily();
// Lets everything else have its turn.
void breathe();

}  // namespace steppe::bench
