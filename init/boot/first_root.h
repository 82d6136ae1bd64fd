#pragma once

#include "init/base/result.h"

namespace steppe::boot {

// From the kernel's first root (the unpacked initrd, in memory) to the image's root: loads /modules, attaches /root.sqfs
// to a loop device read-only, mounts it, moves /dev, /proc, /sys and /run over, makes it "/" of this process and of every one
// after it, and deletes all that the initrd held. The squashfs itself stays in memory, compressed, with its name gone:
// the loop device holds it. The initrd's /cmdline.default, if any, is copied to
// /run/steppe/cmdline.default, unread: it is for whoever reads the configuration.
//
// The first root cannot be pivoted away (EINVAL), so the new one is moved over it (MS_MOVE) and entered (chroot); once it
// is done, pivot_root works in mount namespaces made from here, which containers need. Requires first_mounts(). Once; an
// error leaves the machine without a root, and the caller can only say so and reboot.
Result<> enter_image_root();

// Deletes all below the open directory `root` that lies on its own file system, following no links. Other mounts below are
// left alone. Frees the memory of the initrd. Depth and number of entries have bounds (32; 100,000): what is past them
// stays. Returns how many entries went.
size_t delete_tree(int root);

}  // namespace steppe::boot
