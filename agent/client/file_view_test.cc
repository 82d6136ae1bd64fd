#include "agent/client/file_view.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/client/exec_frames.h"
#include "agent/client/template_render.h"
#include "agent/client/usage.h"
#include "agent/schema/stats.pb.h"
#include "init/io/epoll_loop.h"
#include "init/io/scope.h"

namespace steppe::client {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

TEST(LogPosition, Table) {
  std::map<uint64_t, uint64_t> sizes{{3, 100}, {4, 50}, {5, 10}};
  struct Case { uint64_t offset; Origin origin; LogPosition at; };
  const Case cases[] = {
      {0, Origin::kStart, {3, 0}},  {99, Origin::kStart, {3, 99}}, {100, Origin::kStart, {4, 0}},
      {155, Origin::kStart, {5, 5}}, {1000, Origin::kStart, {5, 10}}, {0, Origin::kEnd, {5, 10}},
      {10, Origin::kEnd, {5, 0}},   {11, Origin::kEnd, {4, 49}},   {1000, Origin::kEnd, {3, 0}},
  };
  for (const Case& c : cases) EXPECT_EQ(find_log_position(sizes, c.offset, c.origin), c.at) << c.offset;
  EXPECT_EQ(find_log_position({}, 5, Origin::kStart), (LogPosition{}));
}

TEST(FileMode, AsGoShowsIt) {
  using T = kernel::FileType;
  EXPECT_EQ(go_file_mode(T::kFile, 0644), "-rw-r--r--");
  EXPECT_EQ(go_file_mode(T::kDirectory, 0777), "drwxrwxrwx");
  EXPECT_EQ(go_file_mode(T::kDirectory, 01777), "dtrwxrwxrwx");
  EXPECT_EQ(go_file_mode(T::kSymlink, 0777), "Lrwxrwxrwx");
}

struct Collect final : FrameSink {
  std::string text;
  std::vector<std::string> events, files;
  int heartbeats = 0;
  std::function<void()> after;
  io::Task<Result<>> put(FileFrame frame) override {
    if (frame.data.empty() && frame.event.empty()) ++heartbeats;
    text += frame.data;
    if (!frame.event.empty()) events.push_back(frame.event);
    if (!frame.file.empty() && (files.empty() || files.back() != frame.file)) files.push_back(frame.file);
    if (after && !frame.data.empty()) after();
    co_return Result<>();
  }
};

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = *io::EpollLoop::create(2);
    char name[] = "/tmp/steppe-files-XXXXXX";
    base_ = ::mkdtemp(name);
    for (const char* dir : {"/a/alloc/logs", "/a/web/local", "/a/web/secrets", "/a/web/private"}) fs::create_directories(base_ + dir);
    put("../outside", "host");
    put("web/secrets/token", "s3cret");
    tree_ = std::make_unique<kernel::Beneath>(*kernel::Beneath::at(base_ + "/a", kernel::Beneath::Links::kFollow));
  }
  void TearDown() override { fs::remove_all(base_); }
  void put(const std::string& path, const std::string& text) { std::ofstream(base_ + "/a/" + path, std::ios::app) << text; }
  Result<> run(io::Task<Result<>> task) {
    Result<> out;
    io::start_root(*loop_, store(std::move(task), out), [this] { loop_->stop(); });
    loop_->run();
    return out;
  }
  static io::Task<void> store(io::Task<Result<>> task, Result<>& out) { out = co_await std::move(task); }
  io::Deadline soon() { return io::Deadline::in(*loop_, 10s); }

  std::unique_ptr<io::EpollLoop> loop_;
  std::string base_;
  std::unique_ptr<kernel::Beneath> tree_;
};

TEST_F(FilesTest, SecretsAndTheHostAreOutOfReach) {
  put("web/local/app.log", "fine");
  ASSERT_EQ(::symlink("../secrets/token", (base_ + "/a/web/local/sly").c_str()), 0);
  ASSERT_EQ(::symlink("../secrets", (base_ + "/a/web/local/slydir").c_str()), 0);
  ASSERT_EQ(::symlink((base_ + "/outside").c_str(), (base_ + "/a/web/local/abs").c_str()), 0);
  ASSERT_EQ(::symlink("../../../outside", (base_ + "/a/web/local/up").c_str()), 0);
  ASSERT_EQ(::symlink("/proc/self/root/etc/passwd", (base_ + "/a/web/local/magic").c_str()), 0);
  ASSERT_EQ(::mkfifo((base_ + "/a/web/local/fifo").c_str(), 0666), 0);
  EXPECT_TRUE(open_alloc_file(*tree_, "/web/local/app.log").ok());
  for (const char* path : {"web/secrets/token", "/web//secrets/token", "web/./secrets/token", "web/private", "web/local/sly", "web/local/slydir/token",
                           "web/local/../secrets/token", "web/local/abs", "web/local/up", "web/local/magic", "../outside", "web/local/fifo", "web/local"}) {
    EXPECT_FALSE(open_alloc_file(*tree_, path).ok()) << path;
  }
  schema::AllocFileInfo info;
  ASSERT_TRUE(describe_file(*tree_, "/web/local/fifo", info).ok());
  EXPECT_EQ(info.file_mode().substr(0, 1), "p");
}

TEST_F(FilesTest, ReadsRangesFromEitherEnd) {
  put("web/local/f", "0123456789");
  struct Case { StreamRequest request; const char* text; };
  const Case cases[] = {{{0, Origin::kStart, Follow::kNo}, "0123456789"},
                        {{4, Origin::kStart, Follow::kNo, 3}, "456"},
                        {{3, Origin::kEnd, Follow::kNo}, "789"},
                        {{99, Origin::kStart, Follow::kNo}, ""},
                        {{99, Origin::kEnd, Follow::kNo}, "0123456789"}};
  for (const Case& c : cases) {
    Collect sink;
    Result<> done = run(stream_file(*loop_, *tree_, "web/local/f", c.request, {}, sink, soon()));
    ASSERT_TRUE(done.ok()) << done.error().message();
    EXPECT_EQ(sink.text, c.text);
  }
}

TEST_F(FilesTest, FollowSeesGrowthAndDeletion) {
  put("web/local/f", "one ");
  Collect sink;
  int step = 0;
  sink.after = [&] {
    if (++step == 1) put("web/local/f", "two ");
    if (step == 2) fs::remove(base_ + "/a/web/local/f");
  };
  Result<> done = run(stream_file(*loop_, *tree_, "web/local/f", {0, Origin::kStart, Follow::kYes}, {}, sink, soon()));
  ASSERT_TRUE(done.ok()) << done.error().message();
  EXPECT_EQ(sink.text, "one two ");
  EXPECT_EQ(sink.events, std::vector<std::string>{"file deleted"});
}

TEST_F(FilesTest, LogsAcrossRotationInOrderAndEndWithTheTask) {
  put("alloc/logs/web.stdout.0", "a0 ");
  put("alloc/logs/web.stdout.1", "a1 ");
  put("alloc/logs/web.stderr.0", "not this");
  put("alloc/logs/web.stdout.x", "nor this");
  Collect sink;
  bool dead = false;
  int step = 0;
  sink.after = [&] {
    ++step;
    if (step == 2) {  // the live file grows and is rotated at once: nothing may be lost
      put("alloc/logs/web.stdout.1", "a1 more ");
      put("alloc/logs/web.stdout.2", "a2 ");
    }
    if (step == 4) {
      put("alloc/logs/web.stdout.10", "a10 ");
      dead = true;
    }
  };
  Result<> done = run(stream_logs(*loop_, *tree_, "web", "stdout", {0, Origin::kStart, Follow::kYes}, [&] { return dead; }, sink, soon()));
  ASSERT_TRUE(done.ok()) << done.error().message();
  EXPECT_EQ(sink.text, "a0 a1 a1 more a2 a10 ");
  EXPECT_EQ(sink.files, (std::vector<std::string>{"web.stdout.0", "web.stdout.1", "web.stdout.2", "web.stdout.10"}));
}

TEST_F(FilesTest, LogsWithoutFollowEndAtTheEnd) {
  for (int i = 0; i < 3; ++i) put("alloc/logs/web.stdout." + std::to_string(i), std::string(70000, static_cast<char>('a' + i)));
  Collect sink;
  ASSERT_TRUE(run(stream_logs(*loop_, *tree_, "web", "stdout", {5, Origin::kEnd, Follow::kNo}, [] { return false; }, sink, soon())).ok());
  EXPECT_EQ(sink.text, "ccccc");
  Collect all;
  ASSERT_TRUE(run(stream_logs(*loop_, *tree_, "web", "stdout", {0, Origin::kStart, Follow::kNo}, [] { return false; }, all, soon())).ok());
  EXPECT_EQ(all.text.size(), 210000u);
}

TEST(ExecFrames, ReadAndWrite) {
  auto in = parse_exec_input(R"({"stdin":{"data":"aGk=","close":true}})");
  ASSERT_TRUE(in.ok()) << in.error().message();
  EXPECT_EQ(in->stdin_data, "hi");
  EXPECT_TRUE(in->stdin_close);
  in = parse_exec_input(R"({"tty_size":{"height":40,"width":100},"other":[1,{"x":2}]})");
  ASSERT_TRUE(in.ok()) << in.error().message();
  EXPECT_EQ(in->tty_size->rows, 40);
  EXPECT_EQ(in->tty_size->columns, 100);
  EXPECT_TRUE(parse_exec_input("{}").ok());
  for (const char* bad : {"", "[]", "{\"stdin\":3}", "{\"stdin\":{\"data\":\"!\"}}", "{"}) EXPECT_FALSE(parse_exec_input(bad).ok()) << bad;
  EXPECT_EQ(exec_output(ExecStream::kStderr, "hi"), R"({"stderr":{"data":"aGk="}})");
  EXPECT_EQ(exec_exited(0), R"({"exited":true,"result":{}})");
  EXPECT_EQ(exec_exited(3), R"({"exited":true,"result":{"exit_code":3}})");
}

TEST(EnvFile, Table) {
  auto env = parse_env_file("# c\nA=1\nexport B=\"x \\\"y\\\"\\n\"\nC='$raw'\nD=a b # note\nE=\n\n");
  ASSERT_TRUE(env.ok()) << env.error().message();
  EXPECT_EQ((*env), (EnvMap{{"A", "1"}, {"B", "x \"y\"\n"}, {"C", "$raw"}, {"D", "a b"}, {"E", ""}}));
  for (const char* bad : {"novalue", "=x", "A=\"open"}) {
    auto failed = parse_env_file(std::string("OK=1\n") + bad);
    ASSERT_FALSE(failed.ok()) << bad;
    EXPECT_NE(failed.error().message().find("line 2"), std::string::npos);
  }
}

TEST(HostStats, RatesBetweenTwoLooks) {
  HostSample first{"MemTotal: 1000 kB\nMemAvailable: 600 kB\nMemFree: 100 kB\n", "cpu 100 0 100 800 0 0 0 0\ncpu0 100 0 100 800 0 0 0 0\n", "55.3 1\n", {0}};
  HostSample second = first;
  second.stat = "cpu 150 0 150 900 0 0 0 0\ncpu0 150 0 150 900 0 0 0 0\n";
  schema::HostStats out;
  host_stats(second, first, 2000, out);
  EXPECT_EQ(out.memory().total(), 1000u << 10);
  EXPECT_EQ(out.memory().used(), 400u << 10);
  EXPECT_EQ(out.uptime(), 55u);
  ASSERT_EQ(out.cpu_size(), 1);
  EXPECT_DOUBLE_EQ(out.cpu(0).idle(), 50);
  EXPECT_DOUBLE_EQ(out.cpu(0).user(), 25);
  EXPECT_DOUBLE_EQ(out.cpu_ticks_consumed(), 1000);
  schema::HostStats garbage;
  host_stats({"\xff", "cpu x y z\ncpu", "", {0}}, std::nullopt, 0, garbage);
}

}  // namespace
}  // namespace steppe::client
