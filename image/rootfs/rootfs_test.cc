#include <gtest/gtest.h>

#include <format>

#include "image/rootfs/modinfo.h"
#include "image/rootfs/modules.h"
#include "image/rootfs/scan.h"
#include "init/boot/module_index.h"

namespace steppe::rootfs {
namespace {

// A module as the reader sees it: ELF header, a section table of three, names, .modinfo.
std::string module(std::string_view modinfo) {
  const std::string names("\0.shstrtab\0.modinfo\0", 20);
  std::string file(64 + 3 * 64, '\0');
  std::memcpy(file.data(),
              "\x7f"
              "ELF\x02\x01",
              6);
  store_le<uint64_t>(file.data() + 40, 64);
  store_le<uint16_t>(file.data() + 58, 64);
  store_le<uint16_t>(file.data() + 60, 3);
  store_le<uint16_t>(file.data() + 62, 1);
  const auto section = [&](size_t index, uint32_t name, std::string_view content) {
    char* row = file.data() + 64 + index * 64;
    store_le<uint32_t>(row, name);
    store_le<uint32_t>(row + 4, 1);
    store_le<uint64_t>(row + 24, file.size());
    store_le<uint64_t>(row + 32, content.size());
    file += content;
  };
  section(1, 1, names);
  section(2, 11, modinfo);
  return file;
}

std::string info(std::string_view name, std::string_view depends, std::string_view more = "") {
  return std::format("name={}", name) + '\0' + std::format("depends={}", depends) + '\0' + std::string(more) +
         "vermagic=6.12 SMP" + '\0';
}

fs::Tree kernel_tree() {
  using namespace std::string_literals;
  fs::Tree tree;
  const std::string base = "lib/modules/6.12/kernel/";
  EXPECT_TRUE(tree.add_file(base + "fs/top.ko",
                            module(info("top", "mid,low", "alias=fs-top\0softdep=pre: crypto-crc32c post: after\0"s)) +
                                "~Module signature appended~\n")
                  .ok());
  EXPECT_TRUE(
      tree.add_file(base + "fs/mid.ko", module(info("mid", "low-er", "alias=pci:v*d*\0alias=has space\0"s))).ok());
  EXPECT_TRUE(tree.add_file(base + "fs/low.ko", module(info("low", "", "alias=acpi*:X:*\0"s))).ok());
  EXPECT_TRUE(tree.add_file(base + "lib/low-er.ko", module(info("low_er", "base"))).ok());
  EXPECT_TRUE(tree.add_file(base + "lib/crc32c_generic.ko", module(info("crc32c_generic", ""))).ok());
  EXPECT_TRUE(tree.add_file("lib/modules/6.12/modules.builtin", "kernel/base.ko\n").ok());
  return tree;
}

TEST(Modinfo, ReadsWhatAModuleSays) {
  const fs::Tree tree = kernel_tree();
  auto read = read_modinfo(as_bytes(tree.find("lib/modules/6.12/kernel/fs/top.ko")->bytes()));
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read->name, "top");
  EXPECT_EQ(read->depends, (std::vector<std::string>{"mid", "low"}));
  EXPECT_EQ(read->wishes_first, std::vector<std::string>{"crypto-crc32c"});
  EXPECT_EQ(read->aliases, std::vector<std::string>{"fs-top"});
  EXPECT_TRUE(read->is_signed);
}

TEST(Modinfo, CutOrChangedIsRefusedOrSafe) {
  const std::string good = module(info("m", "a,b"));
  for (size_t size = 0; size < good.size(); ++size) {
    std::string cut = good.substr(0, size);
    cut.shrink_to_fit();
    EXPECT_FALSE(read_modinfo(as_bytes(cut)).ok()) << size;
  }
  for (size_t at = 0; at < 256; ++at) {
    std::string bad = good;
    bad[at] = '\xff';
    static_cast<void>(read_modinfo(as_bytes(bad)));
  }
}

TEST(Modules, BringWhatTheyNeedInLoadOrder) {
  const fs::Tree tree = kernel_tree();
  auto set = ModuleSet::open(tree, "lib/modules/6.12");
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set->match("low*"), (std::vector<std::string>{"low", "low_er"}));
  EXPECT_EQ(set->match("kernel/fs/*"), (std::vector<std::string>{"low", "mid", "top"}));
  EXPECT_TRUE(set->is_builtin("base"));
  auto chosen = set->select({"top"});
  ASSERT_TRUE(chosen.ok()) << chosen.error().message();
  EXPECT_EQ(chosen->size(), 5u);
  EXPECT_EQ(chosen->at("top").needs, (std::vector<std::string>{"low_er", "mid", "low", "crc32c_generic"}));
  EXPECT_EQ(chosen->at("top").path, "kernel/fs/top.ko");
  EXPECT_EQ(set->select({"none"}).error().code(), Code::kNotFound);
  EXPECT_FALSE(ModuleSet::open(tree, "lib/modules/6.13").ok());
}

TEST(Modules, TheIndexIsWhatProcess1Reads) {
  const fs::Tree tree = kernel_tree();
  auto set = ModuleSet::open(tree, "lib/modules/6.12");
  const std::string text = write_module_index(*set->select({"top"}));
  EXPECT_EQ(text,
            "steppe-modules 1\n"
            "file crc32c_generic kernel/lib/crc32c_generic.ko\n"
            "file low kernel/fs/low.ko\n"
            "file low_er kernel/lib/low-er.ko\n"
            "file mid kernel/fs/mid.ko low_er\n"
            "file top kernel/fs/top.ko low_er,mid,low,crc32c_generic\n"
            "alias acpi*:X:* low\n"
            "alias fs-top top\n"
            "alias pci:v*d* mid\n");
  auto index = boot::ModuleIndex::parse(text);
  ASSERT_TRUE(index.ok()) << index.error().message();
  EXPECT_EQ(index->find("pci:v8086d1"), std::vector<std::string_view>{"mid"});
  EXPECT_EQ(index->files("top"),
            (std::vector<std::string_view>{"kernel/lib/low-er.ko", "kernel/fs/mid.ko", "kernel/fs/low.ko",
                                           "kernel/lib/crc32c_generic.ko", "kernel/fs/top.ko"}));
}

TEST(Modules, ACircleOfNeedsEnds) {
  fs::Tree tree;
  ASSERT_TRUE(tree.add_file("m/a.ko", module(info("a", "b"))).ok());
  ASSERT_TRUE(tree.add_file("m/b.ko", module(info("b", "a"))).ok());
  auto chosen = ModuleSet::open(tree, "m")->select({"a"});
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(chosen->at("a").needs, std::vector<std::string>{"b"});
}

fs::Tree clean_root() {
  fs::Tree tree;
  EXPECT_TRUE(tree.add_file("usr/bin/steppe",
                            "\x7f"
                            "ELF…",
                            0755)
                  .ok());
  EXPECT_TRUE(tree.add_file("etc/passwd", "root").ok());
  EXPECT_TRUE(tree.add_file("usr/share/steppe/task-root.sqfs", "hsqs BusyBox v1").ok());
  EXPECT_TRUE(tree.add_symlink("lib", "usr/lib").ok());
  EXPECT_TRUE(tree.add_directory("tmp", 01777).ok());
  return tree;
}

TEST(Scan, ACleanRootHasNoFindings) { EXPECT_TRUE(scan_root(clean_root()).empty()); }

TEST(Scan, FindsWhatIsPlanted) {
  using Kind = Finding::Kind;
  const std::string elf =
      "\x7f"
      "ELF";
  const struct {
    std::string path;
    fs::Node node;
    Kind kind;
  } cases[] = {
      {"usr/bin/sh", {.mode = 0755, .content = fs::make_content(elf)}, Kind::kShell},
      {"usr/bin/zsh-5.9", {.mode = 0755, .content = fs::make_content(elf)}, Kind::kShell},
      {"opt/tool", {.mode = 0644, .content = fs::make_content(elf + " BusyBox v1.37")}, Kind::kShell},
      {"usr/bin/sh", {.kind = fs::NodeKind::kSymlink, .target = "steppe"}, Kind::kShell},
      {"usr/bin/tool", {.kind = fs::NodeKind::kSymlink, .target = "../../opt/bin/python3.13"}, Kind::kInterpreter},
      {"usr/bin/python3.13", {.mode = 0755, .content = fs::make_content(elf)}, Kind::kInterpreter},
      {"usr/lib/x.so", {.mode = 0644, .content = fs::make_content(elf + "PERL5LIB")}, Kind::kInterpreter},
      {"usr/bin/start", {.mode = 0755, .content = fs::make_content("#!/usr/bin/steppe\n")}, Kind::kScript},
      {"usr/bin/up", {.mode = 04755, .content = fs::make_content(elf)}, Kind::kSetuid},
      {"var/box", {.kind = fs::NodeKind::kDirectory, .mode = 02755}, Kind::kSetgid},
      {"usr/bin/raw",
       {.mode = 0755, .content = fs::make_content(elf), .attributes = {"security.capability"}},
       Kind::kCapability},
      {"dev/sda", {.kind = fs::NodeKind::kOther}, Kind::kDevice},
      {"etc/loose", {.mode = 0666}, Kind::kWritable},
  };
  for (const auto& one : cases) {
    fs::Tree tree = clean_root();
    ASSERT_TRUE(tree.add(one.path, one.node).ok());
    const auto findings = scan_root(tree);
    ASSERT_EQ(findings.size(), 1u) << one.path;
    EXPECT_EQ(findings[0].kind, one.kind) << one.path << ": " << findings[0].detail;
    EXPECT_EQ(findings[0].path, one.path);
  }
}

}  // namespace
}  // namespace steppe::rootfs
