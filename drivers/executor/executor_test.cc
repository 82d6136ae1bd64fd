#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <format>
#include <fstream>

#include "drivers/executor/connection.h"
#include "drivers/executor/host.h"
#include "drivers/executor/limits.h"
#include "drivers/executor/program/log_file.h"
#include "init/base/rng.h"
#include "init/sys/kernel/unix_socket.h"

namespace steppe::executor {
namespace {

namespace fs = std::filesystem;
using kernel::Fd;

struct TestClock : Clock {
  MonoTime now() const override { return {wall().unix_ns}; }
  WallTime wall() const override {
    timespec t;
    ::clock_gettime(CLOCK_REALTIME, &t);
    return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
  }
};

class Directory : public ::testing::Test {
 protected:
  Directory() {
    char name[] = "/tmp/steppe-executor-XXXXXX";
    base_ = ::mkdtemp(name);
  }
  ~Directory() override { fs::remove_all(base_); }
  std::string read(const std::string& name) {
    std::ifstream in(base_ + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string base_;
};

using Logs = Directory;

// Any stream in any pieces: the files joined are the stream, none is larger than the limit, and lines that came whole
// are whole in one file.
TEST_F(Logs, files_joined_are_the_stream) {
  SeededRng rng(7);
  for (int round = 0; round < 40; ++round) {
    std::string dir = base_ + "/" + std::to_string(round);
    fs::create_directory(dir);
    Fd fd(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    uint64_t limit = 16 + rng.below(200);
    LogFile log;
    ASSERT_EQ(log.open(fd.get(), "web.stdout.", 0, 100'000, limit), 0);
    std::string all;
    for (int i = 0; i < 200; ++i) {
      std::string piece(rng.below(40), 'x');
      for (char& c : piece) c = rng.chance(1, 8) ? '\n' : static_cast<char>('a' + rng.below(26));
      log.write(piece.data(), piece.size());
      all += piece;
    }
    log.close();
    std::string joined;
    for (uint32_t i = 0; i <= log.index(); ++i) {
      std::string text = read(std::format("{}/web.stdout.{}", round, i));
      ASSERT_LE(text.size(), limit);
      joined += text;
    }
    ASSERT_EQ(joined, all);
    EXPECT_EQ(log.lost(), 0u);
  }
}

TEST_F(Logs, whole_lines_stay_whole) {
  Fd fd(::open(base_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  LogFile log;
  ASSERT_EQ(log.open(fd.get(), "l.", 0, 100, 10), 0);
  log.write("aaaa\nbbbb\ncccc\n", 15);
  log.write("dddddd\n", 7);
  log.write("a line longer than a file\n", 26);
  log.close();
  EXPECT_EQ(read("l.0"), "aaaa\nbbbb\n");
  EXPECT_EQ(read("l.1"), "cccc\n");
  EXPECT_EQ(read("l.2"), "dddddd\n");
  EXPECT_EQ(read("l.3"), "a line lon");
}

std::string names(const std::string& directory) {
  std::vector<std::string> found;
  for (auto& entry : fs::directory_iterator(directory)) found.push_back(entry.path().filename().string());
  std::ranges::sort(found);
  std::string out;
  for (const std::string& name : found) out += name + " ";
  return out;
}

// A new file that cannot be made costs the lines that were for it; never the limit on how many there are.
TEST_F(Logs, no_more_files_than_asked_for_when_some_cannot_be_made) {
  Fd fd(::open(base_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  LogFile log;
  ASSERT_EQ(log.open(fd.get(), "l.", 0, 2, 4), 0);
  for (int i = 0; i < 3; ++i) log.write("abc\n", 4);
  EXPECT_EQ(names(base_), "l.1 l.2 ");
  struct rlimit before, none = {0, 0};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  none.rlim_max = before.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  for (int i = 0; i < 3; ++i) log.write("abc\n", 4);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(log.lost(), 12u);
  // A directory in the way of the next one.
  fs::create_directory(base_ + "/l.6");
  for (int i = 0; i < 3; ++i) log.write("abc\n", 4);
  EXPECT_EQ(names(base_), "l.6 l.8 l.9 ");
}

TEST_F(Logs, goes_on_and_survives_a_vanished_directory) {
  Fd fd(::open(base_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::ofstream(base_ + "/l.3") << "old\n";
  LogFile log;
  ASSERT_EQ(log.open(fd.get(), "l.", 3, 2, 8), 0);
  log.write("new\n", 4);
  EXPECT_EQ(read("l.3"), "old\nnew\n");
  fs::remove_all(base_);
  for (int i = 0; i < 5; ++i) log.write("lost\n", 5);
  EXPECT_GT(log.lost(), 0u) << "counted, and no loop without end";
}

TEST(Weight, table) {
  EXPECT_EQ(cpu_weight(0), 1);
  EXPECT_EQ(cpu_weight(2), 1);
  EXPECT_EQ(cpu_weight(1024), 39);
  EXPECT_EQ(cpu_weight(262'144), 10'000);
  EXPECT_EQ(cpu_weight(1'000'000), 10'000);
}

TEST(ProfileRecord, round_trip_and_safe_defaults) {
  Profile profile;
  profile.uid = 33;
  profile.groups = {1, 2};
  profile.bounding = 5;
  profile.work_dir = "/x";
  auto back = Profile::decode(as_bytes(profile.encode()));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->uid, 33u);
  EXPECT_EQ(back->groups, profile.groups);
  EXPECT_EQ(back->work_dir, "/x");
  std::string empty = frame::Builder(frame::kTaskProfile, 1).finish();
  auto bare = Profile::decode(as_bytes(empty));
  ASSERT_TRUE(bare.ok());
  EXPECT_TRUE(bare->filter && bare->no_new_privileges && bare->change_identity);
  EXPECT_EQ(bare->uid, 65534u);
}

class Running : public Directory {
 protected:
  std::unique_ptr<drivers::Task> start(const std::string& script) {
    std::string program = (fs::read_symlink("/proc/self/exe").parent_path() / "steppe-executor").string();
    auto host = Host::open({base_ + "/run", program, "", false}, clock_);
    EXPECT_TRUE(host.ok()) << host.error().message();
    host_ = *host;
    config_.id = "t";
    config_.task = "web";
    fs::create_directory(base_ + "/logs");
    config_.log_dir = Fd(::open((base_ + "/logs").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    Launch launch;
    launch.driver = "test";
    launch.config = &config_;
    launch.limit_resources = false;
    launch.plan.step(isolate::Op::kSetsid, "make a session");
    launch.plan.step(isolate::Op::kExec, "execute sh");
    launch.plan.command({"/bin/sh"}, {"sh", "-c", script}, {"PATH=/bin:/usr/bin"});
    auto task = executor::start(host_, std::move(launch));
    EXPECT_TRUE(task.ok()) << task.error().message();
    return task.ok() ? std::move(*task) : nullptr;
  }
  TestClock clock_;
  std::shared_ptr<const Host> host_;
  drivers::TaskConfig config_;
};

// Nothing that arrives on the control socket ends the executor or the task, or starves the real agent.
TEST_F(Running, hostile_peers_on_the_control_socket) {
  auto task = start("exec sleep 1000");
  ASSERT_NE(task, nullptr);
  auto directory = host_->run_dir().sub("t");
  std::string good = frame::Builder(frame::kExecutorRequest, 1).integer(kVerb, static_cast<int64_t>(Verb::kStatus)).finish();
  SeededRng rng(11);
  int answered = 0;
  for (int i = 0; i < 300; ++i) {
    auto socket = kernel::connect_packets(directory->fd(), "control");
    ASSERT_TRUE(socket.ok()) << socket.error().message();
    std::string packet = good;
    switch (i % 5) {
      case 0: packet[rng.below(packet.size())] ^= static_cast<char>(1 + rng.below(255)); break;
      case 1: packet.resize(rng.below(packet.size())); break;
      case 2: packet.assign(1 + rng.below(8000), 'x'); break;
      case 3: packet = frame::Builder(frame::kExecutorRequest, 1).integer(kVerb, 77).integer(kSignalNumber, -1).finish(); break;
      default: packet = frame::Builder(frame::kExecutorRequest, 1).integer(kVerb, 3).integer(kSignalNumber, 15).integer(kGraceMs, -1).finish(); break;
    }
    (void)::send(socket->get(), packet.data(), packet.size(), MSG_NOSIGNAL);
    if (i % 3 != 0) continue;
    Connection connection(std::move(*socket));
    auto reply = connection.receive(std::chrono::seconds(10));
    if (reply.ok()) answered += reply->error != 0;
  }
  EXPECT_GT(answered, 50);
  EXPECT_EQ(task->reap().error().code(), Code::kUnavailable) << "still running";
  ASSERT_TRUE(task->kill().ok());
  pollfd one = {task->wait_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&one, 1, 20'000), 1);
  EXPECT_EQ(task->reap()->signal, SIGKILL);
  ASSERT_TRUE(task->destroy().ok());
}

TEST_F(Running, a_damaged_record_is_said_to_be_one) {
  auto task = start("exit 3");
  ASSERT_NE(task, nullptr);
  pollfd one = {task->wait_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&one, 1, 20'000), 1);
  EXPECT_EQ(task->reap()->code, 3);
  Fd record(::open((base_ + "/run/t/exit").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::pwrite(record.get(), "\xff", 1, 20), 1);
  auto again = recover_attempt(host_, "test", "t");
  ASSERT_TRUE(again.ok());
  auto result = (*again)->reap();
  ASSERT_TRUE(result.ok());
  EXPECT_NE(result->error, "");
  EXPECT_FALSE(result->success());
  EXPECT_FALSE(recover_attempt(host_, "other", "t").ok()) << "another driver's task";
  ASSERT_TRUE((*again)->destroy().ok());
}

TEST_F(Running, a_disk_that_fills_loses_no_exit_code) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  std::string run = base_ + "/run";
  fs::create_directories(run);
  ASSERT_EQ(::mount("tmpfs", run.c_str(), "tmpfs", 0, "size=256k,mode=700"), 0) << std::strerror(errno);
  auto task = start("exec sleep 1000");
  if (task != nullptr) {
    std::ofstream filler(run + "/filler", std::ios::binary);
    filler << std::string(1 << 20, 'x') << std::flush;
    EXPECT_FALSE(filler.good()) << "it is full";
    ASSERT_TRUE(task->signal(SIGTERM).ok());
    pollfd one = {task->wait_fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&one, 1, 20'000), 1);
    auto result = task->reap();
    EXPECT_TRUE(result.ok() && result->error.empty()) << (result.ok() ? result->error : result.error().message());
    EXPECT_EQ(result->signal, SIGTERM);
    // No room for another: said at once, and nothing of it is left.
    host_.reset();
    std::string program = (fs::read_symlink("/proc/self/exe").parent_path() / "steppe-executor").string();
    auto host = Host::open({run, program, "", false}, clock_);
    ASSERT_TRUE(host.ok());
    Launch launch;
    launch.driver = "test";
    config_.id = "second";
    launch.config = &config_;
    launch.limit_resources = false;
    launch.plan.step(isolate::Op::kExec, "execute true");
    launch.plan.command({"/bin/true"}, {"true"}, {});
    auto second = executor::start(*host, std::move(launch));
    ASSERT_FALSE(second.ok());
    EXPECT_NE(second.error().message().find("No space left on device"), std::string::npos) << second.error().message();
    EXPECT_FALSE(fs::exists(run + "/second"));
    ASSERT_TRUE(task->destroy().ok());
  }
  EXPECT_EQ(::umount2(run.c_str(), MNT_DETACH), 0);
}

TEST_F(Running, an_earlier_deadline_wins) {
  auto task = start("trap '' TERM; echo ready; while :; do sleep 0.05; done");
  ASSERT_NE(task, nullptr);
  while (read("logs/web.stdout.0").empty()) ::sched_yield();
  ASSERT_TRUE(task->stop(SIGTERM, std::chrono::hours(1)).ok());
  ASSERT_TRUE(task->stop(SIGTERM, std::chrono::milliseconds(50)).ok());
  ASSERT_TRUE(task->stop(SIGTERM, std::chrono::hours(1)).ok()) << "does not lengthen it";
  pollfd one = {task->wait_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&one, 1, 20'000), 1);
  EXPECT_EQ(task->reap()->signal, SIGKILL);
  ASSERT_TRUE(task->destroy().ok());
}

}  // namespace
}  // namespace steppe::executor
