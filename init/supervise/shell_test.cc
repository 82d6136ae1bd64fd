#include "init/supervise/shell.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "init/control/ask.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::supervise {
namespace {

using namespace std::chrono_literals;

class FakeMachine : public Machine {
 public:
  void feed_watchdog() override { ++fed; }
  void force_end(MonoTime, Ending) override { ++forced; }
  void end(Ending ending) override {
    ended = ending;
    shell->stop();
  }
  void turned(MonoTime) override {
    if (on_turn) on_turn();
  }
  void signal_all(int signal) override { signals.push_back(signal); }
  bool any_process() override { return false; }

  Shell* shell = nullptr;
  std::function<void()> on_turn;
  int fed = 0, forced = 0;
  std::optional<Ending> ended;
  std::vector<int> signals;
};

class ShellTest : public testing::Test {
 protected:
  ShellTest() {
    char name[] = "/tmp/steppe-shell-XXXXXX";
    directory_ = ::mkdtemp(name);
    options_.notify_path = directory_ + "/run/notify";
    ::sigprocmask(SIG_SETMASK, nullptr, &before_);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  ~ShellTest() override {
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
    std::filesystem::remove_all(directory_);
  }

  void add(const std::string& name, const std::string& script, ServiceRules rules = {.start_limit = 1h, .stop_limit = 1h}) {
    ServiceProgram service{name, rules, {}};
    service.start.argv = {"/bin/sh", "-c", script};
    service.start.env = {"PATH=/usr/bin:/bin", "OUT=" + directory_};
    options_.services.push_back(std::move(service));
  }
  void run(const std::function<void(Shell&)>& on_turn) {
    Shell shell(std::move(options_), machine_, log_);
    machine_.shell = &shell;
    machine_.on_turn = [&] { on_turn(shell); };
    ASSERT_TRUE(shell.open().ok());
    shell.run();
    machine_.on_turn = nullptr;
  }
  std::string file(const std::string& name) {
    auto text = kernel::read_host_file(directory_ + "/" + name);
    return text.ok() ? *text : "";
  }

  std::string directory_;
  ShellOptions options_;
  FakeMachine machine_;
  boot::KernelLog log_;
  sigset_t before_;
};

TEST_F(ShellTest, crashes_are_counted_and_started_again) {
  options_.rules.backoff_cap = 1ms;
  options_.rules.backoff_first = 1ms;
  add("crash", "echo x >>$OUT/starts; exit 3");
  run([&](Shell& shell) {
    if (shell.supervisor().crashes(0) >= 20) shell.stop();
  });
  EXPECT_GE(file("starts").size(), 40u);
}

TEST_F(ShellTest, a_child_begins_with_a_clean_state) {
  // Blocked and ignored signals, descriptors and limits of this process must not be the child's.
  ::signal(SIGPIPE, SIG_IGN);
  int leak = ::dup(0);
  options_.rules.backoff_first = options_.rules.backoff_cap = 1h;
  add("clean",
      "grep -E '^Sig(Blk|Ign)' /proc/self/status >$OUT/signals; ls /proc/self/fd >$OUT/fds; ulimit -n >$OUT/files; umask >$OUT/umask; pwd >$OUT/pwd;"
      "cat /proc/self/oom_score_adj >$OUT/oom; cut -d' ' -f6 /proc/$$/stat >$OUT/session; echo $$ >$OUT/pid; exit 0");
  run([&](Shell& shell) {
    if (shell.supervisor().crashes(0) >= 1) shell.stop();
  });
  ::signal(SIGPIPE, SIG_DFL);
  ::close(leak);
  EXPECT_EQ(file("signals"), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  EXPECT_EQ(file("fds"), "0\n1\n2\n3\n") << "3 is ls's own";
  EXPECT_EQ(file("files"), "1024\n");
  EXPECT_EQ(file("umask"), "0022\n");
  EXPECT_EQ(file("pwd"), "/\n");
  EXPECT_EQ(file("oom"), "0\n");
  EXPECT_EQ(file("session"), file("pid")) << "a session of its own";
}

// A program in this test's own file would need a second binary; the shell's own `exec` keeps the main process's number.
constexpr const char* kNotify =
    "command -v python3 >/dev/null || exit 9; exec python3 -c 'import os,socket,time\n"
    "s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\n"
    "s.connect(os.environ[\"NOTIFY_SOCKET\"])\n";

TEST_F(ShellTest, only_the_main_process_speaks_and_its_last_words_are_heard) {
  options_.rules.backoff_first = options_.rules.backoff_cap = 1h;
  add("speaker", std::string(kNotify) +
                     "p=os.fork()\n"
                     "if p==0:\n s.send(b\"STATUS=forged\\nREADY=1\")\n os._exit(0)\n"
                     "os.waitpid(p,0)\n"
                     "s.send(b\"STATUS=genuine\\nMAINPID=1\")\n"
                     "os._exit(0)'");
  run([&](Shell& shell) {
    EXPECT_NE(shell.status(0), "forged");
    if (shell.supervisor().crashes(0) >= 1) {
      EXPECT_EQ(shell.status(0), "genuine") << "said right before its end";
      shell.stop();
    }
  });
}

TEST_F(ShellTest, stored_descriptors_come_back_at_the_next_start) {
  options_.rules.backoff_first = options_.rules.backoff_cap = 1ms;
  add("keeper", std::string(kNotify) +
                    "o=os.environ[\"OUT\"]\n"
                    "n=os.environ.get(\"LISTEN_FDS\")\n"
                    "if n is None:\n"
                    " r,w=os.pipe()\n os.write(w,b\"kept\")\n"
                    " for i in range(20): socket.send_fds(s,[b\"FDSTORE=1\\nFDNAME=pipe\"],[r])\n"
                    "else:\n"
                    " open(o+\"/got\",\"w\").write(n+\" \"+os.environ[\"LISTEN_FDNAMES\"].split(\":\")[0]+\" \"+os.read(3,4).decode()+\" \"+str(os.environ[\"LISTEN_PID\"]==str(os.getpid())))\n"
                    "'");
  run([&](Shell& shell) {
    if (shell.supervisor().crashes(0) >= 2) shell.stop();
  });
  EXPECT_EQ(file("got"), "16 pipe kept True") << "twenty were offered";
}

TEST_F(ShellTest, shutdown_runs_its_steps_as_children) {
  add("first", "exec sleep 1000");
  add("second", "trap 'while [ ! -e $OUT/recorded ]; do sleep 0.05; done; echo second >>$OUT/stopped; exit 0' TERM; touch $OUT/up; while :; do sleep 0.05; done");
  options_.services[0].rules.start_limit = 1ms;
  options_.rules.backoff_cap = 1ms;
  options_.rules.terminate_limit = options_.rules.kill_limit = 1ms;
  auto step = [&](const std::string& name) {
    ProcessStart start;
    start.argv = {"/bin/sh", "-c", "echo " + name + " >>" + directory_ + "/stopped"};
    return start;
  };
  options_.record.argv = {"/bin/sh", "-c", "echo \"$1|$2|$3|$4\" >" + directory_ + "/recorded.new && mv " + directory_ + "/recorded.new " + directory_ + "/recorded", "record"};
  options_.record.env = {"PATH=/usr/bin:/bin"};
  options_.drain = step("drain");
  options_.unmount = step("unmount");
  options_.sync = step("sync");
  bool asked = false;
  run([&](Shell&) {
    if (asked || file("up").size() == std::string::npos || !std::filesystem::exists(directory_ + "/up")) return;
    asked = true;
    ::kill(::getpid(), SIGTERM);
  });
  EXPECT_EQ(machine_.ended, Ending::kPowerOff);
  EXPECT_EQ(machine_.forced, 1);
  EXPECT_EQ(file("stopped"), "drain\nsecond\nunmount\nsync\n");
  EXPECT_EQ(file("recorded"), "power-off|1|asked for|\n");
  ASSERT_FALSE(machine_.signals.empty());
  EXPECT_EQ(machine_.signals[0], SIGTERM);
}

TEST_F(ShellTest, what_runs_is_told_and_the_end_is_taken_from_whoever_asks) {
  options_.control_path = directory_ + "/run/control";
  options_.rules.backoff_first = options_.rules.backoff_cap = 1h;
  options_.rules.drain_limit = options_.rules.terminate_limit = options_.rules.kill_limit = 1ms;
  add("broken", "exit 3");
  add("stays", "exec sleep 1000");
  control::Reply before, after;
  std::thread asker;
  run([&](Shell& shell) {
    if (asker.joinable() || shell.supervisor().crashes(0) == 0) return;
    asker = std::thread([&] {
      before = control::ask({.verb = control::Verb::kState}, 60s, directory_ + "/run/control").value();
      EXPECT_TRUE(control::ask({.verb = control::Verb::kTrial}, 60s, directory_ + "/run/control").ok());
      after = control::ask({.verb = control::Verb::kState}, 60s, directory_ + "/run/control").value();
      EXPECT_TRUE(control::ask({control::Verb::kEnd, control::Ending::kPowerOff, std::string_view("test")}, 60s, directory_ + "/run/control").ok());
    });
  });
  asker.join();
  EXPECT_EQ(machine_.ended, Ending::kPowerOff);
  ASSERT_EQ(before.count, 2);
  EXPECT_EQ(before.services[0].name.view(), "broken");
  EXPECT_EQ(before.services[0].state, control::ServiceState::kBackoff);
  EXPECT_EQ(before.services[0].crashes, 1u);
  EXPECT_EQ(before.services[0].last_end.view(), "exited with 3");
  EXPECT_EQ(before.services[0].pid, 0);
  EXPECT_EQ(before.services[1].state, control::ServiceState::kStarting);
  EXPECT_GT(before.services[1].pid, 0);
  EXPECT_FALSE(before.trial);
  EXPECT_TRUE(after.trial);
  EXPECT_GT(after.trial_left_s, 200);
}

TEST_F(ShellTest, orphans_are_reaped) {
  options_.rules.backoff_first = options_.rules.backoff_cap = 1h;
  add("orphans", "i=0; while [ $i -lt 200 ]; do (sleep 0 &) ; i=$((i+1)); done; exit 0");
  run([&](Shell& shell) {
    if (shell.supervisor().crashes(0) >= 1 && shell.reaped() >= 201) shell.stop();
  });
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

TEST(ProcessStart, what_cannot_be_executed_is_a_child_that_exits_with_127) {
  ProcessStart start;
  start.argv = {"/nonexistent/program"};
  auto started = start_process(start);
  ASSERT_TRUE(started.ok());
  int status = 0;
  ASSERT_EQ(::waitpid(started->pid, &status, 0), started->pid);
  EXPECT_EQ(WEXITSTATUS(status), 127);
  EXPECT_EQ(ending_text(127, 0), "exited with 127");
  EXPECT_EQ(ending_text(0, 9), "killed by signal 9");
}

}  // namespace
}  // namespace steppe::supervise
