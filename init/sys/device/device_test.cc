#include <gtest/gtest.h>

#include <algorithm>

#include "init/sys/device/interfaces.h"
#include "init/sys/device/pci.h"

namespace steppe::device {
namespace {

TEST(Interfaces, LoopbackIsThere) {
  auto all = enumerate_interfaces();
  ASSERT_TRUE(all.ok()) << all.error().message();
  auto lo = std::ranges::find(*all, "lo", &Interface::name);
  ASSERT_NE(lo, all->end());
  EXPECT_TRUE(lo->loopback);
  if (lo->up && !lo->addresses.empty()) {
    EXPECT_EQ(lo->addresses[0].text, "127.0.0.1");
    EXPECT_EQ(lo->addresses[0].prefix, 8);
  }
}

TEST(Pci, EnumeratesWithoutUdev) {
  auto all = enumerate_pci();
  ASSERT_TRUE(all.ok()) << all.error().message();
  EXPECT_TRUE(std::ranges::is_sorted(*all, {}, &PciDevice::address));
  for (const PciDevice& device : *all) EXPECT_NE(device.vendor_id, 0) << device.address;
}

TEST(Pci, Classes) {
  EXPECT_TRUE((PciDevice{.class_code = 0x030200}.display()));
  EXPECT_FALSE((PciDevice{.class_code = 0x020000}.display()));
  EXPECT_TRUE((PciDevice{.class_code = 0x120000}.accelerator()));
}

}  // namespace
}  // namespace steppe::device
