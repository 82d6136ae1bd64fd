#include "agent/cli/context.h"

#include <google/protobuf/message.h>

#include <format>

#include "agent/schema/codec.h"
#include "init/base/text.h"

namespace steppe::cli {

std::string setting(const Environment& environment, std::string_view name) {
  for (const char* prefix : {"STEPPE_", "NOMAD_"}) {
    const auto found = environment.find(std::string(prefix).append(name));
    if (found != environment.end() && !found->second.empty()) return found->second;
  }
  return "";
}

Result<> Context::configure(const Flags& flags) {
  const std::string address = setting(environment_, "ADDR");
  options_.address = flags.text("address", address.empty() ? "http://127.0.0.1:4646" : address);
  options_.region = flags.text("region", setting(environment_, "REGION"));
  options_.space = flags.text("namespace", setting(environment_, "NAMESPACE"));
  options_.token = flags.text("token", setting(environment_, "TOKEN"));
  Result<http::Target> checked = target();
  if (!checked.ok()) return std::move(checked).error();
  return {};
}

Result<http::Target> Context::target() const {
  std::string_view rest = options_.address;
  if (rest.starts_with("unix://")) {
    STEPPE_TRY(io::Address address, io::Address::parse(options_.address));
    return http::Target{std::move(address), "localhost"};
  }
  if (rest.starts_with("https://")) return Error(Code::kUnsupported, std::format("address \"{}\": TLS is not built yet, use http:// or unix://", rest));
  if (!rest.starts_with("http://")) return Error(Code::kInvalid, std::format("address \"{}\": expected http://HOST:PORT or unix:///PATH", rest));
  rest.remove_prefix(7);
  rest = rest.substr(0, rest.find('/'));
  std::string place(rest);
  if (place.starts_with("localhost")) place.replace(0, 9, "127.0.0.1");
  if (place.rfind(':') == std::string::npos || place.ends_with(']')) place.append(":4646");
  STEPPE_TRY(io::Address address, io::Address::parse(place).wrap(std::format("address \"{}\"", options_.address)));
  return http::Target{std::move(address), std::string(rest)};
}

http::Request Context::make_request(std::string method, std::string path, http::Query query, std::string body) const {
  if (!options_.region.empty()) query.add("region", options_.region);
  if (!options_.space.empty() && !query.has("namespace")) query.add("namespace", options_.space);
  http::Request request;
  request.method = std::move(method);
  request.path = std::move(path);
  request.query = std::move(query);
  request.body = std::move(body);
  if (!options_.token.empty()) request.headers.emplace_back("X-Nomad-Token", options_.token);
  return request;
}

io::Task<Result<http::Response>> Context::request(std::string method, std::string path, http::Query query, std::string body) {
  STEPPE_CO_TRY(http::Target target, this->target());
  http::Client client(network_, rng_, std::move(target), {.body = Bytes::mib(256)});
  // Longer than the longest blocking query, which is five minutes and a sixteenth.
  const io::Deadline deadline = io::Deadline::in(loop_, std::chrono::minutes(6));
  http::Request request = make_request(std::move(method), std::move(path), std::move(query), std::move(body));
  Result<http::Response> response = co_await client.call(std::move(request), deadline);
  if (!response.ok()) co_return std::move(response).wrap(std::format("agent at {}", options_.address)).error();
  if (response->status / 100 != 2) {
    co_return Error(response->status == 404 ? Code::kNotFound : Code::kInvalid,
                    std::format("Unexpected response code: {} ({})", response->status, response->body));
  }
  co_return response;
}

io::Task<Result<std::string>> Context::get(std::string path, http::Query query) {
  STEPPE_CO_TRY(http::Response response, co_await request("GET", std::move(path), std::move(query)));
  co_return std::move(response.body);
}

io::Task<Result<>> Context::get_into(std::string path, http::Query query, google::protobuf::Message* into, std::string list_key) {
  STEPPE_CO_TRY(std::string body, co_await get(std::move(path), std::move(query)));
  if (!list_key.empty()) body = std::format("{{\"{}\":{}}}", list_key, body);
  schema::ReadOptions limits;
  limits.max_bytes = size_t{256} << 20;
  co_return schema::read_json(body, into, limits).wrap("answer of the agent");
}

io::Task<Result<>> Context::put_into(std::string path, http::Query query, const google::protobuf::Message& body, google::protobuf::Message* into) {
  schema::WriteOptions style;
  style.redact = false;  // the server needs what the user wrote
  STEPPE_CO_TRY(http::Response response, co_await request("PUT", std::move(path), std::move(query), schema::write_json(body, style)));
  if (into == nullptr || response.body.empty()) co_return Result<>();
  co_return schema::read_json(response.body, into).wrap("answer of the agent");
}

io::Task<Result<>> Context::stream(std::string path, http::Query query, http::BodySink sink, io::Deadline deadline) {
  STEPPE_CO_TRY(http::Target target, this->target());
  http::Client client(network_, rng_, std::move(target), {.body = Bytes{UINT64_MAX}});
  http::Request request = make_request("GET", std::move(path), std::move(query), "");
  STEPPE_CO_TRY(http::Response response, co_await client.stream(std::move(request), std::move(sink), deadline));
  if (response.status != 200) co_return Error(Code::kInvalid, std::format("Unexpected response code: {} ({})", response.status, response.body));
  co_return Result<>();
}

io::Task<Result<std::unique_ptr<http::WebSocket>>> Context::websocket(std::string path, http::Query query) {
  STEPPE_CO_TRY(http::Target target, this->target());
  http::Client client(network_, rng_, std::move(target));
  http::Request request = make_request("GET", std::move(path), std::move(query), "");
  const io::Deadline deadline = io::Deadline::in(loop_, std::chrono::seconds(30));
  co_return co_await client.websocket(std::move(request), deadline);
}

}  // namespace steppe::cli
