#include "init/sys/kernel/device_mapper.h"

#include <gtest/gtest.h>
#include <linux/dm-ioctl.h>

namespace steppe::kernel {
namespace {

template <class T>
T at(const std::vector<std::byte>& bytes, size_t offset) {
  T out;
  std::memcpy(&out, bytes.data() + offset, sizeof out);
  return out;
}

// The layout of linux/dm-ioctl.h: what the kernel refuses with EINVAL when it is otherwise. That it works is shown in a guest.
TEST(DeviceMapper, MessagesAreAsTheKernelReadsThem) {
  const std::vector<std::byte> table = mapper_table({"verity", "1 7:0", 16});
  ASSERT_EQ(table.size(), (sizeof(dm_target_spec) + 6 + 7) / 8 * 8) << "the parameters end with a zero, and on a boundary of 8";
  const auto spec = at<dm_target_spec>(table, 0);
  EXPECT_EQ(spec.sector_start, 0U);
  EXPECT_EQ(spec.length, 16U);
  EXPECT_STREQ(spec.target_type, "verity");
  EXPECT_STREQ(reinterpret_cast<const char*>(table.data() + sizeof spec), "1 7:0");
  const std::vector<std::byte> message = mapper_message("steppe-nic", "STEPPE-1", DM_READONLY_FLAG, table, 1);
  const auto head = at<dm_ioctl>(message, 0);
  EXPECT_EQ(head.version[0], 4U);
  EXPECT_EQ(head.data_size, message.size());
  EXPECT_EQ(head.data_start, sizeof head);
  EXPECT_EQ(head.target_count, 1U);
  EXPECT_EQ(head.flags, static_cast<uint32_t>(DM_READONLY_FLAG));
  EXPECT_STREQ(head.name, "steppe-nic");
  EXPECT_STREQ(head.uuid, "STEPPE-1");
  EXPECT_EQ(std::memcmp(message.data() + sizeof head, table.data(), table.size()), 0);
}

}  // namespace
}  // namespace steppe::kernel
