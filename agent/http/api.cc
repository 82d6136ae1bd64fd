#include "agent/http/api.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <format>

#include "agent/schema/codec.h"
#include "agent/schema/agent.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/assert.h"
#include "init/base/text.h"
#include "init/json/reader.h"

namespace steppe::http {

namespace pb = google::protobuf;
using endpoint::Failure;
using endpoint::Outcome;
using endpoint::ResponseShape;

namespace {

constexpr size_t kCompressAbove = 1 << 10;

// Lists of errors end in empty lines, which a body has no use for.
Response to_response(const Failure& failure) {
  std::string_view text = failure.message();
  while (text.ends_with('\n')) text.remove_suffix(1);
  return Response::text(failure.http_status(), std::string(text));
}

Secret token_of(const Request& request) {
  if (const std::string* token = find_header(request.headers, "X-Nomad-Token")) return Secret(std::string(trim(*token)));
  if (const std::string* authorization = find_header(request.headers, "Authorization")) {
    static constexpr std::string_view kBearer = "bearer ";
    if (authorization->size() > kBearer.size() && equals_ignoring_case(authorization->substr(0, kBearer.size()), kBearer)) {
      return Secret(std::string(trim(std::string_view(*authorization).substr(kBearer.size()))));
    }
  }
  return Secret();
}

// The headers that tell how fresh an answer is.
void add_meta(const pb::Message& reply, Headers& headers) {
  const pb::FieldDescriptor* field = reply.GetDescriptor()->FindFieldByName("meta");
  if (field == nullptr || field->message_type() == nullptr) return;
  const pb::Message& meta = reply.GetReflection()->GetMessage(reply, field);
  uint64_t index = 0;
  int64_t last_contact_ns = 0;
  bool known_leader = false;
  std::string next_token;
  if (const auto* query = dynamic_cast<const schema::QueryMeta*>(&meta)) {
    index = query->index(), last_contact_ns = query->last_contact_ns(), known_leader = query->known_leader(), next_token = query->next_token();
    headers.emplace_back("X-Nomad-KnownLeader", known_leader ? "true" : "false");
    headers.emplace_back("X-Nomad-LastContact", std::to_string(last_contact_ns / 1'000'000));
  } else if (const auto* write = dynamic_cast<const schema::WriteMeta*>(&meta)) {
    index = write->index();
  } else {
    return;
  }
  headers.emplace_back("X-Nomad-Index", std::to_string(index));
  if (!next_token.empty()) headers.emplace_back("X-Nomad-NextToken", next_token);
}

schema::WriteOptions write_options(const Request& request) {
  const std::string* pretty = request.query.find("pretty");
  return {.style = pretty != nullptr && *pretty != "0" ? json::Style::kPretty : json::Style::kCompact};
}

// kField: one field of the reply.
Response show_field(const endpoint::HttpRoute& route, const pb::Message& reply, const Request& request) {
  const pb::FieldDescriptor* field = reply.GetDescriptor()->FindFieldByName(std::string(route.field));
  STEPPE_ASSERT(field != nullptr);
  const bool singular_message = !field->is_repeated() && field->message_type() != nullptr;
  if (singular_message && !reply.GetReflection()->HasField(reply, field)) {
    if (!route.missing.empty()) return Response::text(404, std::string(route.missing));
    return Response::json("null");
  }
  std::string text = schema::write_field_json(reply, *field, write_options(request));
  if (request.query.has("pretty")) text.push_back('\n');
  return Response::json(std::move(text));
}

Response show(const endpoint::HttpRoute& route, const pb::Message& reply, const Request& request) {
  switch (route.shape) {
    case ResponseShape::kEmpty: return Response{200, {}, ""};
    case ResponseShape::kField: return show_field(route, reply, request);
    case ResponseShape::kAgent: {
      const auto& agent = static_cast<const schema::AgentReply&>(reply);
      const int status = agent.http_status() == 0 ? 200 : static_cast<int>(agent.http_status());
      return Response{status, {{"Content-Type", agent.content_type()}}, agent.body()};
    }
    default: {
      // "missing" on a whole reply: its list is empty.
      if (!route.field.empty() && !route.missing.empty()) {
        const pb::FieldDescriptor* field = reply.GetDescriptor()->FindFieldByName(std::string(route.field));
        STEPPE_ASSERT(field != nullptr && field->is_repeated());
        if (reply.GetReflection()->FieldSize(reply, field) == 0) return Response::text(404, std::string(route.missing));
      }
      std::string text = schema::write_json(reply, write_options(request));
      if (request.query.has("pretty")) text.push_back('\n');
      return Response::json(std::move(text));
    }
  }
}

void compress(const Request& request, Response& response) {
  const std::string* accept = find_header(request.headers, "Accept-Encoding");
  if (accept == nullptr || accept->find("gzip") == std::string::npos || response.body.size() < kCompressAbove) return;
  response.body = gzip(response.body);
  response.headers.emplace_back("Content-Encoding", "gzip");
  response.headers.emplace_back("Vary", "Accept-Encoding");
}

bool plain(const Request& request) { return request.query.value("plain") == "true"; }

}  // namespace

// One request on its way.
struct Api::Exchange {
  const Request& request;
  const endpoint::HttpRoute& route;
  std::unique_ptr<endpoint::Message> message;
  Secret token;
  std::stop_token stop;
};

endpoint::CallContext Api::context(const Exchange& exchange, std::stop_token stop) const {
  return {.home = &loop_, .token = exchange.token, .peer = {.role = endpoint::CertificateRole::kServer, .address = exchange.request.remote}, .deadline = {.stop = std::move(stop)}};
}

io::Task<void> Api::handle(Request& request, ResponseWriter& writer) {
  Response response;
  Result<std::string> path = percent_decode(request.path, false);
  const auto verb = endpoint::parse_verb(request.method == "HEAD" ? "GET" : request.method);
  const endpoint::RouteMatch match = path.ok() ? endpoint::match_route(verb.value_or(endpoint::Verb::kGet), *path) : endpoint::RouteMatch{};
  if (!path.ok()) {
    response = Response::text(400, path.error().message());
  } else if (*path == "/") {
    response = Response{307, {{"Location", "/ui/"}}, ""};
  } else if (match.enterprise) {
    response = Response::text(501, "Nomad Enterprise only endpoint");
  } else if (match.unserved) {
    response = Response::text(501, std::format("{} is not served by this agent", *path));
  } else if (match.wrong_verb || (match.route != nullptr && !verb)) {
    response = Response::text(405, "Invalid method");
  } else if (match.route == nullptr) {
    response = Response{404, {}, ""};
  } else if (const std::string region = request.query.value("region"); !region.empty() && region != "global" && region != region_) {
    response = Response::text(500, "No path to region");
  } else {
    auto message = build_request(match, request);
    if (message.ok()) {
      Exchange exchange{request, *match.route, std::move(*message), token_of(request), writer.stop()};
      if (match.route->shape == ResponseShape::kFrames || match.route->shape == ResponseShape::kBytes) co_return co_await answer_stream(exchange, writer);
      if (match.route->shape == ResponseShape::kWebSocket) co_return co_await answer_websocket(exchange, writer);
      response = co_await answer(exchange);
    } else {
      response = to_response(message.error());
    }
  }
  logger_.debug("request complete", {{"method", request.method}, {"path", request.path}, {"status", response.status}});
  compress(request, response);
  static_cast<void>(co_await writer.send(std::move(response)));
}

io::Task<Response> Api::answer(Exchange& exchange) {
  auto reply = co_await caller_.call(exchange.route.method, *exchange.message, context(exchange, exchange.stop));
  if (!reply.ok()) co_return to_response(reply.error());
  Response response = show(exchange.route, **reply, exchange.request);
  add_meta(**reply, response.headers);
  co_return response;
}

io::Task<void> Api::answer_stream(Exchange& exchange, ResponseWriter& writer) {
  auto stream = co_await caller_.open(exchange.route.method, *exchange.message, context(exchange, exchange.stop));
  if (!stream.ok()) {
    static_cast<void>(co_await writer.send(to_response(stream.error())));
    co_return;
  }
  // The first piece decides between an error and a body.
  io::Deadline until{.stop = exchange.stop};
  auto piece = co_await (*stream)->receive(until);
  if (!piece.ok() || (*piece && (*piece)->error_code() != 0)) {
    Response response = piece.ok() ? Response::text(static_cast<int>((*piece)->error_code()), (*piece)->error()) : to_response(piece.error());
    static_cast<void>(co_await writer.send(std::move(response)));
    co_return;
  }
  const bool text = exchange.route.shape == ResponseShape::kBytes || plain(exchange.request);
  Headers headers{{"Content-Type", text ? "text/plain" : "application/json"}};
  if (!(co_await writer.start(200, std::move(headers))).ok()) co_return;
  while (piece.ok() && *piece) {
    if (!(co_await writer.write((*piece)->payload())).ok()) co_return;  // the reader went away
    piece = co_await (*stream)->receive(until);
  }
  // A failure in the middle leaves the body without its end: the client sees that it was cut.
  if (piece.ok()) static_cast<void>(co_await writer.finish());
}

namespace {

io::Task<void> pump_in(WebSocket& socket, endpoint::Stream& stream, std::stop_source& both) {
  while (true) {
    io::Deadline until{.stop = both.get_token()};
    auto message = co_await socket.receive(until);
    if (!message.ok() || message->closed) break;
    auto piece = std::make_unique<schema::StreamReply>();
    piece->set_payload(std::move(message->text));
    if (!(co_await stream.send(std::move(piece), until)).ok()) break;
  }
  stream.finish();
  both.request_stop();
}

// {"version":1,"auth_token":"..."}
Result<std::string> handshake_token(std::string_view text) {
  json::Reader reader(text);
  if (reader.next() != json::Kind::kObject) return reader.error_here("expected an object");
  std::string token;
  int64_t version = 0;
  while (reader.next() == json::Kind::kKey) {
    const std::string key(reader.text());
    const json::Kind kind = reader.next();
    if (key == "auth_token" && kind == json::Kind::kString) token = reader.text();
    else if (key == "version" && kind == json::Kind::kNumber) version = reader.integer().value_or(0);
    else reader.skip();
  }
  if (reader.failed()) return reader.error();
  if (version != 1) return Error(Code::kInvalid, "unexpected version number, expected 1");
  return token;
}
}  // namespace

io::Task<void> Api::answer_websocket(Exchange& exchange, ResponseWriter& writer) {
  auto socket = co_await writer.upgrade();
  if (!socket.ok()) {
    static_cast<void>(co_await writer.send(Response::text(400, socket.error().message())));
    co_return;
  }
  const io::Deadline brief = io::Deadline::in(loop_, std::chrono::seconds(10), exchange.stop);
  if (exchange.request.query.value("ws_handshake") == "true") {
    auto first = co_await (*socket)->receive(brief);
    Result<std::string> token = first.ok() ? handshake_token(first->text) : Result<std::string>(first.error());
    if (!token.ok()) {
      static_cast<void>(co_await (*socket)->close(1008, "failed to decode handshake: " + token.error().message(), brief));
      co_return;
    }
    exchange.token = Secret(*token);
  }
  auto stream = co_await caller_.open(exchange.route.method, *exchange.message, context(exchange, exchange.stop));
  std::stop_source both;
  const std::stop_callback relay(exchange.stop, [&both] { both.request_stop(); });
  std::optional<Failure> failure;
  if (!stream.ok()) {
    failure = stream.error();
  } else {
    io::Scope scope(loop_);
    scope.spawn(pump_in(**socket, **stream, both));
    while (true) {
      io::Deadline until{.stop = both.get_token()};
      auto piece = co_await (*stream)->receive(until);
      if (!piece.ok() && piece.error().code() != Code::kCancelled) failure = piece.error();
      if (!piece.ok() || !*piece) break;
      if ((*piece)->error_code() != 0) {
        failure.emplace(static_cast<int>((*piece)->error_code()), Code::kIo, (*piece)->error());
        break;
      }
      if (!(co_await (*socket)->send_text((*piece)->payload(), until)).ok()) break;
    }
    both.request_stop();
    co_await scope.join();
  }
  const uint16_t code = !failure ? 1000 : failure->http_status() >= 500 ? 1011 : 1008;
  static_cast<void>(co_await (*socket)->close(code, failure ? failure->message() : "", brief));
}

}  // namespace steppe::http
