#include <gtest/gtest.h>

#include <map>

#include "init/machine/hardening/kernel_config.h"
#include "init/machine/hardening/read_back.h"
#include "init/machine/hardening/table.h"

namespace steppe::hardening {
namespace {

Row enforced(Kind kind, std::string name, std::string value) {
  return {.kind = kind, .name = std::move(name), .asked = value, .since = "5.1", .value = value};
}
Row waived(Row row, std::string reason) {
  row.state = Row::State::kWaived, row.applied = false, row.value = "", row.reason = std::move(reason);
  return row;
}

Table table() {
  Row weaker = waived(enforced(Kind::kSetting, "kernel.yama.ptrace_scope", "3"), "debuggers");
  weaker.applied = true, weaker.value = "2";
  Row state = enforced(Kind::kMount, "/state", "nosuid,nodev");
  state.need = Row::Need::kOptional;
  return {.kernel = "6.12.1-x",
          .rows = {enforced(Kind::kSetting, "kernel.sysrq", "0"), weaker, waived(enforced(Kind::kSetting, "kernel.modules_disabled", "1"), "drivers"),
                   enforced(Kind::kArgument, "slab_nomerge", ""), enforced(Kind::kArgument, "pti", "on"),
                   enforced(Kind::kArgument, "nopti", std::string(kAbsent)), enforced(Kind::kMount, "/", "ro,nosuid"), state,
                   enforced(Kind::kMount, "/data/*", "nosuid"), enforced(Kind::kMount, "*", "nosuid,nodev"),
                   enforced(Kind::kKernel, "CONFIG_BUG", "y")}};
}

// A machine that has all of it.
struct Fake {
  std::map<std::string, std::string> settings = {{"kernel/sysrq", "0\n"}, {"kernel/yama/ptrace_scope", "2\n"}, {"kernel/modules_disabled", "0\n"}};
  std::string command_line = "console=ttyS0 slab_nomerge pti=on\n";
  std::string mounts = "1 1 7:0 / / ro,nosuid,nodev - squashfs /dev/loop0 ro\n2 1 0:5 / /run rw,nosuid,nodev - tmpfs tmpfs rw\n";
  std::string release = "6.12.1-x";

  ReadBack read() const {
    Observed machine{.setting = [this](const std::string& path) -> std::optional<std::string> {
                       const auto at = settings.find(path);
                       return at == settings.end() ? std::nullopt : std::optional(at->second);
                     },
                     .command_line = command_line, .mountinfo = mounts, .release = release};
    auto out = read_back(table(), machine);
    EXPECT_TRUE(out.ok());
    return *std::move(out);
  }
};

TEST(Table, there_and_back) {
  const auto back = parse_table(write_table(table()));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(*back, table());
  EXPECT_EQ(settings_file(table()), "kernel/sysrq 0\nkernel/yama/ptrace_scope 2\n");
}

TEST(Table, refuses_what_is_not_one) {
  const std::string head = "steppe-hardening 1\nkernel 6.12\n", good = "sysctl\ta\t1\t5.1\tenforced\trequired\t=1\t\n";
  ASSERT_TRUE(parse_table(head + good).ok());
  EXPECT_EQ(parse_table("steppe-hardening 2\n").error().code(), Code::kUnsupported);
  for (const std::string& text :
       {std::string(""), std::string("steppe-hardening 1\n"), head + good + good, head + "sysctl\ta\t1\n", head + "switch" + good.substr(6),
        head + "sysctl\t\t1\t5.1\tenforced\trequired\t=1\t\n", head + "sysctl\ta\t1\t5.1\tperhaps\trequired\t=1\t\n",
        head + "sysctl\ta\t1\t5.1\tenforced\tneeded\t=1\t\n", head + "sysctl\ta\t1\t5.1\tenforced\trequired\t-\t\n",
        head + "sysctl\ta\t1\t5.1\tenforced\trequired\t=2\t\n", head + "sysctl\ta\t1\t5.1\tenforced\trequired\t=1\twhy\n",
        head + "sysctl\ta\t1\t5.1\twaived\trequired\t-\t\n", head + "sysctl\ta\t1\t5.1\twaived\trequired\t2\twhy\n",
        head + "sysctl\ta\t1\t5.1\twaived\trequired\t-\tw\x01hy\n", head + "\n" + good,
        head + "sysctl\t" + std::string(kMaxText + 1, 'a') + "\t1\t5.1\tenforced\trequired\t=1\t\n"}) {
    const auto parsed = parse_table(text);
    EXPECT_FALSE(parsed.ok()) << text;
  }
  std::string many = head;
  for (size_t i = 0; i <= kMaxRows; ++i) many += "sysctl\ta" + std::to_string(i) + "\t1\t5.1\tenforced\trequired\t=1\t\n";
  EXPECT_EQ(parse_table(many).error().code(), Code::kExhausted);
  EXPECT_EQ(parse_table(std::string(kMaxTableFile.count + 1, 'a')).error().code(), Code::kExhausted);
}

TEST(ReadBack, a_machine_that_has_all_of_it_is_equal) {
  Fake machine;
  EXPECT_EQ(machine.read().found, table());
  EXPECT_TRUE(machine.read().differences.empty());
  machine.mounts += "3 1 8:1 / /state rw,nosuid,nodev - ext4 /dev/sda rw\n4 3 0:4 net:[1] /run/netns/x rw - nsfs nsfs rw\n";
  EXPECT_EQ(machine.read().found, table()) << "an optional mount, and a namespace's file";
}

TEST(ReadBack, every_row_that_does_not_hold_is_found) {
  const struct {
    std::string what;
    void (*spoil)(Fake&);
    std::string said;
  } rows[] = {
      {"a setting", [](Fake& it) { it.settings["kernel/sysrq"] = "438\n"; }, "sysctl kernel.sysrq: \"438\", not \"0\""},
      {"a setting that is not there", [](Fake& it) { it.settings.erase("kernel/sysrq"); }, "sysctl kernel.sysrq: \"absent\""},
      {"a weaker setting", [](Fake& it) { it.settings["kernel/yama/ptrace_scope"] = "0"; }, "\"0\", not \"2\""},
      {"a bare argument", [](Fake& it) { it.command_line = "pti=on"; }, "argument slab_nomerge: \"absent\", not \"\""},
      {"another value", [](Fake& it) { it.command_line = "slab_nomerge pti=off"; }, "argument pti: \"off\", not \"on\""},
      {"a second value", [](Fake& it) { it.command_line += " pti=off"; }, "argument pti: \"on and off\", not \"on\""},
      {"in a longer word", [](Fake& it) { it.command_line = "xpti=on slab_nomerge=1"; }, "argument pti: \"absent\""},
      {"in quotes", [](Fake& it) { it.command_line = "slab_nomerge \"x=1 pti=on\""; }, "argument pti: \"absent\""},
      {"what must be absent", [](Fake& it) { it.command_line += " nopti"; }, "argument nopti: \"\", not \"absent\""},
      {"a mount's option", [](Fake& it) { it.mounts.replace(it.mounts.find("ro,nosuid,nodev"), 15, "rw,nosuid,nodev"); }, "mount /: / (squashfs) lacks ro"},
      {"an optional mount that is there", [](Fake& it) { it.mounts += "3 1 8:1 / /state rw,nodev - ext4 x rw\n"; }, "mount /state: /state (ext4) lacks nosuid"},
      {"a mount below a pattern", [](Fake& it) { it.mounts += "3 1 8:1 / /data/x rw - tmpfs x rw\n"; }, "mount /data/*: /data/x (tmpfs) lacks nosuid"},
      {"a mount that nobody named", [](Fake& it) { it.mounts += "3 1 8:1 / /mnt rw,nosuid - ext4 x rw\n"; }, "mount *: /mnt (ext4) lacks nodev"},
      {"one over another", [](Fake& it) { it.mounts += "3 1 8:1 / /run rw - tmpfs x rw\n"; }, "mount *: /run (tmpfs) lacks nosuid,nodev"},
      {"the root is gone", [](Fake& it) { it.mounts = ""; }, "mount /: \"absent\""},
      {"another kernel", [](Fake& it) { it.release = "6.13"; }, "kernel CONFIG_BUG: \"unknown: checked for 6.12.1-x, this is 6.13\""},
  };
  for (const auto& row : rows) {
    Fake machine;
    row.spoil(machine);
    const ReadBack read = machine.read();
    EXPECT_NE(read.found, table()) << row.what;
    std::string said;
    for (const std::string& line : read.differences) said += line + "\n";
    EXPECT_NE(said.find(row.said), std::string::npos) << row.what << ": " << said;
  }
}

TEST(ReadBack, mountinfo_that_cannot_be_read_is_an_error) {
  Observed machine{.setting = [](const std::string&) { return std::nullopt; }, .command_line = "", .mountinfo = "x y\n", .release = ""};
  EXPECT_FALSE(read_back(table(), machine).ok());
}

TEST(KernelConfig, values) {
  const auto config = parse_kernel_config("# a\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=100\nCONFIG_LSM=\"landlock,lockdown,yama\"\nCONFIG_C=n\n");
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(kernel_value(*config, "CONFIG_A"), "y");
  EXPECT_EQ(kernel_value(*config, "CONFIG_B"), kNotSet);
  EXPECT_EQ(kernel_value(*config, "CONFIG_C"), kNotSet);
  EXPECT_TRUE(satisfies("100", kernel_value(*config, "CONFIG_N")));
  EXPECT_TRUE(satisfies("+yama,landlock", kernel_value(*config, "CONFIG_LSM")));
  EXPECT_FALSE(satisfies("+yama,land", kernel_value(*config, "CONFIG_LSM")));
  EXPECT_FALSE(satisfies("+yama", kNotSet));
  for (const char* text : {"nonsense", "CONFIG_=y", "CONFIG_A", "X=y", "CONFIG_A B=y"}) EXPECT_FALSE(parse_kernel_config(text).ok()) << text;
}

TEST(KernelConfig, releases_are_compared_by_number) {
  for (const auto& [release, since, least] : std::initializer_list<std::tuple<const char*, const char*, bool>>{
           {"6.12.107+deb13-amd64", "6.12", true}, {"6.12.107+deb13-amd64", "6.17", false}, {"6.12", "6.8", true}, {"6.8", "6.12", false},
           {"10.1", "6.12", true}, {"6.12", "2.6.38", true}, {"5.4.1", "5.4.2", false}, {"6.12", "", true}}) {
    EXPECT_EQ(kernel_at_least(release, since), least) << release << " " << since;
  }
}

}  // namespace
}  // namespace steppe::hardening
