#pragma once

#include <string>
#include <utility>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::uki {

// What becomes a section of the unified kernel image (UAPI.5), in this order. The stub looks them up by name and leaves
// those that it does not know, `.steppe` among them, alone; all are covered by the file's signature.
struct Part {
  std::string name;  // at most 8 bytes
  std::string content;
};

// Appends the parts to the stub (an unsigned EFI program) as read-only sections. `.linux` comes last whatever its
// place, as in memory it takes what the kernel's own header says (SizeOfImage), which systemd's stub needs to start it
// in place; a kernel without the NX flag takes it from the whole. A part that the stub has already (`.sbat`) is
// replaced where it stands, if it fits there. Nothing of the build host, no time and no chance gets in: same stub and
// parts, same bytes.
Result<std::string> assemble(ByteView stub, std::vector<Part> parts);

// The lines of the stub's `.sbat` with those of ours behind them.
std::string merge_sbat(ByteView stub, std::string_view lines);

}  // namespace steppe::uki
