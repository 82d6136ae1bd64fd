#include "agent/client/client.h"

#include <sys/stat.h>

#include <fstream>

#include "agent/client/client_test_world.h"

namespace steppe::client::test {
namespace {

using Leave = Client::Leave;

TEST_F(World, RegistersReportsReadyAndHeartbeats) {
  server_->failing_calls = 1;
  auto body = [this]() -> io::Task<void> {
    EXPECT_EQ(client_->node().name(), "worker-3") << "asked for while the state is still being read";
    co_await until([this] { return client_->ready(); }, "ready");
    co_await until([this] { return server_->statuses.size() >= 3; }, "heartbeats");
    EXPECT_EQ(server_->node->name(), "worker-3");
    EXPECT_TRUE(server_->node->computed_class().starts_with("v1:"));
    server_->forgot = true;
    co_await until([this] { return server_->registrations >= 2; }, "registers again when the servers forgot it");
  };
  live(body);
  std::string first = server_->node->id(), secret = server_->node->secret_id();
  live(body);
  EXPECT_EQ(server_->node->id(), first);
  EXPECT_EQ(server_->node->secret_id(), secret);
}

TEST_F(World, ABatchTaskRunsToCompleteWithItsEnvironment) {
  schema::Allocation alloc = make_alloc(1, "batch", {"work"});
  schema::Task& task = *alloc.mutable_job()->mutable_task_groups(0)->mutable_tasks(0);
  (*task.mutable_env())["WHERE"] = "${node.datacenter}/${meta.rack}/${NOMAD_ALLOC_INDEX}/${unknown.thing}";
  (*task.mutable_config())["command"].set_text("/bin/${NOMAD_TASK_NAME}");
  schema::AllocatedPortMapping& port = *alloc.mutable_allocated_resources()->mutable_shared()->add_ports();
  port.set_label("http-admin");
  port.set_value(20123);
  port.set_to(8080);
  port.set_host_ip("10.0.0.5");
  std::string id = alloc.id();
  auto body = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return driver_.process("work") != nullptr; }, "start");
    auto process = driver_.process("work");
    auto has = [&](const char* line) { return std::ranges::find(process->env, line) != process->env.end(); };
    EXPECT_TRUE(has("WHERE=dc1/r12/2/${unknown.thing}"));
    EXPECT_TRUE(has("NOMAD_PORT_http_admin=8080"));
    EXPECT_TRUE(has("NOMAD_ADDR_http_admin=10.0.0.5:20123"));
    EXPECT_TRUE(has("NOMAD_MEMORY_LIMIT=256"));
    EXPECT_EQ(std::get<std::string>(process->config.at("command").value), "/bin/work");
    EXPECT_TRUE(std::filesystem::is_directory(base_ + "/alloc/" + id + "/alloc/logs"));
    std::string task = base_ + "/alloc/" + id + "/work";
    EXPECT_TRUE(std::filesystem::is_directory(task + "/secrets"));
    auto mounted = [&] {
      struct stat own, parent;
      return ::stat((task + "/secrets").c_str(), &own) == 0 && ::stat(task.c_str(), &parent) == 0 && own.st_dev != parent.st_dev;
    };
    EXPECT_EQ(mounted(), ::geteuid() == 0);
    co_await until([&] { return server_->status(id) == "running"; }, "running");
    process->end(0);
    co_await until([&] { return server_->status(id) == "complete"; }, "complete");
    co_await until([&] { return !mounted(); }, "secrets are gone with the last task");
  };
  live(body);
  EXPECT_EQ(events(id, "work"), (std::vector<std::string>{"Received", "Task Setup", "Started", "Terminated"}));
  EXPECT_EQ(driver_.remembered(), 0u);
}

TEST_F(World, FailuresAreRestartedByPolicyThenFail) {
  schema::Allocation alloc = make_alloc(2, "batch", {"work"});
  std::string id = alloc.id();
  driver_.script = [](const drivers::TaskConfig&) { return 3; };
  auto body = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return server_->status(id) == "failed"; }, "failed");
  };
  live(body);
  EXPECT_EQ(driver_.starts(), 2);
  EXPECT_EQ(server_->reported(id)->task_states().at("work").restarts(), 1u);
  EXPECT_EQ(events(id, "work").back(), "Not Restarting");
}

TEST_F(World, LifecycleOrderAcrossTasks) {
  schema::Allocation alloc = make_alloc(3, "batch", {"main", "init:prestart", "proxy:prestart:sidecar", "clean:poststop"});
  std::string id = alloc.id();
  auto body = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return driver_.process("init") && driver_.process("proxy"); }, "prestart");
    EXPECT_EQ(driver_.process("main"), nullptr);
    driver_.process("init")->end(0);
    co_await until([&] { return driver_.process("main") != nullptr; }, "main");
    driver_.process("main")->end(0);
    co_await until([&] { return driver_.process("clean") != nullptr; }, "poststop after the sidecar was killed");
    EXPECT_EQ(driver_.process("proxy"), nullptr);
    driver_.process("clean")->end(0);
    co_await until([&] { return server_->status(id) == "complete"; }, "complete");
  };
  live(body);
  EXPECT_EQ(events(id, "proxy")[3], "Main Tasks Dead");
}

TEST_F(World, AStopFromTheServerEndsTheTaskAndRemovalRemovesTheDirectory) {
  schema::Allocation alloc = make_alloc(4, "service", {"web"});
  std::string id = alloc.id();
  auto body = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return server_->status(id) == "running"; }, "running");
    server_->stop(id);
    co_await until([&] { return server_->status(id) == "complete"; }, "complete");
    EXPECT_TRUE(std::filesystem::exists(base_ + "/alloc/" + id));
    server_->remove(id);
    co_await until([&] { return client_->find(id) == nullptr; }, "forgotten");
    EXPECT_FALSE(std::filesystem::exists(base_ + "/alloc/" + id));
  };
  live(body);
  std::vector<std::string> tail = events(id, "web");
  EXPECT_EQ(std::vector<std::string>(tail.end() - 3, tail.end()), (std::vector<std::string>{"Killing", "Terminated", "Killed"}));
}

TEST_F(World, TheNextClientTakesHoldOfRunningTasksAndLearnsExitsThatItMissed) {
  schema::Allocation alloc = make_alloc(5, "batch", {"a", "b"});
  std::string id = alloc.id();
  auto first = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return driver_.process("a") && driver_.process("b") && server_->status(id) == "running"; }, "running");
  };
  live(first, Leave::kKeepTasks);
  ASSERT_NE(driver_.process("a"), nullptr) << "leaving must not end tasks";
  driver_.process("b")->end(0);  // while no client lives
  auto second = [&]() -> io::Task<void> {
    co_await until([&] { return client_->find(id) && client_->find(id)->task("b") && client_->find(id)->task("b")->snapshot().state() == "dead"; }, "b's exit");
    EXPECT_EQ(client_->find(id)->task("a")->snapshot().state(), "running");
    driver_.process("a")->end(7);
    co_await until([&] { return driver_.starts() == 3; }, "the failed one restarts");
    driver_.process("a")->end(0);
    co_await until([&] { return server_->status(id) == "complete"; }, "complete");
  };
  live(second);
  EXPECT_EQ(driver_.recoveries(), 2);
  EXPECT_EQ(driver_.starts(), 3);
}

TEST_F(World, TasksThatAreGoneAfterARebootRunAgainWithoutTheServer) {
  schema::Allocation alloc = make_alloc(6, "service", {"web"});
  std::string id = alloc.id();
  auto first = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return server_->status(id) == "running"; }, "running");
  };
  live(first, Leave::kKeepTasks);
  driver_.forget_all();
  server_->failing_calls = 1'000'000;  // no server in reach
  auto second = [&]() -> io::Task<void> {
    co_await until([&] { return driver_.process("web") != nullptr; }, "runs again");
    EXPECT_FALSE(client_->ready());
  };
  live(second);
  EXPECT_EQ(driver_.starts(), 2);
}

TEST_F(World, ADamagedRecordCostsItsAllocOnly) {
  schema::Allocation good = make_alloc(7, "service", {"web"}), bad = make_alloc(8, "service", {"db"});
  auto first = [&]() -> io::Task<void> {
    server_->put(good);
    server_->put(bad);
    co_await until([&] { return server_->status(good.id()) == "running" && server_->status(bad.id()) == "running"; }, "running");
  };
  live(first, Leave::kKeepTasks);
  {
    auto store = *StateStore::open(base_ + "/state");
    auto records = *store->dump();
    int flipped = 0;
    for (auto& [key, value] : records) {
      if (!key.starts_with("task/" + bad.id())) continue;
      value[value.size() / 2] ^= 0x40;
      ASSERT_TRUE(store->write({{key, value}}).ok());
      ++flipped;
    }
    ASSERT_EQ(flipped, 1);
  }
  server_->failing_calls = 1'000'000;
  auto second = [&]() -> io::Task<void> {
    co_await until([&] { return client_->find(good.id()) && client_->find(good.id())->task("web"); }, "the good one is back");
    EXPECT_EQ(client_->find(bad.id()), nullptr);
    EXPECT_NE(driver_.process("db"), nullptr) << "no task is killed blindly";
  };
  live(second, Leave::kKeepTasks);
  server_->failing_calls = 0;
  // Once the servers answer, the lost one is found through the driver and not started twice.
  auto third = [&]() -> io::Task<void> {
    co_await until([&] { return client_->find(bad.id()) && client_->find(bad.id())->task("db") && client_->find(bad.id())->task("db")->snapshot().state() == "running"; }, "adopted");
  };
  live(third);
  EXPECT_EQ(driver_.starts(), 2);
}

TEST_F(World, AStopIsRememberedByTheNextAgent) {
  schema::Allocation alloc = make_alloc(21, "service", {"web"});
  std::string id = alloc.id();
  std::shared_ptr<FakeProcess> process;
  auto first = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return server_->status(id) == "running"; }, "running");
    process = driver_.process("web");
    process->ignores_stop = true;
    server_->stop(id);
    co_await until([&] { return !process->signals.empty(); }, "signalled");
  };
  live(first, Leave::kKeepTasks);
  process->end(7);  // while no client lives
  server_->failing_calls = 1'000'000;
  auto second = [&]() -> io::Task<void> {
    co_await until([&] { return client_->find(id) && client_->find(id)->finished(); }, "finished");
    EXPECT_EQ(client_->find(id)->status()->client_status(), "complete") << "stopped, not failed";
  };
  live(second, Leave::kKeepTasks);
  EXPECT_EQ(driver_.starts(), 1);
}

TEST_F(World, ATaskWhoseRecordIsMissingIsFoundByItsLastAttempt) {
  schema::Allocation alloc = make_alloc(22, "service", {"web"});
  std::string id = alloc.id();
  auto first = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return driver_.process("web") != nullptr; }, "runs");
    driver_.process("web")->end(1);
    co_await until([&] { return driver_.starts() == 2 && driver_.process("web") != nullptr && server_->status(id) == "running"; }, "runs again");
  };
  live(first, Leave::kKeepTasks);
  {
    auto store = *StateStore::open(base_ + "/state");
    ASSERT_TRUE(store->write({{"task/" + id + "/*", ""}}).ok());
  }
  server_->failing_calls = 1'000'000;
  auto second = [&]() -> io::Task<void> {
    co_await until([&] { return client_->find(id) && client_->find(id)->task("web") && client_->find(id)->task("web")->snapshot().state() == "running"; }, "taken hold of");
  };
  live(second);
  EXPECT_EQ(driver_.starts(), 2);
}

TEST_F(World, AStickyDiskMovesToTheNextAllocOnceTheOneBeforeHasEnded) {
  schema::Allocation old = make_alloc(31, "service", {"web"}), plain = make_alloc(32, "service", {"db"}), next = make_alloc(33, "service", {"web"});
  for (schema::Allocation* alloc : {&old, &next}) alloc->mutable_job()->mutable_task_groups(0)->mutable_ephemeral_disk()->set_sticky(true);
  next.set_previous_allocation(old.id());
  auto at = [&](const schema::Allocation& alloc, const std::string& path) { return base_ + "/alloc/" + alloc.id() + "/" + path; };
  auto body = [&]() -> io::Task<void> {
    server_->put(old);
    server_->put(plain);
    co_await until([&] { return server_->status(old.id()) == "running" && server_->status(plain.id()) == "running"; }, "running");
    std::ofstream(at(old, "alloc/data/rows")) << "kept";
    std::ofstream(at(old, "web/local/cache")) << "warm";
    std::ofstream(at(old, "alloc/tmp/scratch")) << "not kept";
    std::shared_ptr<FakeProcess> process = driver_.process("web");
    process->ignores_stop = true;
    server_->stop(old.id());
    server_->put(next);
    co_await until([&] { return !process->signals.empty(); }, "signalled");
    EXPECT_EQ(driver_.starts(), 2) << "the next one waits";
    EXPECT_TRUE(std::filesystem::exists(at(old, "alloc/data/rows")));
    process->end(0);
    co_await until([&] { return server_->status(next.id()) == "running"; }, "the next one runs");
    EXPECT_TRUE(std::filesystem::exists(at(next, "alloc/data/rows")));
    EXPECT_TRUE(std::filesystem::exists(at(next, "web/local/cache")));
    EXPECT_FALSE(std::filesystem::exists(at(next, "alloc/tmp/scratch")));
    EXPECT_FALSE(std::filesystem::exists(at(old, "alloc/data/rows")));
  };
  live(body);
}

TEST_F(World, WhatNobodyKnowsAnyMoreIsClearedAway) {
  schema::Allocation gone = make_alloc(23, "service", {"web"}), kept = make_alloc(24, "service", {"db"});
  auto first = [&]() -> io::Task<void> {
    server_->put(gone);
    server_->put(kept);
    co_await until([&] { return server_->status(gone.id()) == "running" && server_->status(kept.id()) == "running"; }, "running");
  };
  live(first, Leave::kKeepTasks);
  {
    auto store = *StateStore::open(base_ + "/state");
    ASSERT_TRUE(store->write(StateWrite::forget(gone.id())).ok());
    ASSERT_TRUE(store->write(StateWrite::forget(kept.id())).ok());  // the servers still know this one
  }
  server_->remove(gone.id());
  ASSERT_EQ(driver_.remembered(), 2u);
  std::filesystem::create_directories(base_ + "/alloc/not-an-alloc");
  auto second = [&]() -> io::Task<void> {
    co_await until([&] { return driver_.remembered() == 1 && !std::filesystem::exists(base_ + "/alloc/" + gone.id()); }, "cleared away");
    co_await until([&] { return client_->find(kept.id()) && client_->find(kept.id())->task("db") && client_->find(kept.id())->task("db")->snapshot().state() == "running"; }, "the other one is kept");
    EXPECT_TRUE(std::filesystem::exists(base_ + "/alloc/not-an-alloc"));
  };
  live(second);
  EXPECT_EQ(driver_.starts(), 2);
}

TEST_F(World, HooksRenderTemplatesAndPayloadsInsideTheTaskOnly) {
  schema::Allocation alloc = make_alloc(9, "batch", {"ok"}), other = make_alloc(10, "batch", {"escape"});
  alloc.mutable_job()->set_payload("the payload");
  schema::Task& ok = *alloc.mutable_job()->mutable_task_groups(0)->mutable_tasks(0);
  ok.mutable_dispatch_payload()->set_file("in/put.txt");
  schema::Template& env = *ok.add_templates();
  env.set_embedded_tmpl("DSN=\"pg://{{ env \"node.unique.name\" }}\"\n");
  env.set_dest_path("${NOMAD_SECRETS_DIR}/db.env");
  env.set_envvars(true);
  env.set_perms("600");
  schema::Template& shared = *ok.add_templates();
  shared.set_embedded_tmpl("for all of {{ env \"NOMAD_JOB_ID\" }}");
  shared.set_dest_path("${NOMAD_ALLOC_DIR}/data/shared.txt");
  schema::Template& again = *ok.add_templates();
  again.set_source_path("${NOMAD_ALLOC_DIR}/data/shared.txt");
  again.set_dest_path("/local/copy.txt");
  schema::Template& escape = *other.mutable_job()->mutable_task_groups(0)->mutable_tasks(0)->add_templates();
  escape.set_embedded_tmpl("x");
  escape.set_dest_path("../../../../escaped");
  auto body = [&]() -> io::Task<void> {
    server_->put(alloc);
    server_->put(other);
    co_await until([&] { return server_->status(alloc.id()) == "complete"; }, "complete");
    co_await until([&] { return server_->status(other.id()) == "failed"; }, "failed");
  };
  std::string dsn;
  driver_.script = [&](const drivers::TaskConfig& config) -> std::optional<int> {
    for (const std::string& line : config.env) {
      if (line.starts_with("DSN=")) dsn = line;
    }
    std::ifstream payload(config.task_dir_path + "/local/in/put.txt");
    std::string text((std::istreambuf_iterator<char>(payload)), {});
    EXPECT_EQ(text, "the payload");
    std::ifstream copy(config.task_dir_path + "/local/copy.txt");
    std::string copied((std::istreambuf_iterator<char>(copy)), {});
    EXPECT_EQ(copied, "for all of " + config.job_id);
    EXPECT_TRUE(std::filesystem::exists(config.alloc_dir_path + "/data/shared.txt"));
    return 0;
  };
  live(body);
  EXPECT_EQ(dsn, "DSN=pg://worker-3");
  EXPECT_FALSE(std::filesystem::exists(base_ + "/../escaped"));
  EXPECT_FALSE(std::filesystem::exists("/escaped"));
  std::vector<std::string> seen = events(other.id(), "escape");
  EXPECT_NE(std::ranges::find(seen, "Task hook failed"), seen.end());
}

TEST_F(World, WhatTheJobSaysWronglyFailsWithoutRetries) {
  struct Case {
    const char* name;
    std::function<void(schema::Task&)> change;
    const char* event;
  };
  const Case cases[] = {
      {"no such driver", [](schema::Task& t) { t.set_driver("docker"); }, "Failed Validation"},
      {"bad config", [](schema::Task& t) { (*t.mutable_config())["bad"].set_boolean(true); }, "Failed Validation"},
      {"name is alloc", [](schema::Task& t) { t.set_name("alloc"); }, "Setup Failure"},
      {"name leads out", [](schema::Task& t) { t.set_name("../../etc"); }, "Setup Failure"},
      {"template function", [](schema::Task& t) { auto& x = *t.add_templates(); x.set_embedded_tmpl("{{ key \"a\" }}"); x.set_dest_path("local/x"); }, "Task hook failed"},
      {"volume that is not there", [](schema::Task& t) { t.add_volume_mounts()->set_volume("data"); }, "Driver Failure"},
  };
  uint64_t seed = 100;
  for (const Case& c : cases) {
    schema::Allocation alloc = make_alloc(++seed, "service", {"web"});
    schema::Task& task = *alloc.mutable_job()->mutable_task_groups(0)->mutable_tasks(0);
    c.change(task);
    std::string id = alloc.id();
    auto body = [&]() -> io::Task<void> {
      server_->put(alloc);
      co_await until([&] { return server_->status(id) == "failed"; }, c.name);
    };
    live(body);
    std::vector<std::string> seen = events(id, task.name());
    EXPECT_NE(std::ranges::find(seen, c.event), seen.end()) << c.name;
    EXPECT_EQ(driver_.starts(), 0) << c.name;
    server_->remove(id);
  }
}

TEST_F(World, ArtifactFailuresFollowTheRestartPolicy) {
  schema::Allocation alloc = make_alloc(20, "batch", {"work"});
  schema::TaskArtifact& artifact = *alloc.mutable_job()->mutable_task_groups(0)->mutable_tasks(0)->add_artifacts();
  artifact.set_getter_source("http://${node.datacenter}.example/app.tar.gz");
  artifact.set_relative_dest("local/");
  artifacts_.answer = Error(Code::kIo, "connection refused");
  std::string id = alloc.id();
  auto body = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return server_->status(id) == "failed"; }, "failed");
  };
  live(body);
  ASSERT_EQ(artifacts_.requests.size(), 2u);
  EXPECT_EQ(artifacts_.requests[0].source, "http://dc1.example/app.tar.gz");
  EXPECT_EQ(driver_.starts(), 0);
}

// Collected as soon as may be, with servers that are away at first: an end that nobody was told of is not thrown away.
TEST_F(World, WhatIsCollectedWasReported) {
  gc_interval_ = 2ms;
  gc_max_allocs_ = 0;
  driver_.script = [](const drivers::TaskConfig&) { return std::optional(0); };
  server_->failing_updates = 1;
  schema::Allocation alloc = make_alloc(9, "batch", {"work"});
  const std::string id = alloc.id();
  auto body = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return server_->status(id) == "complete"; }, "the end is told");
    co_await until([&] { return !std::filesystem::exists(base_ + "/alloc/" + id); }, "and then collected");
  };
  live(body);
  EXPECT_EQ(server_->failing_updates, 0);
  EXPECT_EQ(events(id, "work").back(), "Terminated");
}

TEST_F(World, DeploymentHealthIsReported) {
  schema::Allocation alloc = make_alloc(21, "service", {"web"});
  alloc.set_deployment_id("d1");
  schema::UpdateStrategy& update = *alloc.mutable_job()->mutable_task_groups(0)->mutable_update();
  update.set_min_healthy_time(Duration(50ms).count());
  update.set_healthy_deadline(Duration(1min).count());
  std::string id = alloc.id();
  auto body = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { auto* r = server_->reported(id); return r && r->has_deployment_status(); }, "health");
    EXPECT_TRUE(server_->reported(id)->deployment_status().healthy());
  };
  live(body);
}

TEST_F(World, LeavingWithStopEndsTasksAndRemovesDirectories) {
  schema::Allocation alloc = make_alloc(22, "service", {"web"});
  std::string id = alloc.id();
  std::shared_ptr<FakeProcess> process;
  auto body = [&]() -> io::Task<void> {
    server_->put(alloc);
    co_await until([&] { return server_->status(id) == "running"; }, "running");
    process = driver_.process("web");
  };
  live(body, Leave::kStopTasks);
  EXPECT_TRUE(process->exit.has_value());
  EXPECT_EQ(process->signals, std::vector<int>{2});
  EXPECT_FALSE(std::filesystem::exists(base_ + "/alloc/" + id));
  EXPECT_EQ(server_->status(id), "complete");
}

}  // namespace
}  // namespace steppe::client::test
