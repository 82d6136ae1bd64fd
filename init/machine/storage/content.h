#pragma once

#include <optional>
#include <string>

#include "init/machine/gpt.h"

namespace steppe::storage {

// What a disk or partition holds, by what stands where file systems have their names: "ext4", "vfat", "xfs", "btrfs", "crypto_LUKS",
// "LVM2_member", "swap", "squashfs", "iso9660", "dos" (a partition table of old); "" when its first 128 KiB are nothing but zeros, else
// "unknown data". Also "ext4" when only the copy of its superblock at 128 MiB is there: such a one is damaged, not blank. Pure over the
// reader, which has blocks of `disk.block_bytes()`.
Result<std::string> content_of(machine::BlockReader& disk);

// How large the ext4 there says it is. kNotFound: its first superblock is not there.
Result<Bytes> ext4_size(machine::BlockReader& disk);

}  // namespace steppe::storage
