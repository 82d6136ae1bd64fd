#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "init/boot/coldplug.h"
#include "init/boot/early_mounts.h"
#include "init/boot/first_root.h"
#include "init/boot/kernel_log.h"
#include "init/boot/machine_clock.h"
#include "init/boot/module_file.h"
#include "init/sys/kernel/fd.h"

namespace steppe::boot {
namespace {

namespace fs = std::filesystem;

class BootTest : public testing::Test {
 protected:
  BootTest() {
    char name[] = "/tmp/steppe-boot-XXXXXX";
    directory_ = ::mkdtemp(name);
    fd_ = kernel::Fd(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~BootTest() override { fs::remove_all(directory_); }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(directory_ + "/" + name).parent_path());
    std::ofstream(directory_ + "/" + name) << text;
  }

  std::string directory_;
  kernel::Fd fd_;
};

TEST_F(BootTest, the_old_root_is_emptied_without_following_links_or_leaving_it) {
  char other[] = "/tmp/steppe-boot-other-XXXXXX";
  fs::path outside = ::mkdtemp(other);
  std::ofstream(outside / "kept") << "x";
  write("init", "x");
  write("modules/a/b/c.ko", "x");
  fs::create_directory_symlink(outside, directory_ + "/link");
  fs::create_directory(directory_ + "/newroot");
  EXPECT_EQ(delete_tree(fd_.get()), 7u);
  EXPECT_TRUE(fs::is_empty(directory_));
  EXPECT_TRUE(fs::exists(outside / "kept"));
  fs::remove_all(outside);
}

TEST_F(BootTest, the_depth_of_what_is_deleted_is_bounded) {
  std::string path;
  for (int i = 0; i < 40; ++i) path += "d/";
  write(path + "leaf", "x");
  EXPECT_EQ(delete_tree(fd_.get()), 0u) << "directories above what is left are not empty";
  EXPECT_TRUE(fs::exists(directory_ + "/" + path + "leaf"));
}

TEST_F(BootTest, an_order_that_is_wrong_names_its_fault) {
  struct Row {
    std::string order;
    Code code;
  };
  std::string many;
  for (int i = 0; i < 70; ++i) many += "m\n";
  for (const Row& row : std::initializer_list<Row>{{"a/b.ko\n", Code::kCorrupt},
                                                   {"..\n", Code::kCorrupt},
                                                   {"a b\n", Code::kCorrupt},
                                                   {std::string(5'000, 'a'), Code::kExhausted},
                                                   {"missing.ko\n", Code::kNotFound}}) {
    write("order", row.order);
    Result<> loaded = load_modules_in_order(fd_.get());
    ASSERT_FALSE(loaded.ok()) << row.order;
    EXPECT_EQ(loaded.error().code(), row.code) << loaded.error().message();
  }
  write("order", many);
  EXPECT_EQ(load_modules_in_order(fd_.get()).error().code(), Code::kExhausted);
  write("order", "\n\n");
  EXPECT_TRUE(load_modules_in_order(fd_.get()).ok());
}

TEST_F(BootTest, modules_are_named_below_their_directory) {
  fs::create_symlink("/etc/passwd", directory_ + "/out.ko");
  for (const char* path : {"../x.ko", "/etc/passwd", "out.ko"}) EXPECT_FALSE(load_module_file(fd_.get(), path).ok()) << path;
}

TEST_F(BootTest, every_modalias_below_is_met_links_are_not_followed) {
  write("devices/pci0/0000:00:01.0/modalias", "pci:v1\n");
  write("devices/pci0/0000:00:01.0/virtio0/modalias", "virtio:d1v2\n");
  write("devices/pci0/empty/modalias", "");
  write("devices/pci0/long/modalias", std::string(3'000, 'x'));
  write("devices/pci0/same/modalias", "pci:v1\n");
  write("elsewhere/modalias", "not:met\n");
  fs::create_directory_symlink(directory_ + "/elsewhere", directory_ + "/devices/pci0/subsystem");
  auto index = ModuleIndex::parse("steppe-modules 1\nfile all all.ko\nalias * all\n");
  ASSERT_TRUE(index.ok());
  int loaded = 0;
  Coldplug coldplug(*index, [&](std::string_view) { ++loaded; });
  kernel::Fd devices(::open((directory_ + "/devices").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  coldplug.walk(devices.get());
  EXPECT_EQ(coldplug.devices(), 2u);
  EXPECT_EQ(loaded, 1);
}

TEST_F(BootTest, the_clock_is_never_older_than_the_build) {
  std::string file = directory_ + "/os-release";
  EXPECT_EQ(build_time(file.c_str()), kSourceEpoch) << "there is none";
  write("os-release", "ID=steppe\n");
  auto set = [&](int64_t seconds) {
    timespec times[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  };
  set(0);
  EXPECT_EQ(build_time(file.c_str()), kSourceEpoch);
  set(kSourceEpoch + 1'000);
  EXPECT_EQ(build_time(file.c_str()), kSourceEpoch + 1'000);
  set(kSourceEpoch + int64_t{60} * 365 * 86'400);
  EXPECT_EQ(build_time(file.c_str()), kSourceEpoch) << "not believed";
}

TEST(Printable, drops_what_drives_a_terminal) {
  char into[8];
  EXPECT_EQ(std::string_view(into, printable("a\x1b[b\n\xff", into, sizeof into)), "a?[b??");
  EXPECT_EQ(printable("123456789", into, sizeof into), 8u);
}

TEST(EarlyMounts, every_row_has_the_flags_that_hardening_asks_for) {
  for (auto rows : {first_mounts(), root_mounts()}) {
    for (const EarlyMount& row : rows) {
      EXPECT_TRUE((row.flags & 2 /* MS_NOSUID */) != 0) << row.target;
      bool devices = std::string_view(row.target) == "/dev" || std::string_view(row.target) == "/dev/pts";
      EXPECT_EQ((row.flags & 4 /* MS_NODEV */) == 0, devices) << row.target;
      bool executes = devices ? std::string_view(row.target) == "/dev" : std::string_view(row.target) == "/var" || std::string_view(row.target) == "/data" ||
                      std::string_view(row.target) == "/dev/shm" || std::string_view(row.target) == "/dev/hugepages";
      EXPECT_EQ((row.flags & 8 /* MS_NOEXEC */) == 0, executes) << row.target;
    }
  }
}

}  // namespace
}  // namespace steppe::boot
