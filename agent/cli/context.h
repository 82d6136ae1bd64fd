#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "agent/cli/flags.h"
#include "agent/cli/ui.h"
#include "agent/http/client.h"
#include "init/io/loop.h"

namespace google::protobuf {
class Message;
}

namespace steppe::cli {

using Environment = std::map<std::string, std::string, std::less<>>;

// STEPPE_<name> if it is set, else NOMAD_<name>, else "".
std::string setting(const Environment& environment, std::string_view name);

// What a command works with: the loop it runs on, where it prints, and the API of one agent.
class Context {
 public:
  struct Options {
    std::string address;      // http://127.0.0.1:4646
    std::string region;
    std::string space;        // -namespace; "" is the server's default
    std::string token;
  };

  Context(io::Loop& loop, io::Network& network, Rng& rng, Ui& ui, Environment environment)
      : loop_(loop), network_(network), rng_(rng), ui_(ui), environment_(std::move(environment)) {}

  // -address and its like, over the environment. kInvalid for an address that cannot be used.
  Result<> configure(const Flags& flags);

  // As it was called: what its messages tell people to type.
  void set_program(std::string program) { program_ = std::move(program); }
  const std::string& program() const { return program_; }

  Ui& ui() { return ui_; }
  io::Loop& loop() { return loop_; }
  const Environment& environment() const { return environment_; }
  const Options& options() const { return options_; }
  int64_t now_ns() const { return loop_.wall().unix_ns; }

  // One request; a status other than 2xx is an error: "Unexpected response code: 404 (job not found)".
  // `path` is literal: segments that users name go through http::percent_encode.
  io::Task<Result<http::Response>> request(std::string method, std::string path, http::Query query, std::string body = {});
  io::Task<Result<std::string>> get(std::string path, http::Query query = {});
  // The answer as a message: an object, or with `list_key` an array that becomes this field ("Jobs").
  io::Task<Result<>> get_into(std::string path, http::Query query, google::protobuf::Message* into, std::string list_key = {});
  io::Task<Result<>> put_into(std::string path, http::Query query, const google::protobuf::Message& body, google::protobuf::Message* into);
  // The body piece by piece.
  io::Task<Result<>> stream(std::string path, http::Query query, http::BodySink sink, io::Deadline deadline);
  io::Task<Result<std::unique_ptr<http::WebSocket>>> websocket(std::string path, http::Query query);

 private:
  http::Request make_request(std::string method, std::string path, http::Query query, std::string body) const;
  Result<http::Target> target() const;

  io::Loop& loop_;
  io::Network& network_;
  Rng& rng_;
  Ui& ui_;
  const Environment environment_;
  Options options_;
  std::string program_ = "steppe";
};

}  // namespace steppe::cli
