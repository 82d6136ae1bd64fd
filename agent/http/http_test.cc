#include <gtest/gtest.h>
#include <zlib.h>

#include <format>

#include "agent/http/client.h"
#include "agent/http/parser.h"
#include "agent/http/server.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_net.h"

namespace steppe::http {
namespace {

using namespace std::chrono_literals;

TEST(Query, DecodesEncodesAndRefuses) {
  const Query query = Query::parse("a=1&b&c=x%20y+z&a=2").value();
  EXPECT_EQ(query.value("a"), "1");
  EXPECT_EQ(query.all("a").size(), 2u);
  EXPECT_TRUE(query.has("b"));
  EXPECT_EQ(query.value("c"), "x y z");
  EXPECT_EQ(Query::parse(query.text()).value().value("c"), "x y z");
  for (const char* bad : {"a=%", "a=%1", "a=%zz"}) EXPECT_EQ(Query::parse(bad).error().code(), Code::kInvalid) << bad;
  std::string many;
  for (int i = 0; i < 1001; ++i) many += "a&";
  EXPECT_EQ(Query::parse(many).error().code(), Code::kExhausted);
}

TEST(RequestParser, AcceptsOneByteAtATime) {
  const std::string text = "POST /v1/jobs?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
  RequestParser parser({});
  std::string pending;
  for (const char c : text) {
    pending.push_back(c);
    pending.erase(0, parser.feed(pending).value());
  }
  ASSERT_TRUE(parser.done());
  const Request request = parser.take().value();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/v1/jobs");
  EXPECT_EQ(request.body, "hello");
}

TEST(RequestParser, LimitsAndNonsense) {
  const MessageLimits small{.header_bytes = 128, .body = Bytes{4}};
  RequestParser long_body(small);
  EXPECT_EQ(long_body.feed("PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").error().code(), Code::kExhausted);
  RequestParser long_header(small);
  EXPECT_EQ(long_header.feed("GET / HTTP/1.1\r\nX: " + std::string(200, 'x') + "\r\n\r\n").error().code(), Code::kExhausted);
  // Request smuggling: two lengths that disagree, a length beside chunks, a bad chunk.
  for (const char* bad : {"\x16\x03\x01\x02\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                          "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
                          "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", "PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"}) {
    RequestParser parser({});
    EXPECT_FALSE(parser.feed(bad).ok()) << bad;
  }
  struct Hosts {
    const char* head;
    bool fine;
  };
  for (const auto& [head, fine] : {Hosts{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true}, Hosts{"GET / HTTP/1.0\r\n\r\n", true}, Hosts{"GET / HTTP/1.1\r\n\r\n", false},
                                   Hosts{"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", false}}) {
    RequestParser parser({});
    ASSERT_TRUE(parser.feed(head).ok()) << head;
    EXPECT_EQ(parser.take().ok(), fine) << head;
  }
}

TEST(Host, RebindingAndForeignPagesAreRefused) {
  EXPECT_TRUE(host_allowed("127.0.0.1:4646", {}));
  EXPECT_TRUE(host_allowed("[::1]:4646", {}));
  EXPECT_TRUE(host_allowed("localhost", {}));
  EXPECT_FALSE(host_allowed("evil.example:4646", {}));
  EXPECT_TRUE(host_allowed("Node1.example", {"node1.example"}));
  EXPECT_TRUE(origin_allowed("http://127.0.0.1:4646", "127.0.0.1:4646"));
  EXPECT_FALSE(origin_allowed("http://evil.example", "127.0.0.1:4646"));
  EXPECT_FALSE(origin_allowed("null", "127.0.0.1:4646"));
}

TEST(WebSocket, AcceptKeyOfTheRfc) { EXPECT_EQ(websocket_accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); }

class HttpTest : public ::testing::Test {
 public:
  HttpTest() : loop_(io::EpollLoop::create(1).value()), network_(io::make_posix_network(*loop_)) {}

  static io::Task<void> handle(Request& request, ResponseWriter& writer) {
    if (request.path == "/echo") {
      Response response = Response::text(200, request.method + " " + request.query.value("q") + " " + request.body);
      static_cast<void>(co_await writer.send(std::move(response)));
    } else if (request.path == "/stream") {
      static_cast<void>(co_await writer.start(200, {}));
      for (int i = 0; i < 1000; ++i) {
        const std::string line = std::format("line {}\n", i);
        static_cast<void>(co_await writer.write(line));
      }
      static_cast<void>(co_await writer.finish());
    } else if (request.path == "/socket") {
      auto socket = co_await writer.upgrade();
      if (!socket.ok()) {
        static_cast<void>(co_await writer.send(Response::text(400, socket.error().message())));
        co_return;
      }
      while (true) {
        auto message = co_await (*socket)->receive({});
        if (!message.ok() || message->closed) co_return;
        static_cast<void>(co_await (*socket)->send_text("echo " + message->text, {}));
      }
    } else {
      static_cast<void>(co_await writer.send(Response::text(404, "")));
    }
  }

  void run(std::function<io::Task<void>(HttpTest&, io::Address)> body, ServerOptions options = {}) {
    io::start_root(*loop_, drive(std::move(body), std::move(options)), [this] { loop_->stop(); });
    loop_->run();
  }

  io::Task<void> drive(std::function<io::Task<void>(HttpTest&, io::Address)> body, ServerOptions options) {
    Server server(*loop_, io::system_rng(), {}, std::move(options), handle);
    auto listener = network_->listen(io::Address::parse("127.0.0.1:0").value()).value();
    const io::Address at = listener->local();
    server.serve(std::move(listener));
    co_await body(*this, at);
    co_await server.stop();
    EXPECT_EQ(server.connections(), 0u);
  }

  // Sends raw bytes on one connection and returns all that comes until the end.
  io::Task<std::string> raw(io::Address at, std::string bytes) {
    auto stream = (co_await network_->connect(at, {})).value();
    EXPECT_TRUE((co_await stream->write(as_bytes(bytes), {})).ok());
    static_cast<void>(stream->shutdown_write());
    std::string all, buffer(4096, '\0');
    while (true) {
      auto count = co_await stream->read(std::as_writable_bytes(std::span(buffer)), io::Deadline::in(*loop_, 10s));
      if (!count.ok() || *count == 0) co_return all;
      all.append(buffer, 0, *count);
    }
  }

  std::unique_ptr<io::EpollLoop> loop_;
  std::unique_ptr<io::Network> network_;
};

TEST_F(HttpTest, ServesClientsStreamsAndSockets) {
  struct Body {
    static io::Task<void> run(io::Network& network, io::Loop& loop, io::Address at) {
      Client client(network, io::system_rng(), {at, at.text()});
      Request request{.method = "PUT", .path = "/echo", .body = std::string(100000, 'b')};
      request.query.add("q", "a b");
      auto answer = (co_await client.call(std::move(request), io::Deadline::in(loop, 10s))).value();
      EXPECT_EQ(answer.status, 200);
      EXPECT_EQ(answer.body, "PUT a b " + std::string(100000, 'b'));

      std::string streamed;
      struct Collect {
        static io::Task<Result<>> into(std::string& all, std::string_view piece) {
          all.append(piece);
          co_return Result<>();
        }
      };
      auto sink = [&streamed](std::string_view piece) { return Collect::into(streamed, piece); };
      Request stream_request{.method = "GET", .path = "/stream"};
      auto streamed_answer = (co_await client.stream(std::move(stream_request), sink, io::Deadline::in(loop, 10s))).value();
      EXPECT_EQ(streamed_answer.status, 200);
      EXPECT_TRUE(streamed.ends_with("line 999\n"));

      Request socket_request{.method = "GET", .path = "/socket"};
      auto socket = (co_await client.websocket(std::move(socket_request), io::Deadline::in(loop, 10s))).value();
      for (const size_t size : {size_t{0}, size_t{125}, size_t{126}, size_t{70000}}) {
        EXPECT_TRUE((co_await socket->send_text(std::string(size, 's'), {})).ok());
        auto message = (co_await socket->receive(io::Deadline::in(loop, 10s))).value();
        EXPECT_EQ(message.text, "echo " + std::string(size, 's'));
      }
      EXPECT_TRUE((co_await socket->close(1000, "bye", {})).ok());
      auto closed = (co_await socket->receive(io::Deadline::in(loop, 10s))).value();
      EXPECT_TRUE(closed.closed);
      EXPECT_EQ(closed.code, 1000);

      Request plain{.method = "GET", .path = "/echo"};
      EXPECT_FALSE((co_await client.websocket(std::move(plain), io::Deadline::in(loop, 10s))).ok());
    }
  };
  run([](HttpTest& test, io::Address at) { return Body::run(*test.network_, *test.loop_, at); });
}

TEST_F(HttpTest, KeepsConnectionsPipelinesAndRefuses) {
  struct Body {
    static io::Task<void> run(HttpTest& test, io::Address at) {
      std::string two = co_await test.raw(at, "GET /echo?q=1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /echo?q=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      EXPECT_NE(two.find("GET 1 "), std::string::npos);
      EXPECT_NE(two.find("GET 2 "), std::string::npos);
      std::string evil = co_await test.raw(at, "GET /echo HTTP/1.1\r\nHost: evil.example\r\n\r\n");
      EXPECT_TRUE(evil.starts_with("HTTP/1.1 421 ")) << evil;
      std::string origin = co_await test.raw(at, "GET /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n");
      EXPECT_TRUE(origin.starts_with("HTTP/1.1 403 ")) << origin;
      std::string garbage = co_await test.raw(at, "garbage\r\n\r\n");
      EXPECT_TRUE(garbage.starts_with("HTTP/1.1 400 ")) << garbage;
      std::string large = co_await test.raw(at, "PUT /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n" + std::string(99999, 'x'));
      EXPECT_TRUE(large.starts_with("HTTP/1.1 413 ")) << large.substr(0, 100);
      std::string head = co_await test.raw(at, "HEAD /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
      EXPECT_EQ(co_await test.raw(at, ""), "");
    }
  };
  run([](HttpTest& test, io::Address at) { return Body::run(test, at); }, {.limits = {.body = Bytes::kib(64)}});
}

TEST_F(HttpTest, BodiesShareABound) {
  struct Body {
    static io::Task<void> run(HttpTest& test, io::Address at) {
      const std::string head = "PUT /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ";
      // Each for itself is small enough; the one that stays unfinished takes its part of what all may hold.
      auto slow = (co_await test.network_->connect(at, {})).value();
      EXPECT_TRUE((co_await slow->write(as_bytes(head + "50000\r\n\r\n" + std::string(30000, 'x')), {})).ok());
      std::string answer;
      for (int i = 0; i < 100 && !answer.starts_with("HTTP/1.1 429 "); ++i) answer = co_await test.raw(at, head + "40000\r\n\r\n" + std::string(40000, 'x'));
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 429 ")) << answer.substr(0, 100);
      EXPECT_TRUE((co_await slow->write(as_bytes(std::string(20000, 'x')), {})).ok());
      char byte = 0;
      EXPECT_TRUE((co_await slow->read(std::as_writable_bytes(std::span(&byte, 1)), {})).ok());
      slow.reset();
      // What was answered is let go of.
      for (int i = 0; i < 100 && !answer.starts_with("HTTP/1.1 200 "); ++i) answer = co_await test.raw(at, head + "40000\r\n\r\n" + std::string(40000, 'x'));
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer.substr(0, 100);
    }
  };
  run([](HttpTest& test, io::Address at) { return Body::run(test, at); }, {.limits = {.body = Bytes::kib(64)}, .bodies = Bytes::kib(64)});
}

TEST_F(HttpTest, OneAddressGetsItsShareOfConnections) {
  struct Body {
    static io::Task<void> run(HttpTest& test, io::Address at) {
      auto held = (co_await test.network_->connect(at, {})).value();
      co_await io::yield(*test.loop_);
      std::string refused;
      for (int i = 0; i < 100 && refused.empty(); ++i) refused = co_await test.raw(at, "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      EXPECT_TRUE(refused.starts_with("HTTP/1.1 429 ")) << refused;
    }
  };
  run([](HttpTest& test, io::Address at) { return Body::run(test, at); }, {.connections_per_address = 1});
}

TEST(Gzip, IsReadable) {
  const std::string packed = gzip(std::string(10000, 'z'));
  EXPECT_LT(packed.size(), 200u);
  std::string back(10000, '\0');
  z_stream stream{};
  ASSERT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(back.data());
  stream.avail_out = static_cast<uInt>(back.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  inflateEnd(&stream);
  EXPECT_EQ(back, std::string(10000, 'z'));
}

}  // namespace
}  // namespace steppe::http
