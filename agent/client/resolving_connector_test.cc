#include "agent/client/resolving_connector.h"

#include <gtest/gtest.h>

#include <array>
#include <format>

#include "agent/tls/server_identity.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_net.h"
#include "init/io/scope.h"

namespace steppe::client {
namespace {

using namespace std::chrono_literals;

TEST(Proxies, CountForWhatIsNotExcepted) {
  const Proxies proxies{"http://plain:3128", "http://user:word@secure:8080", {"localhost", ".lan", "*.example", "10.0.0.7", " "}};
  const std::pair<const char*, const char*> rows[] = {
      {"http://a.test/x", "plain"}, {"https://a.test/x", "secure"}, {"https://localhost/x", ""}, {"https://lan/x", ""},        {"https://b.lan/x", ""},
      {"https://wlan/x", "secure"}, {"http://c.example/", ""},      {"http://10.0.0.7/", ""},    {"http://10.0.0.70/", "plain"}, {"https://LOCALHOST/", ""},
  };
  for (const auto& [url, host] : rows) {
    Result<std::optional<Url>> proxy = proxy_for(proxies, *Url::parse(url));
    ASSERT_TRUE(proxy.ok()) << url;
    EXPECT_EQ(proxy->has_value() ? (*proxy)->host : "", host) << url;
  }
  EXPECT_FALSE(proxy_for({"file:///x", "", {}}, *Url::parse("http://a/")).ok());
  EXPECT_FALSE(proxy_for({"nonsense", "", {}}, *Url::parse("http://a/")).ok());
  EXPECT_FALSE(proxy_for({"http://p:1", "", {"*"}}, *Url::parse("http://a/"))->has_value());
}

struct World {
  std::unique_ptr<io::EpollLoop> loop = *io::EpollLoop::create(1);
  std::unique_ptr<io::Network> network = io::make_posix_network(*loop);
  tls::ServerIdentity identity = *tls::ServerIdentity::self_signed("test");
  std::string asked, answer = "HTTP/1.1 200 OK\r\n\r\n", body, said;
  bool speak_tls = true;
  io::Deadline soon() const { return io::Deadline::in(*loop, 30s); }
};

// Hands out one stream that is open already.
class Once final : public io::Listener {
 public:
  explicit Once(std::unique_ptr<io::Stream> stream) : stream_(std::move(stream)) {}
  io::Task<Result<std::unique_ptr<io::Stream>>> accept(io::Deadline) override { co_return std::move(stream_); }
  io::Address local() const override { return {}; }

 private:
  std::unique_ptr<io::Stream> stream_;
};

io::Task<std::string> head_of(World& world, io::Stream& stream) {
  std::string head;
  std::array<std::byte, 1> one;
  while (!head.ends_with("\r\n\r\n")) {
    Result<size_t> n = co_await stream.read(one, world.soon());
    if (!n.ok() || *n == 0) break;
    head.push_back(static_cast<char>(one[0]));
  }
  co_return head;
}

// A proxy that is the server behind it, too.
io::Task<void> serve(World& world, io::Listener& listener) {
  auto plain = co_await listener.accept(world.soon());
  if (!plain.ok()) co_return;
  std::unique_ptr<io::Stream> stream = *std::move(plain);
  world.asked = co_await head_of(world, *stream);
  if (world.speak_tls) {
    (void)co_await stream->write(as_bytes(world.answer), world.soon());
    if (!world.answer.starts_with("HTTP/1.1 200")) co_return;
    auto over = co_await world.identity.listen(std::make_unique<Once>(std::move(stream)))->accept(world.soon());
    stream = *std::move(over);
    world.said = co_await head_of(world, *stream);
  }
  (void)co_await stream->write(as_bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), world.soon());
}

io::Task<void> ask(World& world, std::string url, Result<>& result) {
  auto listener = world.network->listen({"", "127.0.0.1", 0});
  const std::string proxy = std::format("http://me:secret@127.0.0.1:{}", (*listener)->local().port);
  ResolvingConnector connector(*world.network, {proxy, proxy, {}});
  io::Scope scope(*world.loop);
  scope.spawn(serve(world, **listener));
  HttpGetRequest request;
  request.url = *Url::parse(url);
  request.insecure = true;
  auto take = [&world](ByteView bytes) {
    world.body += as_text(bytes);
    return Result<>();
  };
  result = co_await http_get(connector, std::move(request), take, world.soon());
  co_await scope.join();
}

Result<> fetch(World& world, std::string url) {
  Result<> result;
  io::start_root(*world.loop, ask(world, std::move(url), result), [&] { world.loop->stop(); });
  world.loop->run();
  return result;
}

TEST(ResolvingConnector, HttpsGoesThroughTheProxyUnseen) {
  World world;
  Result<> done = fetch(world, "https://nowhere.test/document?q=1");
  ASSERT_TRUE(done.ok()) << done.error().message();
  EXPECT_EQ(world.body, "hello");
  EXPECT_TRUE(world.asked.starts_with("CONNECT nowhere.test:443 HTTP/1.1\r\n")) << world.asked;
  EXPECT_NE(world.asked.find("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), std::string::npos) << world.asked;
  EXPECT_TRUE(world.said.starts_with("GET /document?q=1 HTTP/1.1\r\n")) << "what was asked is for the server alone";
}

TEST(ResolvingConnector, HttpNamesTheWholeUrlToTheProxy) {
  World world;
  world.speak_tls = false;
  Result<> done = fetch(world, "http://nowhere.test:8080/document");
  ASSERT_TRUE(done.ok()) << done.error().message();
  EXPECT_EQ(world.body, "hello");
  EXPECT_TRUE(world.asked.starts_with("GET http://nowhere.test:8080/document HTTP/1.1\r\nHost: nowhere.test:8080\r\n")) << world.asked;
}

TEST(ResolvingConnector, WhatTheProxyRefusesIsSaid) {
  World world;
  world.answer = "HTTP/1.1 407 Who are you\r\n\r\n";
  Result<> done = fetch(world, "https://nowhere.test/");
  ASSERT_FALSE(done.ok());
  EXPECT_NE(done.error().message().find("the proxy refuses: HTTP/1.1 407"), std::string::npos) << done.error().message();
}

}  // namespace
}  // namespace steppe::client
