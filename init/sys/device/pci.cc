#include "init/sys/device/pci.h"

#include <systemd/sd-device.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace steppe::device {
namespace {

struct Unref {
  void operator()(sd_device_enumerator* e) const { sd_device_enumerator_unref(e); }
};

uint32_t hex_attribute(sd_device* device, const char* name) {
  const char* text = nullptr;
  if (sd_device_get_sysattr_value(device, name, &text) < 0) return 0;
  return static_cast<uint32_t>(std::strtoul(text, nullptr, 16));
}

std::string property(sd_device* device, const char* name) {
  const char* text = nullptr;
  return sd_device_get_property_value(device, name, &text) < 0 ? "" : text;
}

}  // namespace

Result<std::vector<PciDevice>> enumerate_pci() {
  sd_device_enumerator* raw = nullptr;
  if (int r = sd_device_enumerator_new(&raw); r < 0) return Error::from_errno(-r, "enumerate devices");
  std::unique_ptr<sd_device_enumerator, Unref> all(raw);
  if (int r = sd_device_enumerator_add_match_subsystem(all.get(), "pci", 1); r < 0) return Error::from_errno(-r, "match pci devices");
  // Without a running udevd no device counts as initialised; we read sysfs, which needs none.
  if (int r = sd_device_enumerator_allow_uninitialized(all.get()); r < 0) return Error::from_errno(-r, "match devices");
  std::vector<PciDevice> out;
  for (sd_device* device = sd_device_enumerator_get_device_first(all.get()); device != nullptr;
       device = sd_device_enumerator_get_device_next(all.get())) {
    PciDevice found;
    const char* name = nullptr;
    if (sd_device_get_sysname(device, &name) < 0) continue;
    found.address = name;
    found.class_code = hex_attribute(device, "class");
    found.vendor_id = static_cast<uint16_t>(hex_attribute(device, "vendor"));
    found.device_id = static_cast<uint16_t>(hex_attribute(device, "device"));
    found.vendor = property(device, "ID_VENDOR_FROM_DATABASE");
    found.model = property(device, "ID_MODEL_FROM_DATABASE");
    const char* driver = nullptr;
    if (sd_device_get_driver(device, &driver) >= 0) found.driver = driver;
    out.push_back(std::move(found));
  }
  std::ranges::sort(out, {}, &PciDevice::address);
  return out;
}

}  // namespace steppe::device
