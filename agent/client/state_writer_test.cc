#include <gtest/gtest.h>

#include <map>

#include "agent/client/client_context.h"
#include "agent/schema/alloc.pb.h"
#include "init/io/epoll_loop.h"

namespace steppe::client {
namespace {

using namespace std::chrono_literals;

// A store whose next writes fail.
class FlakyStore final : public StateStore {
 public:
  int failures = 0;
  std::map<std::string, std::string> held;
  std::vector<std::string> order;

  Result<> write(const std::vector<StateWrite>& writes) override {
    if (failures != 0) {
      --failures;
      return Error(Code::kExhausted, "client state: commit: No space left on device");
    }
    for (const StateWrite& write : writes) {
      held[write.key] = write.value;
      order.push_back(write.key + "=" + write.value);
    }
    return {};
  }
  Result<std::optional<NodeIdentity>> node() override { return std::optional<NodeIdentity>(); }
  Result<Loaded> load() override { return Loaded(); }
  Result<std::vector<std::pair<std::string, std::string>>> dump() override { return std::vector<std::pair<std::string, std::string>>(held.begin(), held.end()); }
};

class StateWriterTest : public ::testing::Test {
 protected:
  // Runs `story` to its end and takes the writer down.
  template <class Story>
  void run(Duration retry, Story story) {
    auto loop = *io::EpollLoop::create(1);
    io::start_root(*loop, whole(*loop, retry, std::move(story)), [&] { loop->stop(); });
    loop->run();
  }
  template <class Story>
  io::Task<void> whole(io::Loop& loop, Duration retry, Story story) {
    io::Scope scope(loop);
    StateWriter writer(loop, store_, scope, log::Logger(), retry);
    co_await story(writer);
    scope.request_stop();
    co_await scope.join();
  }
  FlakyStore store_;
};

io::Task<void> change_on_a_full_disk(StateWriter& writer, FlakyStore& store, bool& refused) {
  store.failures = 3;
  writer.post({"a", "1"});
  writer.post({"b", "1"});
  std::vector<StateWrite> last{{"c", "1"}};
  Result<> told = co_await writer.write(std::move(last));
  refused = !told.ok() && told.error().code() == Code::kExhausted;
  writer.post({"a", "2"});  // newer than what is kept
  for (Result<> stored = co_await writer.flush(); !stored.ok();) stored = co_await writer.flush();
}

TEST_F(StateWriterTest, WhatCouldNotBeWrittenIsWrittenLater) {
  bool refused = false;
  run(1ms, [&](StateWriter& writer) { return change_on_a_full_disk(writer, store_, refused); });
  EXPECT_TRUE(refused) << "who waits is told";
  EXPECT_EQ(store_.held, (std::map<std::string, std::string>{{"a", "2"}, {"b", "1"}, {"c", "1"}}));
  EXPECT_EQ(store_.order, (std::vector<std::string>{"a=2", "b=1", "c=1"})) << "each once, the newest of each";
}

io::Task<void> leave_on_a_full_disk(StateWriter& writer, FlakyStore& store) {
  store.failures = 1000;
  writer.post({"a", "1"});
  (void)co_await writer.flush();
}

TEST_F(StateWriterTest, LeavingDoesNotWaitForRoom) {
  run(1h, [&](StateWriter& writer) { return leave_on_a_full_disk(writer, store_); });
  EXPECT_TRUE(store_.held.empty());
}

}  // namespace
}  // namespace steppe::client
