#include "agent/server/test_cluster.h"

#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"

namespace steppe::server {

using endpoint::Method;

namespace {

Settings with_defaults(Settings settings) {
  settings.rpc_address = "127.0.0.1:4647";
  settings.node_address = "127.0.0.1";
  return settings;
}

}  // namespace

TestCluster::TestCluster(uint64_t seed, Settings settings) : rng(seed), loop(rng), metrics(loop), log(loop) {
  server = std::make_unique<Server>(loop, rng, log::Logger(), metrics, with_defaults(std::move(settings)));
  dispatcher = std::make_unique<endpoint::Dispatcher>(*resolver, loop);
  log.attach(server.get());
  server->set_proposer(&log);
  server->add_methods(*dispatcher);
  server->establish();
}

TestCluster::~TestCluster() { run(server->stop()); }

void TestCluster::run(io::Task<void> task) {
  bool finished = false;
  io::start_root(loop, std::move(task), [&] { finished = true; });
  EXPECT_TRUE(loop.run_until([&] { return finished; }, std::chrono::hours(1)));
}

std::string TestCluster::add_node(const std::string& name) {
  schema::NodeRegisterRequest request;
  schema::Node& node = *request.mutable_node();
  node.set_id(NodeId::random(rng).text());
  node.set_secret_id("secret-" + node.id());
  node.set_name(name);
  node.set_datacenter("dc1");
  node.set_status("ready");
  node.set_node_pool("default");
  (*node.mutable_attributes())["kernel.name"] = "linux";
  (*node.mutable_attributes())["driver.mock"] = "1";
  schema::DriverInfo& driver = (*node.mutable_drivers())["mock"];
  driver.set_detected(true);
  driver.set_healthy(true);
  schema::NodeResources& resources = *node.mutable_node_resources();
  resources.mutable_cpu()->set_cpu_shares(1000);
  resources.mutable_cpu()->set_total_cpu_cores(1);
  resources.mutable_memory()->set_memory_mb(3000);
  resources.mutable_disk()->set_disk_mb(100'000);
  resources.set_min_dynamic_port(20000);
  resources.set_max_dynamic_port(32000);
  EXPECT_GT(call<Method::kNodeRegister>(request).heartbeat_ttl(), 0);
  return node.id();
}

Duration TestCluster::heartbeat(const std::string& node_id) {
  schema::NodeUpdateStatusRequest request;
  request.set_node_id(node_id);
  request.set_secret_id("secret-" + node_id);
  request.set_status("ready");
  return Duration(call<Method::kNodeUpdateStatus>(request).heartbeat_ttl());
}

void TestCluster::report(const std::string& node_id, const std::string& alloc_id, const std::string& status, std::optional<bool> healthy) {
  schema::AllocUpdateRequest update;
  update.set_node_id(node_id);
  update.set_secret_id("secret-" + node_id);
  schema::Allocation& alloc = *update.add_alloc();
  alloc.set_id(alloc_id);
  alloc.set_node_id(node_id);
  alloc.set_client_status(status);
  schema::TaskState& task = (*alloc.mutable_task_states())["main"];
  task.set_state(status == "running" ? "running" : status == "pending" ? "pending" : "dead");
  task.set_failed(status == "failed");
  task.set_started_at(loop.wall().unix_ns);
  if (task.state() == "dead") task.set_finished_at(loop.wall().unix_ns);
  if (healthy) {
    alloc.mutable_deployment_status()->set_healthy(*healthy);
    alloc.mutable_deployment_status()->set_timestamp(loop.wall().unix_ns);
  }
  call<Method::kNodeUpdateAlloc>(update);
}

void TestCluster::obey(const std::string& node_id) {
  schema::NodeSpecificRequest request;
  request.set_node_id(node_id);
  request.set_secret_id("secret-" + node_id);
  const auto due = call<Method::kNodeGetClientAllocs>(request);
  for (const auto& [id, index] : due.allocs()) {
    schema::AllocsGetRequest get;
    get.add_alloc_ids(id);
    get.set_secret_id("secret-" + node_id);
    const schema::Allocation alloc = call<Method::kAllocGetAllocs>(get).allocs(0);
    if (alloc.desired_status() == "run" && alloc.client_status() == "pending") report(node_id, id, "running");
    const bool over = alloc.client_status() == "complete" || alloc.client_status() == "failed" || alloc.client_status() == "lost";
    if (alloc.desired_status() != "run" && !over) report(node_id, id, "complete");
  }
}

std::vector<schema::Allocation> TestCluster::allocs(const std::string& job_id) {
  std::vector<schema::Allocation> out;
  for (const state::AllocView& alloc : snapshot().allocs_by_job("default", job_id, state::Incarnation::kAny)) out.push_back(alloc.decode(state::WithJob::kYes));
  return out;
}

void TestCluster::settle() {
  const auto busy = [&] {
    bool pending = false;
    snapshot().each_eval({}, state::Order::kForward, [&](const state::EvalView& eval) {
      pending = pending || (eval.status() == state::EvalStatus::kPending && eval.wait_until() == 0);
      return !pending;
    });
    return pending;
  };
  loop.run_for(std::chrono::milliseconds(200));
  EXPECT_TRUE(loop.run_until([&] { return !busy(); }, std::chrono::minutes(10)));
  loop.run_for(std::chrono::milliseconds(200));
}

schema::JobRegisterRequest registration(const schema::Job& job) {
  schema::JobRegisterRequest request;
  *request.mutable_job() = job;
  return request;
}

schema::Job test_job(const std::string& id, int64_t count, const std::string& type) {
  schema::Job job;
  job.set_id(id);
  job.set_name(id);
  job.set_type(type);
  job.add_datacenters("dc1");
  schema::TaskGroup& group = *job.add_task_groups();
  group.set_name("web");
  group.set_count(count);
  schema::Task& task = *group.add_tasks();
  task.set_name("main");
  task.set_driver("mock");
  task.mutable_resources()->set_cpu(100);
  task.mutable_resources()->set_memory_mb(100);
  return job;
}

}  // namespace steppe::server
