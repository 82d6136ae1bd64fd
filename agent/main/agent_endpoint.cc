#include "agent/main/agent_endpoint.h"

#include <format>

#include "agent/jobspec/parse.h"
#include "agent/model/canonicalize.h"
#include "agent/schema/agent.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/io/epoll_loop.h"
#include "init/json/writer.h"

namespace steppe::agent {

using endpoint::Method;
using endpoint::Outcome;

Result<log::Level> reload_log_level(const Settings& settings) {
  std::vector<std::string> words;
  if (settings.dev) words.push_back("-dev");
  for (const std::string& path : settings.config_paths) words.insert(words.end(), {"-config", path});
  if (!settings.dev) words.insert(words.end(), {"-data-dir", settings.data_dir, "-server"});
  STEPPE_TRY(const Settings fresh, read_settings(words, {}));
  return fresh.log_level;
}

void AgentEndpoint::add_methods(endpoint::Dispatcher& dispatcher) {
  dispatcher.add<Method::kAgentSelf>(loop_, [this](const auto& request, const Call& call, auto& reply) { return self(request, call, reply); });
  dispatcher.add<Method::kAgentHealth>(loop_, [this](const auto& request, const Call& call, auto& reply) { return health(request, call, reply); });
  dispatcher.add<Method::kJobParse>(loop_, [this](const auto& request, const Call& call, auto& reply) { return parse(request, call, reply); });
}

namespace {

void member(json::Writer& writer, std::string_view key, std::string_view value) {
  writer.key(key);
  writer.text(value);
}

void flag(json::Writer& writer, std::string_view key, bool value) {
  writer.key(key);
  writer.boolean(value);
}

void number(json::Writer& writer, std::string_view key, int64_t value) {
  writer.key(key);
  writer.integer(value);
}

// Texts, as Nomad's stats are.
void stat(json::Writer& writer, std::string_view key, uint64_t value) { member(writer, key, std::to_string(value)); }

}  // namespace

io::Task<Outcome<>> AgentEndpoint::self(const schema::AgentRequest&, const Call&, schema::AgentReply& reply) {
  json::Writer writer(reply.mutable_body());
  writer.begin_object();
  writer.key("config");
  writer.begin_object();
  member(writer, "Region", settings_.region);
  member(writer, "Datacenter", settings_.node.datacenter);
  member(writer, "NodeName", settings_.name);
  member(writer, "DataDir", settings_.data_dir);
  member(writer, "BindAddr", settings_.bind_address);
  member(writer, "LogLevel", log::level_name(settings_.log_level));
  flag(writer, "DevMode", settings_.dev);
  writer.key("Ports");
  writer.begin_object();
  number(writer, "HTTP", settings_.http_port);
  number(writer, "RPC", settings_.rpc_port);
  number(writer, "Serf", settings_.serf_port);
  writer.end_object();
  writer.key("Server");
  writer.begin_object();
  flag(writer, "Enabled", settings_.server);
  writer.end_object();
  writer.key("Client");
  writer.begin_object();
  flag(writer, "Enabled", settings_.client);
  writer.end_object();
  writer.key("Version");
  writer.begin_object();
  member(writer, "Version", "2.0.6");
  member(writer, "Steppe", "0.1.0");
  writer.end_object();
  writer.end_object();
  writer.key("member");
  writer.begin_object();
  member(writer, "Name", std::format("{}.{}", settings_.name, settings_.region));
  member(writer, "Addr", settings_.bind_address);
  number(writer, "Port", settings_.serf_port);
  member(writer, "Status", settings_.server ? "alive" : "none");
  writer.end_object();
  writer.key("stats");
  writer.begin_object();
  if (server_ != nullptr) {
    const raft::NodeMetrics metrics = server_->metrics();
    writer.key("nomad");
    writer.begin_object();
    member(writer, "server", "true");
    member(writer, "leader", server_->leading() ? "true" : "false");
    writer.end_object();
    writer.key("raft");
    writer.begin_object();
    stat(writer, "applied_index", metrics.applied);
    stat(writer, "last_snapshot_index", metrics.snapshot);
    stat(writer, "pending", metrics.pending);
    writer.end_object();
  }
  if (client_ != nullptr) {
    writer.key("client");
    writer.begin_object();
    member(writer, "node_id", client_->node_id());
    writer.end_object();
  }
  writer.end_object();
  writer.end_object();
  reply.set_content_type("application/json");
  co_return Outcome<>();
}

io::Task<Outcome<>> AgentEndpoint::health(const schema::AgentRequest& request, const Call&, schema::AgentReply& reply) {
  bool healthy = true;
  json::Writer writer(reply.mutable_body());
  const auto part = [&](std::string_view name, bool ok, std::string_view message) {
    healthy = healthy && ok;
    writer.key(name);
    writer.begin_object();
    flag(writer, "ok", ok);
    member(writer, "message", ok ? "ok" : message);
    writer.end_object();
  };
  writer.begin_object();
  if (client_ != nullptr && request.type() != "server") part("client", client_->healthy(), "no known servers");
  if (server_ != nullptr && request.type() != "client") part("server", server_->leading(), "No cluster leader");
  writer.end_object();
  reply.set_content_type("application/json");
  reply.set_http_status(healthy ? 200 : 500);
  co_return Outcome<>();
}

io::Task<Outcome<>> AgentEndpoint::parse(const schema::JobsParseRequest& request, const Call&, schema::SingleJobReply& reply) {
  if (request.job_hcl().empty()) co_return endpoint::bad_request("Job spec is empty");
  jobspec::ParseOptions options;  // no files: the server's are none of the caller's business
  options.rng = &io::system_rng();
  if (!request.variables().empty()) options.var_files.push_back({"input.hcl", request.variables()});
  Result<schema::Job> job = jobspec::parse("input.hcl", request.job_hcl(), options);
  if (!job.ok()) co_return endpoint::bad_request(job.error().message());
  *reply.mutable_job() = std::move(*job);
  if (request.canonicalize()) model::canonicalize(reply.mutable_job());
  co_return Outcome<>();
}

}  // namespace steppe::agent
