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
#include "init/boot/kernel_settings.h"
#include "init/boot/machine_clock.h"
#include "init/boot/module_file.h"
#include "init/boot/module_roots.h"
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

TEST(KernelSettings, a_line_is_a_path_below_and_a_value) {
  auto good = parse_setting("net/ipv4/conf/all/rp_filter 2");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->path, "net/ipv4/conf/all/rp_filter");
  EXPECT_EQ(good->value, "2");
  EXPECT_EQ(parse_setting("net/ipv4/tcp_rmem 1 2 3")->value, "1 2 3");
  EXPECT_TRUE(parse_setting("net/ipv4/conf/eth0.5/rp_filter 2").ok());
  for (const char* line : {"", "kernel/sysrq", "kernel/sysrq ", " 1", "/kernel/sysrq 1", "kernel/ 1", "kernel//sysrq 1", "../sysrq 1",
                           "kernel/../../x 1", "kernel/.hidden 1", "Kernel/x 1", "kernel/x a\tb", "kernel/x a\xff"}) {
    EXPECT_FALSE(parse_setting(line).ok()) << line;
  }
  EXPECT_FALSE(parse_setting("kernel/x " + std::string(300, '1')).ok());
}

TEST_F(BootTest, settings_are_written_each_and_what_fails_is_told) {
  auto read = [&](const std::string& name) {
    std::ifstream in(directory_ + "/" + name);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  write("sys/kernel/one", "");
  write("sys/kernel/two", "");
  fs::create_symlink("/etc/passwd", directory_ + "/sys/kernel/link");
  kernel::Fd sys(::open((directory_ + "/sys").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::string file = directory_ + "/settings", told;
  auto apply = [&](const std::string& text) {
    write("settings", text);
    told.clear();
    return apply_settings(file.c_str(), sys.get(), [](void* into, std::string_view line) { *static_cast<std::string*>(into) += std::string(line) + "\n"; }, &told);
  };
  auto all = apply("kernel/absent 1\nkernel/link 2\nkernel/one 3\nkernel/two 4 5\n");
  ASSERT_TRUE(all.ok()) << all.error().message();
  EXPECT_EQ(*all, 2u);
  EXPECT_EQ(read("sys/kernel/one"), "3");
  EXPECT_EQ(read("sys/kernel/two"), "4 5");
  EXPECT_NE(told.find("setting kernel/absent 1: "), std::string::npos) << told;
  EXPECT_NE(told.find("setting kernel/link 2: "), std::string::npos) << told;
  EXPECT_EQ(*apply(""), 0u);
  EXPECT_EQ(apply("kernel/one 6\n../x 1\n").error().code(), Code::kCorrupt);
  EXPECT_EQ(read("sys/kernel/one"), "6") << "what came before is applied";
  std::string many;
  for (size_t i = 0; i < kMaxSettings + 1; ++i) many += "kernel/one 7\n";
  EXPECT_EQ(apply(many).error().code(), Code::kExhausted);
  EXPECT_EQ(apply(std::string(kMaxSettingsFile + 1, 'a')).error().code(), Code::kExhausted);
  fs::remove(file);
  EXPECT_EQ(apply_settings(file.c_str(), sys.get(), [](void*, std::string_view) {}, nullptr).error().code(), Code::kNotFound);
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
      bool executes = std::string_view(row.target) == "/var" || std::string_view(row.target) == "/data";
      EXPECT_EQ((row.flags & 8 /* MS_NOEXEC */) == 0, executes) << row.target;
    }
  }
}

TEST_F(BootTest, modules_of_extensions_are_found_once_and_no_more_than_a_bound) {
  write("nic/modules.index", "steppe-modules 1\nfile e100 kernel/e100.ko mii\nfile mii kernel/mii.ko\nalias pci:v00008086d00001229* e100\n");
  fs::create_directory(directory_ + "/modules.d");
  fs::create_directory_symlink(directory_ + "/nic", directory_ + "/modules.d/nic");
  fs::create_directory_symlink(directory_ + "/nowhere", directory_ + "/modules.d/gone");
  std::set<std::string, std::less<>> known;
  EXPECT_EQ(new_module_roots(directory_ + "/modules.d", known), (std::vector<std::string>{"gone", "nic"}));
  EXPECT_TRUE(new_module_roots(directory_ + "/modules.d", known).empty());
  EXPECT_TRUE(new_module_roots(directory_ + "/absent", known).empty());
  Result<ModuleRoot> root = open_module_root(directory_ + "/modules.d/nic");
  ASSERT_TRUE(root.ok()) << root.error().message();
  std::vector<std::string> loaded;
  Coldplug coldplug(root->index, [&](std::string_view path) { loaded.emplace_back(path); });
  coldplug.device("pci:v00008086d00001229sv00001af4sd00001100bc02sc00i00");
  EXPECT_EQ(loaded, (std::vector<std::string>{"kernel/mii.ko", "kernel/e100.ko"}));
  EXPECT_FALSE(open_module_root(directory_ + "/modules.d/gone").ok());
  write("odd/modules.index", "nonsense\n");
  EXPECT_EQ(open_module_root(directory_ + "/odd").error().code(), Code::kCorrupt);
  for (int i = 0; i < 40; ++i) fs::create_directory_symlink("x", directory_ + "/modules.d/" + std::to_string(i));
  EXPECT_EQ(new_module_roots(directory_ + "/modules.d", known).size(), 30u);
}

}  // namespace
}  // namespace steppe::boot
