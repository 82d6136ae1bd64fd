#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/boot/module_index.h"

namespace steppe::boot {

// The MODALIAS of a kernel uevent that says "add" or "bind" ("add@/devices/...\0ACTION=add\0...\0MODALIAS=...\0", see
// lib/kobject_uevent.c), or "". Never longer than 1,024 bytes. Pure; the bytes may be anything.
std::string_view uevent_modalias(ByteView message);

// Loads what the machine's devices ask for. What a device says of itself (a USB stick names its own vendor, class, ...) is
// input from outside, so this runs in a child of PID 1, never in PID 1.
class Coldplug {
 public:
  // Loads the file (below the index's directory); a failure is the loader's to tell.
  using Load = std::function<void(std::string_view path)>;

  Coldplug(const ModuleIndex& index, Load load) : index_(&index), load_(std::move(load)) {}

  // Loads the modules that match, dependencies first. Each file and each modalias only once; at most 20,000 of them are
  // remembered, and more are not looked at.
  void device(std::string_view modalias);
  // A module by its own name or by an alias, as the kernel asks for it ("fs-overlay", "nf_tables"). False: the index knows
  // nothing of that name.
  bool request(std::string_view name);
  // Every file named `modalias` below the open directory (/sys/devices), directories in the order in which the kernel lists
  // them, symlinks not followed. At most 32 deep and 200,000 entries.
  void walk(int directory);

  size_t devices() const { return seen_.size(); }
  size_t loaded() const { return files_.size(); }

 private:
  void walk_below(int directory, int depth, size_t& budget);
  void load(std::string_view name);

  const ModuleIndex* index_;
  Load load_;
  std::set<std::string, std::less<>> seen_, files_;
};

// The program of the child: walks /sys/devices, says READY=1 to $NOTIFY_SOCKET, then serves the kernel's uevents until it
// is ended; modules of an extension are looked at when its link comes to kExtensionModules (module_roots.h). Keeps only
// CAP_SYS_MODULE. Returns an exit status.
int run_devices();

// What the kernel runs to have a module (`/proc/sys/kernel/modprobe -q -- NAME`). Returns an exit status.
int run_module_request(std::string_view name);

}  // namespace steppe::boot
