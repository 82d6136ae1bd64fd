#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/base/result.h"
#include "init/upgrade/slots.h"

namespace steppe::upgrade {

// One change to the directory of images. The order is the safety: a plan may be cut off between any two steps, and inside each
// as directory.h says, and the next plan made from what is then there repairs and goes on.
enum class StepKind : uint8_t {
  kForget,  // take `name` out of the directory WITHOUT giving its clusters back: another name has them
  kRemove,  // remove `name`
  kWrite,   // write the new image to `name` (a .part), sync it, read it back past the caches, compare `digest`, judge it
  kRename,  // `name` becomes `to`, which does not exist
  kSync,    // make names durable
  kRecord,  // write `record` over the older of its two copies
};
struct Step {
  StepKind kind;
  std::string name, to;
  Digest digest{};
  uint64_t size = 0;
  Record record;
};

enum class Reboot : uint8_t { kNone, kFirmware, kTryboot };
struct Plan {
  std::vector<Step> steps;
  Reboot reboot = Reboot::kNone;  // how the machine must start again for this to take effect
  std::string summary;            // for logs and people
};

// The image that is to be staged, as verify/ judged it before anything was written.
struct Candidate {
  Manifest manifest;
  Digest digest{};
  Digest section{};
  uint64_t size = 0;
};

enum class Downgrade : uint8_t { kRefuse, kAllow };

// What runs: an index into files, or nothing (started from USB or over the network). kUnavailable when the loader's variables
// and the running image's own section contradict each other, with both named.
struct Running {
  std::optional<size_t> file;
  bool trial = false;  // its name has a counter that was used
};
Result<Running> find_running(const Facts& facts);

// All of these are pure. Each begins with what recover() would do.
//
// A machine that has at least one good (or running) image keeps one under every power cut, whatever trials do:
// the running file and the last good one are never removed; a good file changes its name only after what replaces it stands.

// What a power cut or a failed trial left: leftovers are cleaned, two names for one image become one, a failed trial's digest
// goes into the record. Run at every start.
Result<Plan> recover(const Facts& facts);
// The new image, named +3: the next start tries it. kUnavailable during a trial; kDenied for a refused digest or a security
// version below the machine's; kInvalid for an older version without Downgrade::kAllow (which sets the newer ones aside:
// they are what the machine falls back to); kExists when the version is there with other bytes; kExhausted with the numbers when
// the whole rotation has no room. Staged already: an empty plan.
Result<Plan> stage(const Facts& facts, const Candidate& candidate, Downgrade downgrade);
// The next start tries an image that is there already: one that failed (its digest is no longer refused), was set aside, or is
// older and good. Armed already: only the way to restart.
Result<Plan> try_version(const Facts& facts, std::string_view version, Downgrade downgrade);
// The running trial is good. Only for the file that is proven to run: the loader's selected entry (counter stripped) is the counted
// path, or, where one of the two variables is missing, the running image's section is the file's. kDenied names what
// contradicts. Good already: an empty plan. The running image set aside is good again.
Result<Plan> bless(const Facts& facts);
// Away from what runs: a trial ends as bad; a good image is set aside and the best older good one tried. kNotFound when there
// is nothing to go back to. The digest is refused from now on.
Result<Plan> revert(const Facts& facts);
// An orderly restart asked for by people during a trial costs no try.
Result<Plan> return_try(const Facts& facts);
// Forgets that a digest was refused.
Result<Plan> forgive(const Facts& facts, const Digest& digest);

std::vector<Slot> list(const Facts& facts);  // the loader's order, then all else by name

}  // namespace steppe::upgrade
