#pragma once

namespace steppe::vm {

// What a machine looks like from inside once the agent, whose process number this is, was ready.
void check_inside(int agent);
// That steppe-node served it: QEMU's own DHCP, and the settings of tests/vm/machine.sh.
void check_network();
// PID 1 wakes to feed the watchdog and for nothing else.
void check_idle();

}  // namespace steppe::vm
