#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "drivers/isolate/account.h"
#include "drivers/isolate/identity.h"
#include "drivers/isolate/plan_builder.h"
#include "drivers/isolate/system_filter.h"

namespace steppe::isolate {
namespace {

// Runs a filter as the kernel would (Documentation/networking/filter.rst): what seccomp's classic BPF uses.
uint32_t judge(const std::vector<sock_filter>& program, const seccomp_data& data) {
  uint32_t a = 0;
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const sock_filter& i = program[pc];
    uint32_t word = 0;
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&word, reinterpret_cast<const char*>(&data) + i.k, 4);
        a = word;
        break;
      case BPF_ALU | BPF_AND | BPF_K: a &= i.k; break;
      case BPF_JMP | BPF_JA: pc += i.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: pc += a == i.k ? i.jt : i.jf; break;
      case BPF_JMP | BPF_JGT | BPF_K: pc += a > i.k ? i.jt : i.jf; break;
      case BPF_JMP | BPF_JGE | BPF_K: pc += a >= i.k ? i.jt : i.jf; break;
      case BPF_RET | BPF_K: return i.k;
      default: ADD_FAILURE() << "instruction " << i.code; return 0;
    }
  }
  return 0;
}

uint32_t judge(const std::vector<sock_filter>& program, long call, std::initializer_list<uint64_t> arguments = {}, uint32_t arch = AUDIT_ARCH_X86_64) {
  seccomp_data data = {};
  data.nr = static_cast<int>(call);
  data.arch = arch;
  size_t n = 0;
  for (uint64_t argument : arguments) data.args[n++] = argument;
  return judge(program, data);
}

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t refused(int error) { return SECCOMP_RET_ERRNO | static_cast<uint32_t>(error); }

TEST(SystemFilter, table) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "the numbers here are x86-64's";
#endif
  auto program = build_system_filter(default_capabilities());
  ASSERT_TRUE(program.ok()) << program.error().message();
  EXPECT_LT(program->size(), 400u);
  struct Case {
    const char* name;
    long call;
    std::initializer_list<uint64_t> arguments;
    uint32_t verdict;
  };
  const Case cases[] = {
      {"read", SYS_read, {}, kAllow},
      {"execve", SYS_execve, {}, kAllow},
      {"ptrace of one's own", SYS_ptrace, {}, kAllow},
      {"fork", SYS_clone, {SIGCHLD}, kAllow},
      {"thread", SYS_clone, {0x3d0f00}, kAllow},
      {"user namespace by clone", SYS_clone, {0x10000000 | SIGCHLD}, refused(EPERM)},
      {"user namespace among others", SYS_unshare, {0x10020000}, refused(EPERM)},
      {"unshare files", SYS_unshare, {0x400}, kAllow},
      {"clone3", SYS_clone3, {}, refused(ENOSYS)},
      {"mount", SYS_mount, {}, refused(EPERM)},
      {"fsopen", SYS_fsopen, {}, refused(EPERM)},
      {"open_tree", SYS_open_tree, {}, refused(EPERM)},
      {"move_mount", SYS_move_mount, {}, refused(EPERM)},
      {"mount_setattr", SYS_mount_setattr, {}, refused(EPERM)},
      {"setns", SYS_setns, {}, refused(EPERM)},
      {"keyctl", SYS_keyctl, {}, refused(EPERM)},
      {"bpf", SYS_bpf, {}, refused(EPERM)},
      {"io_uring", SYS_io_uring_setup, {}, refused(ENOSYS)},
      {"userfaultfd", SYS_userfaultfd, {}, refused(EPERM)},
      {"open_by_handle_at", SYS_open_by_handle_at, {}, refused(EPERM)},
      {"kexec", SYS_kexec_file_load, {}, refused(EPERM)},
      {"clock", SYS_clock_settime, {}, refused(EPERM)},
      {"ioctl", SYS_ioctl, {0, TIOCGWINSZ}, kAllow},
      {"TIOCSTI", SYS_ioctl, {0, TIOCSTI}, refused(EPERM)},
      {"TIOCSTI with high bits, which the kernel cuts off", SYS_ioctl, {0, 0xdead00000000ull | TIOCSTI}, refused(EPERM)},
      {"TIOCLINUX", SYS_ioctl, {0, TIOCLINUX}, refused(EPERM)},
      {"personality", SYS_personality, {0}, kAllow},
      {"no randomisation", SYS_personality, {0x0040000}, refused(EPERM)},
      {"x32 number", SYS_read | 0x40000000, {}, refused(ENOSYS)},
  };
  for (const Case& c : cases) EXPECT_EQ(judge(*program, c.call, c.arguments), c.verdict) << c.name;
  EXPECT_EQ(judge(*program, 21, {}, AUDIT_ARCH_I386), refused(EPERM)) << "mount by its 32-bit number";
  EXPECT_EQ(judge(*program, 3, {}, AUDIT_ARCH_I386), kAllow) << "read by its 32-bit number";
  EXPECT_EQ(judge(*program, 0, {}, AUDIT_ARCH_AARCH64), refused(ENOSYS));
}

TEST(SystemFilter, a_capability_lifts_its_own_rules_only) {
  auto program = build_system_filter(default_capabilities() | *kernel::capability_from_name("sys_admin"));
  ASSERT_TRUE(program.ok());
  EXPECT_EQ(judge(*program, SYS_mount), kAllow);
  EXPECT_EQ(judge(*program, SYS_keyctl), refused(EPERM));
  EXPECT_EQ(judge(*program, SYS_io_uring_setup), refused(ENOSYS));
}

TEST(SystemFilter, every_group_has_a_reason) {
  for (const DeniedCalls& group : denied_calls()) {
    EXPECT_GT(std::string_view(group.reason).size(), 10u);
    EXPECT_FALSE(group.names.empty());
  }
}

TEST(Capabilities, sets) {
  auto all = default_capabilities() | *kernel::capability_from_name("net_raw");
  auto bit = [](const char* name) { return *kernel::capability_from_name(name); };
  EXPECT_EQ(*task_capabilities(all, {}, {}), default_capabilities()) << "allowed is not given";
  EXPECT_EQ(*task_capabilities(all, {"net_raw"}, {}), all);
  EXPECT_EQ(*task_capabilities(all, {}, {"CAP_CHOWN"}), default_capabilities() & ~bit("chown"));
  EXPECT_EQ(*task_capabilities(all, {"kill"}, {"all"}), bit("kill"));
  EXPECT_EQ(*task_capabilities(all, {"all"}, {}), all);
  EXPECT_EQ(task_capabilities(all, {"sys_admin"}, {}).error().code(), Code::kDenied);
  EXPECT_EQ(task_capabilities(all, {}, {"nonsense"}).error().code(), Code::kInvalid);
}

class Accounts : public ::testing::Test {
 protected:
  Accounts() {
    char name[] = "/tmp/steppe-accounts-XXXXXX";
    base_ = ::mkdtemp(name);
    std::ofstream(base_ + "/passwd") << "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/false\nbroken:x:abc:1::/:\nshort:x:1\nwrap:x:4294967296:0::/:\n";
    std::ofstream(base_ + "/group") << "root:x:0:\nwww:x:34:\naudio:x:29:web,other\nvideo:x:44:other,web\nodd:x:5:webx\n";
  }
  ~Accounts() override { std::filesystem::remove_all(base_); }
  Result<Account> resolve(std::string_view user) { return resolve_account(*kernel::Beneath::at(base_), user); }
  std::string base_;
};

TEST_F(Accounts, table) {
  auto web = resolve("web");
  ASSERT_TRUE(web.ok());
  EXPECT_EQ(web->uid, 33u);
  EXPECT_EQ(web->gid, 34u);
  EXPECT_EQ(web->groups, (std::vector<uint32_t>{29, 44}));
  EXPECT_EQ(resolve("web:audio")->gid, 29u);
  EXPECT_TRUE(resolve("web:audio")->groups.empty());
  EXPECT_EQ(resolve("33")->gid, 34u) << "a number finds its entry";
  EXPECT_EQ(resolve("777")->gid, 777u);
  EXPECT_EQ(resolve("1:2")->gid, 2u);
  EXPECT_EQ(resolve("nobody")->uid, 65534u) << "also without an entry";
  for (const char* bad : {"nosuch", "web:nosuch", "broken", "wrap", "short", "2147483647", "4294967295", "-1", "1:4294967296", "99999999999999999999"}) {
    auto result = resolve(bad);
    EXPECT_FALSE(result.ok()) << bad;
  }
  std::filesystem::remove(base_ + "/passwd");
  std::filesystem::create_symlink("/etc/passwd", base_ + "/passwd");
  EXPECT_FALSE(resolve("root").ok()) << "a link out of the task's /etc";
}

TEST_F(Accounts, a_cache_sees_what_changes) {
  AccountCache cache;
  auto etc = kernel::Beneath::at(base_);
  ASSERT_TRUE(etc.ok());
  EXPECT_EQ(cache.resolve(*etc, "web")->uid, 33u);
  EXPECT_EQ(cache.resolve(*etc, "web")->groups.size(), 2u);
  EXPECT_FALSE(cache.resolve(*etc, "nosuch").ok()) << "what fails is asked again";
  // As passwd's tools do it: another file under the name. Then the groups alone.
  std::ofstream(base_ + "/passwd.new") << "web:x:35:34:web:/var/www:/bin/false\nnosuch:x:36:34::/:\n";
  std::filesystem::rename(base_ + "/passwd.new", base_ + "/passwd");
  EXPECT_EQ(cache.resolve(*etc, "web")->uid, 35u);
  EXPECT_EQ(cache.resolve(*etc, "nosuch")->uid, 36u);
  std::ofstream(base_ + "/group") << "www:x:34:\n";
  EXPECT_TRUE(cache.resolve(*etc, "web")->groups.empty());
  std::filesystem::remove(base_ + "/passwd");
  EXPECT_FALSE(cache.resolve(*etc, "web").ok());
}

TEST(Ids, ranges) {
  EXPECT_TRUE(*id_is_listed("0,1000-2000", 1500));
  EXPECT_FALSE(*id_is_listed("0,1000-2000", 2001));
  EXPECT_FALSE(*id_is_listed("", 0));
  EXPECT_FALSE(id_is_listed("5-1", 3).ok());
  EXPECT_FALSE(id_is_listed("x", 3).ok());
}

TEST(Candidates, path) {
  EXPECT_EQ(command_candidates("/bin/x", {}), (std::vector<std::string>{"/bin/x"}));
  EXPECT_EQ(command_candidates("x", {"PATH=/a::/b"}), (std::vector<std::string>{"/a/x", "x", "/b/x"}));
  EXPECT_EQ(command_candidates("x", {}).size(), 6u);
}

PlanBuilder sample_plan() {
  PlanBuilder plan;
  plan.inherit(7);
  plan.inherit(5);
  plan.inherit(7);
  uint32_t text = plan.text("/tmp");
  plan.step(Op::kChdir, "enter /tmp").text = text;
  plan.step(Op::kExec, "execute true");
  plan.command({"/bin/true"}, {"true", ""}, {"A=1"});
  return plan;
}

TEST(Plan, builds_what_the_child_accepts) {
  PlanBuilder plan = sample_plan();
  EXPECT_EQ(plan.inherited(), (std::vector<int>{5, 7}));
  auto block = plan.build();
  ASSERT_TRUE(block.ok()) << block.error().message();
  Mapped mapped;
  ASSERT_EQ(check_plan(block->data(), block->size(), mapped), 0);
  auto** argv = reinterpret_cast<char**>(mapped.base + mapped.head->argv);
  EXPECT_STREQ(argv[0], "true");
  EXPECT_STREQ(argv[1], "");
  EXPECT_EQ(argv[2], nullptr);
  EXPECT_EQ(plan.explain(StepList::kChild, 0, ENOENT).message(), "enter /tmp: No such file or directory");
}

// Whatever is wrong with a block, the check refuses it or leaves every reference inside: walked here under ASan.
TEST(Plan, damage_never_leads_out_of_the_block) {
  std::string block = *sample_plan().build();
  int refused = 0;
  for (size_t at = 0; at + 4 <= block.size(); at += 4) {
    for (uint32_t value : {0u, 1u, 0xffffffffu, 0x7fffffffu, static_cast<uint32_t>(block.size()), static_cast<uint32_t>(block.size() - 1)}) {
      std::vector<char> copy(block.begin(), block.end());
      store_le(copy.data() + at, value);
      Mapped mapped;
      if (check_plan(copy.data(), copy.size(), mapped) != 0) {
        ++refused;
        continue;
      }
      for (auto** text = reinterpret_cast<char**>(mapped.base + mapped.head->argv); *text != nullptr; ++text) {
        ASSERT_LT(static_cast<size_t>(*text - copy.data()) + std::strlen(*text), copy.size());
      }
      auto* steps = reinterpret_cast<const Step*>(mapped.base + mapped.head->steps);
      for (uint32_t i = 0; i < mapped.head->step_count; ++i) ASSERT_LT(steps[i].text + std::strlen(mapped.text(steps[i].text)), copy.size());
    }
    std::vector<char> cut(block.begin(), block.begin() + static_cast<ptrdiff_t>(at));
    Mapped mapped;
    ASSERT_NE(check_plan(cut.data(), cut.size(), mapped), 0);
  }
  EXPECT_GT(refused, 20);
}

TEST(Plan, descriptors_get_the_receiver_s_numbers) {
  PlanBuilder plan = sample_plan();
  std::string block = *plan.build();
  Mapped mapped;
  ASSERT_EQ(check_plan(block.data(), block.size(), mapped), 0);
  int received[] = {21, 22};
  EXPECT_FALSE(renumber(mapped, received, 1)) << "one is missing";
  PlanBuilder complete;
  complete.head.record_fd = 5;
  complete.head.stdio_fd[1] = 9;
  complete.step(Op::kAttach, "attach").fd = 7;
  complete.step(Op::kMoveTree, "move").fd2 = 9;
  complete.step(Op::kAttach, "attach here").fd2 = -100;
  complete.step(Op::kExec, "execute");
  complete.command({"/bin/true"}, {"true"}, {});
  for (int fd : {5, 7, 9}) complete.inherit(fd);
  block = *complete.build();
  ASSERT_EQ(check_plan(block.data(), block.size(), mapped), 0);
  int three[] = {31, 32, 33};
  ASSERT_TRUE(renumber(mapped, three, 3));
  EXPECT_EQ(mapped.head->record_fd, 31);
  EXPECT_EQ(mapped.head->stdio_fd[1], 33);
  auto* steps = reinterpret_cast<const Step*>(mapped.base + mapped.head->steps);
  EXPECT_EQ(steps[0].fd, 32);
  EXPECT_EQ(steps[1].fd2, 33);
  EXPECT_EQ(steps[2].fd2, -100);
}

TEST(Plan, a_standby_has_a_prelude_only) {
  PlanBuilder plan;
  plan.head.standby = 1;
  plan.prelude(Op::kUnshare, "make namespaces").a = 0;
  ASSERT_TRUE(plan.build().ok());
  PlanBuilder wrong;
  wrong.head.standby = 1;
  wrong.step(Op::kSetsid, "make a session");
  EXPECT_FALSE(wrong.build().ok());
}

TEST(Plan, too_long) {
  PlanBuilder plan;
  plan.step(Op::kExec, "execute");
  plan.command({"/bin/true"}, {"true"}, {std::string(kMaxPlanSize, 'x')});
  EXPECT_EQ(plan.build().error().code(), Code::kExhausted);
}

}  // namespace
}  // namespace steppe::isolate
