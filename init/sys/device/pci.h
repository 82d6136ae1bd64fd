#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/base/result.h"

namespace steppe::device {

struct PciDevice {
  std::string address;      // "0000:01:00.0"
  uint32_t class_code = 0;  // 0x030000: base class, subclass, programming interface
  uint16_t vendor_id = 0, device_id = 0;
  std::string vendor, model;  // from the hardware database; empty where it has none
  std::string driver;         // bound kernel driver; empty: none
  bool display() const { return class_code >> 16 == 0x03; }
  // Processing accelerators (base class 0x12): GPUs without a display.
  bool accelerator() const { return class_code >> 16 == 0x12; }
};

// Every PCI device that sd-device knows, by address. Empty on machines without PCI. Blocks.
Result<std::vector<PciDevice>> enumerate_pci();

}  // namespace steppe::device
