#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "init/upgrade/esp/machine_slots.h"

namespace steppe::esp {

// steppe-node slots [PLACES] VERB [WORDS], the one hand that changes the slots; its callers are PID 1 (boot) and the agent:
//
//   boot               at every start: mounts the loader's variables, repairs what a power cut left, tells PID 1 when this start is a
//                      trial. Reads no image unless there is something to repair. Ends with 0 whatever it finds
//   list               what lies in the slots
//   stage FILE         the image is judged, written and read back; -downgrade allows an older one
//   try VERSION        an image that lies there is tried at the next start; -downgrade as above
//   bless              the running trial is good; PID 1 is told
//   revert             away from what runs
//   return-try         a restart that people asked for costs no try
//   forgive DIGEST     a refused image may be staged again
//
// Prints one JSON object on standard output, in the shape of the machine API (agent/schema/machine.proto): a list for `list`; else
// {"Summary": ..., "Reboot": ""|"firmware"|"tryboot"}; on failure {"Error": {"Code": ..., "Message": ...}} and exit code 1. Lines for the
// log go to standard error. 2 for words that it does not know. Before VERB: -efi DIR, -efivars DIR and -run DIR name other places than
// /efi, /sys/firmware/efi/efivars and /run/steppe (the running image's manifest, keys, the lock).
int slots_command(const std::vector<std::string>& words, Places places = {});

}  // namespace steppe::esp
