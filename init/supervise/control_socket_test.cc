#include "init/supervise/control_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "init/sys/kernel/unix_socket.h"

namespace steppe::supervise {
namespace {

class ControlSocketTest : public testing::Test {
 protected:
  ControlSocketTest() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    char name[] = "/tmp/steppe-control-XXXXXX";
    directory_ = ::mkdtemp(name);
    EXPECT_TRUE(socket_.open(directory_ + "/control", epoll_.get()).ok());
    place_ = kernel::Fd(::open(directory_.c_str(), O_PATH | O_CLOEXEC));
  }
  ~ControlSocketTest() override { std::filesystem::remove_all(directory_); }

  kernel::Fd connect() { return *kernel::connect_packets(place_.get(), "control"); }
  void say(const kernel::Fd& socket, const control::Request& request) {
    std::byte buffer[control::kMaxRequest];
    ASSERT_TRUE(kernel::send_packet(socket, control::encode(request, buffer), Duration(0)).ok());
  }
  bool serve(int64_t now_s = 0) {
    return socket_.serve({now_s * 1'000'000'000}, [this](pid_t pid) { return allow_ && pid == ::getpid(); },
                         [this](const control::Request& request, control::Reply& reply) {
                           asked_.push_back(request);
                           reply.trial_left_s = 7;
                         });
  }
  // "status 1", "closed" or "nothing".
  std::string answer(const kernel::Fd& socket) {
    Result<kernel::Packet> packet = kernel::receive_packet(socket, control::kMaxReply, Duration(0));
    if (!packet.ok()) return "nothing";
    control::Reply reply;
    if (packet->closed) return "closed";
    return control::decode(as_bytes(packet->data), reply) ? "status " + std::to_string(static_cast<int>(reply.status)) : "garbage";
  }
  bool awake() {
    epoll_event event;
    return ::epoll_wait(epoll_.get(), &event, 1, 0) > 0;
  }

  std::string directory_;
  kernel::Fd epoll_, place_;
  ControlSocket socket_;
  bool allow_ = true;
  std::vector<control::Request> asked_;
};

TEST_F(ControlSocketTest, one_request_a_connection) {
  kernel::Fd asker = connect();
  EXPECT_TRUE(awake());
  say(asker, {.verb = control::Verb::kEnd, .ending = control::Ending::kPowerOff, .reason = std::string_view("why")});
  EXPECT_FALSE(serve());
  EXPECT_EQ(answer(asker), "status 1");
  EXPECT_EQ(answer(asker), "closed");
  std::byte buffer[control::kMaxRequest];
  EXPECT_FALSE(kernel::send_packet(asker, control::encode(control::Request{.verb = control::Verb::kTrial}, buffer), Duration(0)).ok());
  EXPECT_FALSE(serve());
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(asked_[0].reason.view(), "why");
  EXPECT_FALSE(awake()) << "nothing is left to be told about";
  struct stat status;
  ASSERT_EQ(::stat((directory_ + "/control").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(ControlSocketTest, whoever_may_not_ask_is_not_heard) {
  kernel::Fd asker = connect();
  say(asker, {.verb = control::Verb::kEnd});
  allow_ = false;
  EXPECT_FALSE(serve());
  EXPECT_EQ(answer(asker), "closed");
  EXPECT_TRUE(asked_.empty());
}

TEST_F(ControlSocketTest, what_is_no_request_is_answered_as_that) {
  kernel::Fd asker = connect();
  ASSERT_TRUE(kernel::send_packet(asker, as_bytes(std::string(control::kMaxRequest + 100, 'x')), Duration(0)).ok());
  EXPECT_FALSE(serve());
  EXPECT_EQ(answer(asker), "status 2");
  EXPECT_TRUE(asked_.empty());
}

TEST_F(ControlSocketTest, the_silent_are_let_go_and_crowd_nobody_out) {
  std::vector<kernel::Fd> silent;
  for (size_t i = 0; i < ControlSocket::kMaxWaiting; ++i) {
    silent.push_back(connect());
    EXPECT_FALSE(serve(static_cast<int64_t>(i) / 4));
  }
  EXPECT_EQ(answer(silent[0]), "nothing");
  kernel::Fd asker = connect();
  say(asker, {});
  EXPECT_FALSE(serve(2));
  EXPECT_EQ(answer(asker), "status 1");
  EXPECT_EQ(answer(silent[0]), "closed") << "the oldest made room";
  EXPECT_EQ(answer(silent[7]), "nothing");
  EXPECT_FALSE(serve(6));
  EXPECT_EQ(answer(silent[7]), "closed") << "five seconds are over";
}

TEST(ServiceCgroup, is_the_leaf_itself) {
  EXPECT_TRUE(in_service_cgroup("0::/services/agent\n", "agent"));
  EXPECT_TRUE(in_service_cgroup("1:cpu:/x\n0::/services/agent\n", "agent"));
  for (const char* text : {"", "0::/services/agent/task\n", "0::/services/agents\n", "0::/nomad.slice/services/agent\n", "1:name=systemd:/services/agent\n",
                           "0::/services/machine\n", "0::/init\n"})
    EXPECT_FALSE(in_service_cgroup(text, "agent")) << text;
}

}  // namespace
}  // namespace steppe::supervise
