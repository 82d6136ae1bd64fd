#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <format>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "init/io/child.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_child.h"
#include "init/io/posix_disk.h"
#include "init/io/posix_net.h"
#include "init/io/scope.h"
#include "init/io/wait.h"

namespace steppe::io {
namespace {

using namespace std::chrono_literals;

class IoTest : public ::testing::Test {
 protected:
  IoTest() : loop_(EpollLoop::create(2).value()) {
    char name[] = "/tmp/steppe-io-XXXXXX";
    dir_ = mkdtemp(name);
  }
  ~IoTest() override { std::filesystem::remove_all(dir_); }

  // Runs the task on the loop in this thread.
  void run(Task<void> task) {
    bool finished = false;
    start_root(*loop_, std::move(task), [&] {
      finished = true;
      loop_->stop();
    });
    loop_->run();
    EXPECT_TRUE(finished);
  }

  std::unique_ptr<EpollLoop> loop_;
  std::string dir_;
};

Task<Result<int>> answer(int value) { co_return value; }
Task<Result<int>> deep(int n) {
  if (n == 0) co_return 0;
  STEPPE_CO_TRY(const int below, co_await deep(n - 1));
  co_return below + 1;
}

Task<void> check_values() {
  EXPECT_EQ((co_await answer(7)).value(), 7);
  EXPECT_EQ((co_await deep(20000)).value(), 20000);
}
TEST_F(IoTest, TasksReturnValuesThroughDeepChains) { run(check_values()); }

Task<void> append(Loop& loop, Duration delay, int value, std::vector<int>& out) {
  static_cast<void>(co_await sleep_for(loop, delay, {}));
  out.push_back(value);
}
Task<void> check_order(Loop& loop) {
  std::vector<int> out;
  Scope scope(loop);
  scope.spawn(append(loop, 20ms, 2, out));
  scope.spawn(append(loop, 1ms, 1, out));
  scope.spawn(append(loop, 40ms, 3, out));
  co_await scope.join();
  EXPECT_EQ(out, (std::vector{1, 2, 3}));
}
TEST_F(IoTest, TimersFireInOrderAndScopesJoin) { run(check_order(*loop_)); }

Task<void> wait_for(Event& event, Deadline deadline, std::vector<Code>& out) {
  Result<> result = co_await event.wait(std::move(deadline));
  out.push_back(result.ok() ? Code::kExists : result.error().code());
}
Task<void> check_deadlines(Loop& loop) {
  std::vector<Code> out;
  Event event(loop);
  Scope scope(loop);
  scope.spawn(wait_for(event, Deadline::in(loop, 1ms), out));
  co_await scope.join();
  scope.spawn(wait_for(event, {loop.now() + 1h, scope.token()}, out));
  co_await yield(loop);
  co_await yield(loop);
  scope.request_stop();
  co_await scope.join();
  Scope other(loop);
  other.spawn(wait_for(event, {}, out));
  co_await yield(loop);
  event.set();
  co_await other.join();
  EXPECT_EQ(out, (std::vector{Code::kTimeout, Code::kCancelled, Code::kExists}));
}
TEST_F(IoTest, AWaitEndsByEventDeadlineOrStop) { run(check_deadlines(*loop_)); }

Task<void> hold(Permits& permits, Event& go, int value, Deadline deadline, std::vector<int>& out) {
  auto held = co_await permits.take(std::move(deadline));
  out.push_back(held.ok() ? value : -value);
  if (held.ok()) static_cast<void>(co_await go.wait());
}
Task<void> check_permits(Loop& loop) {
  std::vector<int> out;
  Event go(loop);
  Permits permits(loop, 2);
  Scope scope(loop), stopped(loop);
  scope.spawn(hold(permits, go, 1, {}, out));
  scope.spawn(hold(permits, go, 2, {}, out));
  stopped.spawn(hold(permits, go, 3, {.stop = stopped.token()}, out));
  scope.spawn(hold(permits, go, 4, {}, out));
  for (int i = 0; i < 5; ++i) co_await yield(loop);
  EXPECT_EQ(out, (std::vector{1, 2}));  // the others wait
  stopped.request_stop();
  co_await stopped.join();
  go.set();
  co_await scope.join();
  EXPECT_EQ(out, (std::vector{1, 2, -3, 4}));
  // Every place came back.
  auto first = co_await permits.take();
  auto second = co_await permits.take();
  auto third = co_await permits.take(Deadline::in(loop, 1ms));
  EXPECT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(third.error().code(), Code::kTimeout);
}
TEST_F(IoTest, PermitsGoInOrderAndComeBack) { run(check_permits(*loop_)); }

TEST(SyncPace, TrustsAQuickDiskUntilItStalls) {
  SyncPace pace;
  for (uint32_t i = 0; i < SyncPace::kProof; ++i) {
    EXPECT_FALSE(pace.quick());
    pace.took(100us);
  }
  EXPECT_TRUE(pace.quick());
  pace.took(SyncPace::kStall + 1us);  // one is enough
  EXPECT_FALSE(pace.quick());
  for (uint32_t i = 0; i < 3 * SyncPace::kProof; ++i) pace.took(100us);
  EXPECT_TRUE(pace.quick());
  // Never a stall, yet slow: the average tells.
  for (uint32_t i = 0; i < 3 * SyncPace::kProof; ++i) pace.took(1ms);
  EXPECT_FALSE(pace.quick());
}

Task<void> check_quick_disk(Loop& loop, const std::string& path) {
  auto directory = open_posix_directory(loop, path, DiskCalls::kSyncWhileQuick);
  EXPECT_TRUE(directory.ok());
  auto file = co_await (*directory)->open("log", OpenMode::kCreate);
  EXPECT_TRUE(file.ok());
  // Past the proof on any disk that is quick, and to be read back whichever thread wrote.
  for (uint64_t i = 0; i < 200; ++i) {
    const std::string text = std::format("{:08}", i);
    const auto written = co_await (*file)->write_and_sync(i * 8, as_bytes(text));
    EXPECT_TRUE(written.ok());
  }
  std::string all(1600, ' ');
  const auto read = co_await (*file)->read_at(0, std::as_writable_bytes(std::span(all)));
  EXPECT_TRUE(read.ok());
  for (uint64_t i = 0; i < 200; ++i) EXPECT_EQ(all.substr(i * 8, 8), std::format("{:08}", i));
}
TEST_F(IoTest, AQuickDiskKeepsWhatWasWritten) { run(check_quick_disk(*loop_, dir_)); }

Task<void> produce(Loop& loop, Channel<int>& channel) {
  for (int i = 0; i < 100;) {
    if (channel.try_push(i)) ++i;
    else co_await yield(loop);
  }
  channel.close();
}
Task<void> check_channel(Loop& loop) {
  Channel<int> channel(loop, 3);
  Scope scope(loop);
  scope.spawn(produce(loop, channel));
  int sum = 0;
  while (true) {
    Result<int> next = co_await channel.pop();
    if (!next.ok()) break;
    EXPECT_LE(channel.size(), 3u);
    sum += *next;
  }
  EXPECT_EQ(sum, 4950);
  co_await scope.join();
}
TEST_F(IoTest, ChannelsAreBoundedAndDrainAfterClose) { run(check_channel(*loop_)); }

Task<void> check_pool(Loop& loop) {
  const auto here = std::this_thread::get_id();
  auto work = [] { return std::this_thread::get_id(); };
  const auto there = co_await run_blocking(loop, work);
  EXPECT_NE(here, there);
  EXPECT_EQ(here, std::this_thread::get_id());
}
TEST_F(IoTest, BlockingWorkRunsElsewhereAndComesBack) { run(check_pool(*loop_)); }

Task<std::thread::id> where() { co_return std::this_thread::get_id(); }
Task<void> check_call_on(Loop& there, Loop& home, std::thread::id expected) {
  EXPECT_EQ(co_await call_on(there, home, where()), expected);
  EXPECT_TRUE(home.on_thread());
}
TEST_F(IoTest, CallsCrossLoopsAndReturn) {
  auto other = EpollLoop::create(1).value();
  std::thread thread([&] { other->run(); });
  run(check_call_on(*other, *loop_, thread.get_id()));
  other->stop();
  thread.join();
}

Task<void> check_disk(Loop& loop, std::string path, DiskCalls calls) {
  auto directory = open_posix_directory(loop, path, calls).value();
  EXPECT_EQ((co_await directory->open("../x", OpenMode::kCreate)).error().code(), Code::kInvalid);
  EXPECT_EQ((co_await directory->open("x", OpenMode::kRead)).error().code(), Code::kNotFound);
  auto file = (co_await directory->open("x", OpenMode::kCreateNew)).value();
  EXPECT_EQ((co_await directory->open("x", OpenMode::kCreateNew)).error().code(), Code::kExists);
  EXPECT_TRUE((co_await file->allocate(8192)).ok());
  EXPECT_TRUE((co_await file->write_at(4096, as_bytes("hello"))).ok());
  EXPECT_TRUE((co_await file->sync()).ok());
  std::string back(6, 'x');
  EXPECT_EQ((co_await file->read_at(4096, std::as_writable_bytes(std::span(back)))).value(), 6u);
  EXPECT_EQ(back, std::string("hello\0", 6));
  EXPECT_EQ((co_await file->size()).value(), 8192u);
  EXPECT_TRUE((co_await replace_file(*directory, "y", "new")).ok());
  EXPECT_EQ((co_await read_file(*directory, "y", Bytes::kib(1))).value(), "new");
  EXPECT_EQ((co_await read_file(*directory, "y", Bytes{2})).error().code(), Code::kExhausted);
  std::filesystem::create_symlink(path + "/y", path + "/link");
  EXPECT_FALSE((co_await directory->open("link", OpenMode::kRead)).ok());
  EXPECT_EQ((co_await directory->list()).value().size(), 3u);
  EXPECT_TRUE((co_await directory->remove("x")).ok());
}
TEST_F(IoTest, DiskOnPool) { run(check_disk(*loop_, dir_ + "/a", DiskCalls::kOnPool)); }
TEST_F(IoTest, DiskInline) { run(check_disk(*loop_, dir_ + "/b", DiskCalls::kInline)); }

Task<void> echo_once(Listener& listener) {
  auto stream = (co_await listener.accept({})).value();
  std::string buffer(4096, '\0');
  while (true) {
    const size_t count = (co_await stream->read(std::as_writable_bytes(std::span(buffer)), {})).value();
    if (count == 0) co_return;
    EXPECT_TRUE((co_await stream->write(as_bytes(std::string_view(buffer).substr(0, count)), {})).ok());
  }
}
Task<void> check_streams(Loop& loop, Address at) {
  auto network = make_posix_network(loop);
  auto listener = network->listen(at).value();
  Scope scope(loop);
  scope.spawn(echo_once(*listener));
  auto stream = (co_await network->connect(listener->local(), Deadline::in(loop, 5s))).value();
  const std::string sent(1 << 20, 'q');
  Scope writer(loop);
  struct Send {
    static Task<void> all(Stream& stream, const std::string& bytes) {
      EXPECT_TRUE((co_await stream.write(as_bytes(bytes), {})).ok());
      EXPECT_TRUE(stream.shutdown_write().ok());
    }
  };
  writer.spawn(Send::all(*stream, sent));
  std::string got(sent.size(), '\0');
  EXPECT_TRUE((co_await read_exactly(*stream, std::as_writable_bytes(std::span(got)), Deadline::in(loop, 10s))).ok());
  EXPECT_EQ(got, sent);
  co_await writer.join();
  co_await scope.join();
  Result<size_t> end = co_await stream->read(std::as_writable_bytes(std::span(got)), Deadline::in(loop, 5s));
  EXPECT_EQ(end.value(), 0u);
}
TEST_F(IoTest, TcpStreams) { run(check_streams(*loop_, Address::parse("127.0.0.1:0").value())); }
TEST_F(IoTest, UnixStreams) { run(check_streams(*loop_, Address::parse("unix:" + dir_ + "/s").value())); }

Task<void> check_datagrams(Loop& loop) {
  auto network = make_posix_network(loop);
  auto a = network->bind_datagram(Address::parse("127.0.0.1:0").value()).value();
  auto b = network->bind_datagram(Address::parse("127.0.0.1:0").value()).value();
  EXPECT_TRUE((co_await a->send(as_bytes("too long for the receiver"), b->local(), {})).ok());
  EXPECT_TRUE((co_await a->send(as_bytes("ping"), b->local(), {})).ok());
  std::string buffer(8, '\0');
  auto got = (co_await b->receive(std::as_writable_bytes(std::span(buffer)), Deadline::in(loop, 5s))).value();
  EXPECT_EQ(got.size, 4u);
  EXPECT_EQ(got.from, a->local());
}
TEST_F(IoTest, Datagrams) { run(check_datagrams(*loop_)); }

Task<void> check_children(Loop& loop) {
  auto processes = make_posix_processes(loop);
  EXPECT_EQ(processes->spawn({.program = "/does/not/exist"}).error().code(), Code::kNotFound);
  auto child = processes->spawn({.program = "/bin/sh", .arguments = {"-c", "exit 7"}}).value();
  EXPECT_EQ((co_await child->wait(Deadline::in(loop, 10s))).value().code, 7);
  auto sleeper = processes->spawn({.program = "/bin/sleep", .arguments = {"100"}}).value();
  EXPECT_EQ((co_await sleeper->wait(Deadline::in(loop, 1ms))).error().code(), Code::kTimeout);
  EXPECT_TRUE(sleeper->signal(9).ok());
  EXPECT_EQ((co_await sleeper->wait(Deadline::in(loop, 10s))).value().signal, 9);
}
TEST_F(IoTest, ChildrenExitAndDie) { run(check_children(*loop_)); }

TEST(Address, ParsesAndRefuses) {
  EXPECT_EQ(Address::parse("[::1]:4646").value().text(), "[::1]:4646");
  for (const char* bad : {"", "1.2.3.4", "host:1", "1.2.3.4:65536", "unix:x", "1.2.3:1"}) EXPECT_FALSE(Address::parse(bad).ok()) << bad;
}

}  // namespace
}  // namespace steppe::io
