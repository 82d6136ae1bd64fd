#pragma once

#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/machine/kernel_arguments.h"

namespace steppe::machine {

// The strings of one SMBIOS structure of type 11, "OEM Strings" (DMTF DSP0134, 7.12), as /sys/firmware/dmi/entries/11-N/raw gives
// it: header, count, then the texts, each ended by a zero, the last by two. kInvalid says what is wrong. Pure; at most 64 KiB.
Result<std::vector<std::string>> parse_oem_strings(ByteView structure);

// Those of them that are ours, "steppe:NAME=VALUE". kInvalid when one of ours is not of that form.
Result<std::vector<Setting>> smbios_settings(const std::vector<std::string>& strings);

}  // namespace steppe::machine
