#pragma once

namespace steppe::executor {

// The whole program: argv[1] is the number of the descriptor that holds the plan. Returns the exit code, which nobody
// reads: results travel in the start report and the exit record.
//
//   state    what holds                                   leaves by
//   standby  the first plan had only a prelude, now done  a plan with a command comes -> starting; agent gone -> exit
//   starting plan mapped, nothing cloned                  clone and exec succeed -> running; a step fails -> failed
//   failed   report sent {list, step, op, errno}          exit
//   running  task alive; logs pumped, requests served     the task's first process ends -> sweeping
//   sweeping leftovers killed, pipes drained              no child left and both pipes at EOF, or 5 s -> recorded
//   recorded exit record written and synced               exit
//
// The agent's death changes nothing except in a session without a control socket (alloc exec), which ends with it.
int supervise(int argc, char** argv);

}  // namespace steppe::executor
