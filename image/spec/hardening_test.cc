#include "image/spec/hardening.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <algorithm>

#include "init/base/text.h"
#include "init/boot/early_mounts.h"
#include "init/boot/kernel_settings.h"
#include "init/machine/hardening/kernel_config.h"
#include "init/machine/hardening/read_back.h"

namespace steppe::spec {
namespace {

using hardening::Row;
using hardening::Table;
using State = Requirement::State;

constexpr std::string_view kWhy = "because";

Requirement row(hardening::Kind kind, std::string_view name, std::string_view asked, State state = State::kEnforced, std::string_view reason = {}) {
  return {.kind = kind, .name = name, .asked = asked, .since = "5.1", .state = state, .reason = reason};
}
HardeningInput input(std::vector<Requirement> rows, std::string config = "") {
  return {.requirements = std::move(rows), .kernel_release = "6.12.1", .kernel_config = std::move(config), .module_names = {"floppy"}};
}

// A kernel as the product's table wants it: what is enforced and nothing else.
std::string wanted_config(std::string_view without = "") {
  std::string out;
  for (const Requirement& one : kernel_requirements()) {
    if (one.state != State::kEnforced || one.asked == hardening::kNotSet || one.name == without) continue;
    out += std::format("{}={}\n", one.name, one.asked.starts_with('+') ? std::format("\"{}\"", one.asked.substr(1)) : std::string(one.asked));
  }
  return out;
}
HardeningInput product(std::string_view without = "") {
  HardeningInput out{.requirements = {}, .kernel_release = "6.12.107+deb13-amd64", .kernel_config = wanted_config(without), .module_names = {}};
  for (const auto rows : {hardening_requirements(), kernel_requirements()}) out.requirements.insert(out.requirements.end(), rows.begin(), rows.end());
  return out;
}

TEST(Hardening, EveryRowOfTheProductHolds) {
  const auto table = decide_hardening({}, product());
  ASSERT_TRUE(table.ok()) << table.error().message();
  EXPECT_GT(table->rows.size(), 300u);
  for (const Row& one : table->rows) EXPECT_EQ(one.state == Row::State::kWaived, !one.reason.empty()) << hardening::row_name(one);
  const Row* later = table->find(hardening::Kind::kArgument, "hash_pointers");
  ASSERT_NE(later, nullptr);
  EXPECT_FALSE(later->applied) << "its first kernel is newer than this one";
  // What is recorded can be read, and what PID 1 is to apply it understands.
  EXPECT_EQ(*hardening::parse_table(hardening::write_table(*table)), *table);
  const std::string file = hardening::settings_file(*table);
  EXPECT_LT(file.size(), boot::kMaxSettingsFile);
  for (const std::string_view line : split(file.substr(0, file.size() - 1), '\n')) EXPECT_TRUE(boot::parse_setting(line).ok()) << line;
  EXPECT_LE(std::ranges::count(file, '\n'), static_cast<ptrdiff_t>(boot::kMaxSettings));
}

// The three that cannot hold on a machine that loads drivers, starts kernels and finds its IPv6 address say why, or how it goes all the same.
TEST(Hardening, TheKnownConflictsAreDecided) {
  const Table table = *decide_hardening({}, product());
  EXPECT_FALSE(table.find(hardening::Kind::kSetting, "kernel.modules_disabled")->applied);
  EXPECT_FALSE(table.find(hardening::Kind::kSetting, "kernel.kexec_load_disabled")->applied);
  EXPECT_EQ(table.find(hardening::Kind::kArgument, "module.sig_enforce")->value, "1");
  EXPECT_EQ(table.find(hardening::Kind::kSetting, "net.ipv6.conf.default.accept_ra")->value, "0");
  EXPECT_EQ(table.find(hardening::Kind::kSetting, "net.ipv4.conf.all.rp_filter")->value, "2");
}

TEST(Hardening, WhatIsWrongWithARowFailsTheBuild) {
  using hardening::Kind;
  const struct {
    std::vector<Requirement> rows;
    std::string config, said;
  } cases[] = {
      {{row(Kind::kSetting, "a.b", "1", State::kUndecided)}, "", "sysctl a.b: neither enforced nor waived"},
      {{row(Kind::kSetting, "a.b", "1", State::kWaived)}, "", "every waiver needs one"},
      {{row(Kind::kSetting, "a.b", "1", State::kEnforced, kWhy)}, "", "a reason belongs to a waiver"},
      {{row(Kind::kSetting, "a.b", "1"), row(Kind::kSetting, "a.b", "2")}, "", "stands there twice"},
      {{row(Kind::kSetting, "a.b", "1\n2")}, "", "not printable"},
      {{row(Kind::kKernel, "CONFIG_A", "y")}, "", "kernel CONFIG_A: enforced as \"y\", but kernel 6.12.1 has \"not set\""},
      {{row(Kind::kKernel, "CONFIG_A", "y")}, "CONFIG_A=m\n", "has \"m\""},
      {{row(Kind::kKernel, "CONFIG_A", "not set")}, "CONFIG_A=y\n", "has \"y\""},
      {{row(Kind::kKernel, "CONFIG_LSM", "+a,c")}, "CONFIG_LSM=\"a,b\"\n", "CONFIG_LSM"},
      {{row(Kind::kKernel, "CONFIG_A", "y")}, "what is this\n", "boot/config-6.12.1: line 1"},
  };
  for (const auto& one : cases) {
    const auto table = decide_hardening({}, input(one.rows, one.config));
    ASSERT_FALSE(table.ok()) << one.said;
    EXPECT_NE(table.error().message().find(one.said), std::string::npos) << table.error().message();
  }
  // All at once.
  const auto both = decide_hardening({}, input({row(Kind::kSetting, "a", "1", State::kUndecided), row(Kind::kKernel, "CONFIG_A", "y")}));
  EXPECT_NE(both.error().message().find("2 rows"), std::string::npos) << both.error().message();
}

TEST(Hardening, EveryEnforcedKernelRowOfTheProductIsChecked) {
  for (const Requirement& one : kernel_requirements()) {
    if (one.state != State::kEnforced || one.asked == hardening::kNotSet || !hardening::kernel_at_least("6.12.107", one.since)) continue;
    if (one.processor == Requirement::Processor::kArm64) continue;
    const auto table = decide_hardening({}, product(one.name));
    ASSERT_FALSE(table.ok()) << one.name;
    EXPECT_NE(table.error().message().find(one.name), std::string::npos);
  }
}

TEST(Hardening, WaiversAreCheckedWhereTheyCanBe) {
  using hardening::Kind;
  Requirement module = row(Kind::kKernel, "CONFIG_BLK_DEV_FD", "not set", State::kWaived, kWhy);
  module.absent_module = "floppy";
  EXPECT_NE(decide_hardening({}, input({module}, "CONFIG_BLK_DEV_FD=m\n")).error().message().find("no module floppy, which it has"), std::string::npos);
  module.absent_module = "other";
  EXPECT_TRUE(decide_hardening({}, input({module}, "CONFIG_BLK_DEV_FD=m\n")).ok());
  // A waiver that the kernel does not need is none.
  EXPECT_EQ(decide_hardening({}, input({module}))->rows[0].state, Row::State::kEnforced);
  Requirement later = row(Kind::kKernel, "CONFIG_A", "y");
  later.since = "6.13";
  EXPECT_EQ(decide_hardening({}, input({later}))->rows[0].reason, "kernel 6.12.1 does not know it");
}

TEST(Hardening, ASpecWaivesRowsForItsImage) {
  using hardening::Kind;
  Spec spec{.file = "a.hcl"};
  spec.waivers = {{"kernel CONFIG_A", "another kernel"}};
  const auto table = decide_hardening(spec, input({row(Kind::kKernel, "CONFIG_A", "y"), row(Kind::kSetting, "a", "1")}));
  ASSERT_TRUE(table.ok()) << table.error().message();
  EXPECT_EQ(table->rows[0].reason, "another kernel");
  EXPECT_TRUE(table->rows[1].applied);
  spec.waivers.push_back({"sysctl b", "x"});
  EXPECT_NE(decide_hardening(spec, input({row(Kind::kKernel, "CONFIG_A", "y")})).error().message().find("sysctl b: a.hcl waives it"), std::string::npos);
}

TEST(Hardening, ArgumentsAreThoseOfBoth) {
  using hardening::Kind;
  const Table table = *decide_hardening({}, input({row(Kind::kArgument, "pti", "on"), row(Kind::kArgument, "slab_nomerge", ""), row(Kind::kArgument, "nopti", "absent"),
                                                   row(Kind::kArgument, "cfi", "kcfi", State::kWaived, kWhy)}));
  EXPECT_EQ(*merge_arguments({"console=tty0", "quiet"}, table), (std::vector<std::string>{"console=tty0", "quiet", "pti=on", "slab_nomerge"}));
  EXPECT_EQ(*merge_arguments({"pti=on"}, table), (std::vector<std::string>{"pti=on", "slab_nomerge"}));
  EXPECT_TRUE(merge_arguments({"cfi=off"}, table).ok()) << "waived";
  for (const char* word : {"pti=off", "quiet pti=off", "pti", "nopti"}) {
    const auto merged = merge_arguments({word}, table);
    ASSERT_FALSE(merged.ok()) << word;
    EXPECT_NE(merged.error().message().find("contradicts the hardening table"), std::string::npos);
  }
  EXPECT_FALSE(merge_arguments({std::string(kMaxArguments, 'a')}, table).ok());
}

// The mounts that PID 1 makes have the options that the table says, each its own.
TEST(Hardening, MountsOfPid1AreThoseOfTheTable) {
  const Table table = *decide_hardening({}, product());
  const std::pair<std::string_view, unsigned long> options[] = {{"ro", MS_RDONLY}, {"nosuid", MS_NOSUID}, {"nodev", MS_NODEV}, {"noexec", MS_NOEXEC}};
  std::set<std::string> made = {"/"};
  for (const auto rows : {boot::first_mounts(), boot::root_mounts()}) {
    for (const boot::EarlyMount& mount : rows) {
      const Row* asked = hardening::mount_row(table, mount.target);
      ASSERT_NE(asked, nullptr) << mount.target;
      made.insert(asked->name);
      const auto words = split(asked->value, ',');
      for (const auto& [word, flag] : options)
        EXPECT_EQ((mount.flags & flag) != 0, std::ranges::contains(words, word)) << mount.target << " " << word << " (row " << asked->name << ")";
    }
  }
  for (const Row& one : table.rows) {
    if (one.kind == hardening::Kind::kMount && one.applied && one.need == Row::Need::kRequired) EXPECT_TRUE(made.contains(one.name)) << one.name << " is mounted by nobody";
  }
}

TEST(Hardening, TheSpecReadsWaivers) {
  const std::string text = "image { version = \"1\" }\nkernel { package = \"k\" }\nboot { init = \"/i\" }\nhardening {\n  waive \"argument pti\" { reason = \"old processors\" }\n}\n";
  const auto spec = parse_spec(text, "a.hcl", {});
  ASSERT_TRUE(spec.ok()) << spec.error().message();
  EXPECT_EQ(spec->waivers.at(0).row, "argument pti");
  const auto without = parse_spec("image { version = \"1\" }\nkernel { package = \"k\" }\nboot { init = \"/i\" }\nhardening {\n  waive \"argument pti\" {}\n}\n", "a.hcl", {});
  ASSERT_FALSE(without.ok());
  EXPECT_NE(without.error().message().find("why this image does without"), std::string::npos) << without.error().message();
}

}  // namespace
}  // namespace steppe::spec
