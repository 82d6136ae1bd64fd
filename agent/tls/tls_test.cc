#include <gtest/gtest.h>

#include <array>

#include "agent/tls/server_identity.h"
#include "agent/tls/tls_stream.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_net.h"
#include "init/io/scope.h"

namespace steppe::tls {
namespace {

using namespace std::chrono_literals;

struct World {
  std::unique_ptr<io::EpollLoop> loop = *io::EpollLoop::create(1);
  std::unique_ptr<io::Network> network = io::make_posix_network(*loop);
  io::Deadline soon() const { return io::Deadline::in(*loop, 30s); }
  void run(io::Task<void> task) {
    io::start_root(*loop, std::move(task), [this] { loop->stop(); });
    loop->run();
  }
};

// Answers each connection in turn with what it says, until one says nothing.
io::Task<void> echo(World& world, io::Listener& listener, int connections, std::vector<std::string>& seen) {
  for (int i = 0; i < connections; ++i) {
    Result<std::unique_ptr<io::Stream>> stream = co_await listener.accept(world.soon());
    if (!stream.ok()) co_return;
    std::array<std::byte, 65536> buffer;
    while (true) {
      Result<size_t> n = co_await (*stream)->read(buffer, world.soon());
      if (!n.ok()) seen.push_back(n.error().message());
      if (!n.ok() || *n == 0) break;
      if (Result<> sent = co_await (*stream)->write({buffer.data(), *n}, world.soon()); !sent.ok()) break;
    }
  }
}

io::Task<void> talk(World& world, const io::Listener& listener, std::string text, std::string& back) {
  auto plain = co_await world.network->connect(listener.local(), world.soon());
  if (!plain.ok()) co_return;
  auto stream = co_await start_tls(*std::move(plain), "127.0.0.1", Verify::kNo, world.soon());
  if (!stream.ok()) {
    back = stream.error().message();
    co_return;
  }
  if (!(co_await (*stream)->write(as_bytes(text), world.soon())).ok()) co_return;
  std::array<std::byte, 4096> buffer;
  while (back.size() < text.size()) {
    Result<size_t> n = co_await (*stream)->read(buffer, world.soon());
    if (!n.ok() || *n == 0) break;
    back.append(as_text({buffer.data(), *n}));
  }
}

io::Task<void> exchange(World& world, const ServerIdentity& identity, std::string& back, std::vector<std::string>& seen) {
  auto listener = world.network->listen({"", "127.0.0.1", 0});
  std::unique_ptr<io::Listener> over = identity.listen(*std::move(listener));
  io::Scope scope(*world.loop);
  scope.spawn(echo(world, *over, 1, seen));
  co_await talk(world, *over, std::string(100'000, 'x') + "end", back);
  co_await scope.join();
}

TEST(ServerIdentity, ServesWhatItsStreamsCarry) {
  World world;
  Result<ServerIdentity> identity = ServerIdentity::self_signed("test");
  ASSERT_TRUE(identity.ok()) << identity.error().message();
  EXPECT_TRUE(identity->pin().starts_with("sha256//")) << identity->pin();
  EXPECT_EQ(identity->pin().size(), 8u + 44u);
  EXPECT_NE(ServerIdentity::self_signed("test")->pin(), identity->pin()) << "a key of its own each time";
  std::string back;
  std::vector<std::string> seen;
  world.run(exchange(world, *identity, back, seen));
  EXPECT_EQ(back.size(), 100'003u);
  EXPECT_TRUE(back.ends_with("end"));
}

// Somebody who says nothing at all comes first, and somebody who speaks no TLS; a third one is served all the same.
io::Task<void> strangers(World& world, const ServerIdentity& identity, std::string& back, std::vector<std::string>& seen) {
  auto listener = world.network->listen({"", "127.0.0.1", 0});
  std::unique_ptr<io::Listener> over = identity.listen(*std::move(listener));
  auto silent = co_await world.network->connect(over->local(), world.soon());
  auto first = co_await over->accept(world.soon());
  EXPECT_TRUE(first.ok()) << "a handshake is not waited for";
  auto rude = co_await world.network->connect(over->local(), world.soon());
  (void)co_await (*rude)->write(as_bytes("GET / HTTP/1.1\r\n\r\n"), world.soon());
  io::Scope scope(*world.loop);
  scope.spawn(echo(world, *over, 2, seen));
  co_await talk(world, *over, "hello", back);
  co_await scope.join();
}

TEST(ServerIdentity, WhoSpeaksNoTlsIsToldNothingAndKeepsNobodyWaiting) {
  World world;
  Result<ServerIdentity> identity = ServerIdentity::self_signed("test");
  ASSERT_TRUE(identity.ok());
  std::string back;
  std::vector<std::string> seen;
  world.run(strangers(world, *identity, back, seen));
  EXPECT_EQ(back, "hello");
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(seen[0].starts_with("TLS: ")) << seen[0];
}

TEST(StartTls, RefusesAKeyThatNobodyVouchesFor) {
  World world;
  Result<ServerIdentity> identity = ServerIdentity::self_signed("test");
  ASSERT_TRUE(identity.ok());
  struct Run {
    static io::Task<void> once(World& world, const ServerIdentity& identity, std::string& said) {
      auto listener = world.network->listen({"", "127.0.0.1", 0});
      std::unique_ptr<io::Listener> over = identity.listen(*std::move(listener));
      std::vector<std::string> seen;
      io::Scope scope(*world.loop);
      scope.spawn(echo(world, *over, 1, seen));
      auto plain = co_await world.network->connect(over->local(), world.soon());
      auto stream = co_await start_tls(*std::move(plain), "127.0.0.1", Verify::kYes, world.soon());
      said = stream.ok() ? "taken" : stream.error().message();
      co_await scope.join();
    }
  };
  std::string said;
  world.run(Run::once(world, *identity, said));
  EXPECT_NE(said.find("certificate"), std::string::npos) << said;
}

}  // namespace
}  // namespace steppe::tls
