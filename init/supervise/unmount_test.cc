#include "init/supervise/unmount.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steppe::supervise {
namespace {

using testing::ElementsAre;

std::vector<std::string> order_of(std::string_view mountinfo) {
  auto parsed = kernel::parse_mountinfo(mountinfo);
  EXPECT_TRUE(parsed.ok());
  return unmount_order(*parsed);
}

TEST(UnmountOrder, deepest_first_and_what_the_kernel_provides_stays) {
  EXPECT_THAT(order_of("1 1 7:0 / / ro - squashfs /dev/loop0 ro\n"
                       "2 1 0:5 / /proc rw - proc proc rw\n"
                       "3 1 0:6 / /sys rw - sysfs sysfs rw\n"
                       "4 3 0:7 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                       "5 1 0:8 / /dev rw - devtmpfs devtmpfs rw\n"
                       "6 5 0:9 / /dev/shm rw - tmpfs tmpfs rw\n"
                       "7 1 0:10 / /run rw - tmpfs tmpfs rw\n"
                       "8 7 0:11 / /run/steppe/netns/a rw - nsfs nsfs rw\n"
                       "9 1 0:12 / /var rw - tmpfs tmpfs rw\n"
                       "10 9 8:1 / /var/lib/steppe rw - ext4 /dev/sda1 rw\n"
                       "11 10 0:13 / /var/lib/steppe/alloc/1/secrets rw - tmpfs tmpfs rw\n"),
              ElementsAre("/var/lib/steppe/alloc/1/secrets", "/run/steppe/netns/a", "/var/lib/steppe", "/var"));
}

TEST(UnmountOrder, of_two_at_one_place_the_upper_goes_first_and_names_alike_are_not_below) {
  EXPECT_THAT(order_of("1 1 7:0 / / ro - squashfs /dev/loop0 ro\n"
                       "2 1 8:1 / /data rw - ext4 /dev/sda1 rw\n"
                       "3 2 0:9 / /data rw - tmpfs tmpfs rw\n"
                       "4 1 0:9 / /device rw - tmpfs tmpfs rw\n"
                       "5 1 0:9 / /runner rw - tmpfs tmpfs rw\n"),
              ElementsAre("/runner", "/device", "/data", "/data"));
}

}  // namespace
}  // namespace steppe::supervise
