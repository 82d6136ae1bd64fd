#include "agent/model/canonicalize.h"

#include <functional>
#include <string>
#include <vector>

#include "agent/model/equality.h"
#include "agent/model/update_kind.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "gtest/gtest.h"

namespace steppe::model {
namespace {

schema::Job read(std::string_view text) {
  schema::Job job;
  const auto result = schema::read_json(text, &job);
  EXPECT_TRUE(result.ok()) << result.error().message();
  return job;
}

schema::Job canonical(std::string_view text) {
  schema::Job job = read(text);
  canonicalize(&job);
  return job;
}

constexpr std::string_view kSmall = R"({"ID":"web","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"exec"}]}]})";

TEST(Canonicalize, DefaultsOfAService) {
  const auto job = canonical(kSmall);
  EXPECT_EQ(job.name(), "web");
  EXPECT_EQ(job.type(), "service");
  EXPECT_EQ(job.priority(), 50);
  EXPECT_EQ(job.namespace_(), "default");
  EXPECT_EQ(job.node_pool(), "default");
  ASSERT_EQ(job.datacenters_size(), 1);
  EXPECT_EQ(job.datacenters(0), "*");
  EXPECT_EQ(schema::write_json(job.update()),
            R"({"Stagger":30000000000,"MaxParallel":1,"HealthCheck":"","MinHealthyTime":0,"HealthyDeadline":0,)"
            R"("ProgressDeadline":0,"AutoRevert":false,"AutoPromote":false,"Canary":0})");
  const auto& group = job.task_groups(0);
  EXPECT_EQ(group.count(), 1);
  EXPECT_EQ(schema::write_json(group.update()),
            R"({"Stagger":30000000000,"MaxParallel":1,"HealthCheck":"checks","MinHealthyTime":10000000000,)"
            R"("HealthyDeadline":300000000000,"ProgressDeadline":600000000000,"AutoRevert":false,"AutoPromote":false,"Canary":0})");
  EXPECT_EQ(schema::write_json(group.migrate()),
            R"({"MaxParallel":1,"HealthCheck":"checks","MinHealthyTime":10000000000,"HealthyDeadline":300000000000})");
  EXPECT_EQ(schema::write_json(group.reschedule_policy()),
            R"({"Attempts":0,"Interval":0,"Delay":30000000000,"DelayFunction":"exponential","MaxDelay":3600000000000,"Unlimited":true})");
  EXPECT_EQ(schema::write_json(group.restart_policy()),
            R"({"Attempts":2,"Interval":1800000000000,"Delay":15000000000,"Mode":"fail","RenderTemplates":false})");
  EXPECT_EQ(schema::write_json(group.ephemeral_disk()), R"({"Sticky":false,"SizeMB":300,"Migrate":false})");
  const auto& task = group.tasks(0);
  EXPECT_EQ(task.resources().cpu(), 100);
  EXPECT_EQ(task.resources().memory_mb(), 300);
  EXPECT_EQ(task.kill_timeout(), 5'000'000'000);
  EXPECT_EQ(task.log_config().max_files(), 10);
  EXPECT_EQ(task.restart_policy().attempts(), 2);
  EXPECT_EQ(task.identity().name(), "default");
  EXPECT_EQ(task.identity().audience(0), "nomadproject.io");
}

TEST(Canonicalize, ByType) {
  struct Row {
    const char* type;
    bool update, migrate, reschedule;
    int restarts;
  };
  for (const Row& row : {Row{"service", true, true, true, 2}, Row{"batch", false, false, true, 3},
                         Row{"system", true, false, false, 2}, Row{"sysbatch", false, false, false, 3}}) {
    const auto job = canonical(R"({"ID":"a","Type":")" + std::string(row.type) +
                               R"(","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t"}]}]})");
    const auto& group = job.task_groups(0);
    EXPECT_EQ(group.has_update(), row.update) << row.type;
    EXPECT_EQ(group.has_migrate(), row.migrate) << row.type;
    EXPECT_EQ(group.has_reschedule_policy(), row.reschedule) << row.type;
    EXPECT_EQ(group.restart_policy().attempts(), row.restarts) << row.type;
    EXPECT_EQ(group.tasks(0).restart_policy().attempts(), row.restarts) << row.type;
  }
  const auto batch = canonical(R"({"ID":"a","Type":"batch","TaskGroups":[{}]})");
  EXPECT_EQ(batch.task_groups(0).reschedule_policy().attempts(), 1);
  EXPECT_EQ(batch.task_groups(0).reschedule_policy().delay_function(), "constant");
}

TEST(Canonicalize, OuterBlocksMergeUnderInnerOnes) {
  const auto job = canonical(R"({"ID":"a","Update":{"MaxParallel":3,"Canary":1,"Stagger":5000000000},
    "Reschedule":{"Delay":7000000000},"Migrate":{"MaxParallel":4},"Vault":{"Role":"r"},"Secrets":[{"Name":"s"}],
    "TaskGroups":[{"Name":"g","Update":{"Canary":2},"RestartPolicy":{"Attempts":9,"Delay":1000000000},
      "Tasks":[{"Name":"t","RestartPolicy":{"Attempts":0}},{"Name":"u","Vault":{"Role":"own"}}]}]})");
  const auto& group = job.task_groups(0);
  EXPECT_EQ(group.update().max_parallel(), 3);
  EXPECT_EQ(group.update().canary(), 2);
  EXPECT_EQ(group.update().health_check(), "checks");
  EXPECT_EQ(job.update().stagger(), 5'000'000'000);
  EXPECT_EQ(job.update().max_parallel(), 3);
  EXPECT_EQ(group.reschedule_policy().delay(), 7'000'000'000);
  EXPECT_EQ(group.reschedule_policy().delay_function(), "exponential");
  EXPECT_EQ(group.migrate().max_parallel(), 4);
  EXPECT_EQ(group.tasks(0).restart_policy().attempts(), 0);
  EXPECT_EQ(group.tasks(0).restart_policy().delay(), 1'000'000'000);
  EXPECT_EQ(group.tasks(0).vault().role(), "r");
  EXPECT_EQ(group.tasks(1).vault().role(), "own");
  EXPECT_EQ(group.tasks(1).secrets(0).name(), "s");
  EXPECT_FALSE(job.has_migrate() || job.has_reschedule() || job.has_vault() || job.secrets_size() > 0);
}

TEST(Canonicalize, ServicesAndChecks) {
  const auto job = canonical(R"({"ID":"shop","TaskGroups":[{"Name":"g",
    "Services":[{"Provider":"nomad"},{"Name":"${JOB}-${TASKGROUP}-x"}],
    "Tasks":[{"Name":"t","Services":[{"Name":"${BASE}","CheckRestart":{"Limit":3},
      "Checks":[{"Type":"http","Header":{"x-a":["1"]}},{"Name":"c","CheckRestart":{"Limit":1,"Grace":5},"OnUpdate":"ignore"}]}]}]}]})");
  const auto& group = job.task_groups(0);
  EXPECT_EQ(group.services(0).name(), "shop-g");
  EXPECT_EQ(group.services(0).namespace_(), "default");
  EXPECT_EQ(group.services(0).address_mode(), "auto");
  EXPECT_EQ(group.services(1).name(), "shop-g-x");
  EXPECT_EQ(group.services(1).provider(), "consul");
  const auto& service = group.tasks(0).services(0);
  EXPECT_EQ(service.name(), "shop-g-t");
  EXPECT_FALSE(service.has_check_restart());
  EXPECT_EQ(service.checks(0).name(), "service: \"shop-g-t\" check");
  EXPECT_EQ(service.checks(0).on_update(), "require_healthy");
  EXPECT_EQ(service.checks(0).check_restart().limit(), 3);
  EXPECT_EQ(service.checks(0).check_restart().grace(), 1'000'000'000);
  EXPECT_TRUE(service.checks(0).header().contains("X-A"));
  EXPECT_EQ(service.checks(1).check_restart().limit(), 1);
  EXPECT_EQ(service.checks(1).check_restart().grace(), 5);
  EXPECT_EQ(service.checks(1).on_update(), "ignore");
}

TEST(Canonicalize, TaskParts) {
  const auto job = canonical(R"({"ID":"a","TaskGroups":[{"Name":"g","Scaling":{"Min":2,"Max":5},"Volumes":{"data":{"Type":"host"}},
    "Networks":[{"DynamicPorts":[{"Label":"http"}]}],"Constraints":[{"LTarget":"a","RTarget":"b"}],
    "Tasks":[{"Name":"t","Resources":{"Cores":2},"Lifecycle":{},
      "Artifacts":[{"GetterSource":"https://x/y.tgz"},{"GetterSource":"https://x/y.bin","GetterMode":"file"}],
      "Templates":[{"ChangeMode":"signal"},{"ChangeSignal":"sigusr1"}],
      "Identities":[{"Name":"aws","Audience":["x"]},{"Env":true}],"VolumeMounts":[{"Volume":"data"}],
      "Affinities":[{"LTarget":"a"}]}]}]})");
  const auto& group = job.task_groups(0);
  EXPECT_EQ(group.count(), 2);
  EXPECT_EQ(group.scaling().target().at("Group"), "g");
  EXPECT_EQ(group.scaling().type(), "horizontal");
  EXPECT_EQ(group.volumes().at("data").name(), "data");
  EXPECT_EQ(group.networks(0).dynamic_ports(0).host_network(), "default");
  EXPECT_EQ(group.constraints(0).operand(), "=");
  const auto& task = group.tasks(0);
  EXPECT_EQ(task.resources().cpu(), 0);
  EXPECT_EQ(task.resources().cores(), 2);
  EXPECT_FALSE(task.has_lifecycle());
  EXPECT_EQ(task.artifacts(0).relative_dest(), "local/");
  EXPECT_EQ(task.artifacts(1).relative_dest(), "local/y.bin");
  EXPECT_EQ(task.templates(0).change_signal(), "SIGHUP");
  EXPECT_EQ(task.templates(1).change_signal(), "SIGUSR1");
  EXPECT_EQ(task.templates(1).perms(), "0644");
  EXPECT_TRUE(task.identity().env());
  ASSERT_EQ(task.identities_size(), 1);
  EXPECT_EQ(task.identities(0).name(), "aws");
  EXPECT_EQ(task.volume_mounts(0).propagation_mode(), "private");
  EXPECT_EQ(task.affinities(0).weight(), 50);
}

TEST(Canonicalize, Twice) {
  for (const std::string_view text :
       {kSmall, std::string_view(R"({"ID":"b","Type":"batch","Periodic":{"Spec":"@daily"},"Update":{"MaxParallel":2},"TaskGroups":[{"Name":"g"}]})"),
        std::string_view(R"({"ID":"c","Type":"system","Vault":{"Role":"x"},"Secrets":[{"Name":"s"}],"TaskGroups":[{"Name":"g","Tasks":[{"Name":"t",
          "Services":[{"Name":"s","CheckRestart":{"Limit":2},"Checks":[{"Header":{"a-b":["1"]}}]}]}]}]})")}) {
    const auto once = canonical(text);
    auto twice = once;
    canonicalize(&twice);
    EXPECT_TRUE(same(once, twice)) << schema::write_json(once) << "\n" << schema::write_json(twice);
    // What the API shows can be registered again without a new version.
    const auto again = canonical(schema::write_json(once));
    EXPECT_FALSE(spec_changed(once, again)) << schema::write_json(once) << "\n" << schema::write_json(again);
  }
  auto stored = canonical(R"({"ID":"a","TaskGroups":[{"Name":"g","Scaling":{"Max":3}}]})");
  const auto fresh = stored;
  stored.mutable_task_groups(0)->mutable_scaling()->set_id("5f1");
  EXPECT_FALSE(spec_changed(stored, fresh));
  stored.mutable_task_groups(0)->mutable_scaling()->set_max(4);
  EXPECT_TRUE(spec_changed(stored, fresh));
}

// ---- what a change of the job does to its allocs ----

using Change = std::function<void(schema::Job&)>;

TEST(UpdateKind, Table) {
  const auto base = canonical(R"({"ID":"web","Meta":{"a":"1"},"TaskGroups":[
    {"Name":"g","Networks":[{"DynamicPorts":[{"Label":"http"}]}],"Services":[{"Name":"s"}],
     "Tasks":[{"Name":"t","Driver":"exec","Config":{"command":"x"},"Env":{"A":"b"}},{"Name":"u","Driver":"exec"}]},
    {"Name":"other","Tasks":[{"Name":"t","Driver":"exec"}]}]})");
  const auto group = [](schema::Job& job) -> schema::TaskGroup& { return *job.mutable_task_groups(0); };
  const auto task = [&](schema::Job& job) -> schema::Task& { return *group(job).mutable_tasks(0); };
  struct Row {
    const char* what;
    UpdateKind kind;
    Change change;
  };
  using enum UpdateKind;
  const std::vector<Row> table = {
      {"nothing", kNone, [](schema::Job&) {}},
      {"version", kNone, [](schema::Job& j) { j.set_version(8); j.set_status("dead"); j.set_modify_index(9); }},
      {"count", kInPlace, [&](schema::Job& j) { group(j).set_count(5); }},
      {"priority", kInPlace, [](schema::Job& j) { j.set_priority(70); }},
      {"service", kInPlace, [&](schema::Job& j) { group(j).mutable_services(0)->add_tags("x"); }},
      {"constraint", kInPlace, [&](schema::Job& j) { group(j).add_constraints()->set_l_target("x"); }},
      {"restart", kInPlace, [&](schema::Job& j) { group(j).mutable_restart_policy()->set_attempts(7); }},
      {"kill timeout", kInPlace, [&](schema::Job& j) { task(j).set_kill_timeout(1); }},
      {"leader", kInPlace, [&](schema::Job& j) { task(j).set_leader(true); }},
      {"lifecycle", kInPlace, [&](schema::Job& j) { task(j).mutable_lifecycle()->set_hook("prestart"); }},
      {"log size", kInPlace, [&](schema::Job& j) { task(j).mutable_log_config()->set_max_files(3); }},
      {"other group", kInPlace, [](schema::Job& j) { j.mutable_task_groups(1)->mutable_tasks(0)->set_user("x"); }},
      {"task order", kInPlace, [&](schema::Job& j) { group(j).mutable_tasks()->SwapElements(0, 1); }},
      {"driver", kDestructive, [&](schema::Job& j) { task(j).set_driver("raw_exec"); }},
      {"config", kDestructive, [&](schema::Job& j) { (*task(j).mutable_config())["command"].set_text("y"); }},
      {"env", kDestructive, [&](schema::Job& j) { (*task(j).mutable_env())["A"] = "c"; }},
      {"user", kDestructive, [&](schema::Job& j) { task(j).set_user("root"); }},
      {"resources", kDestructive, [&](schema::Job& j) { task(j).mutable_resources()->set_cpu(1); }},
      {"artifact", kDestructive, [&](schema::Job& j) { task(j).add_artifacts()->set_getter_source("x"); }},
      {"template", kDestructive, [&](schema::Job& j) { task(j).add_templates()->set_dest_path("x"); }},
      {"logs off", kDestructive, [&](schema::Job& j) { task(j).mutable_log_config()->set_disabled(true); }},
      {"job meta", kDestructive, [](schema::Job& j) { (*j.mutable_meta())["a"] = "2"; }},
      {"disk", kDestructive, [&](schema::Job& j) { group(j).mutable_ephemeral_disk()->set_size_mb(1); }},
      {"port", kDestructive, [&](schema::Job& j) { group(j).mutable_networks(0)->add_dynamic_ports()->set_label("x"); }},
      {"render", kDestructive, [&](schema::Job& j) { group(j).mutable_restart_policy()->set_render_templates(true); }},
      {"task name", kDestructive, [&](schema::Job& j) { task(j).set_name("v"); }},
      {"more tasks", kDestructive, [&](schema::Job& j) { group(j).add_tasks()->set_name("v"); }},
      {"group gone", kDestructive, [&](schema::Job& j) { group(j).set_name("h"); }},
  };
  for (const Row& row : table) {
    schema::Job changed = base;
    row.change(changed);
    EXPECT_EQ(update_kind(base, changed, "g"), row.kind) << row.what;
    EXPECT_EQ(spec_changed(base, changed), row.kind != kNone) << row.what;
  }
  // A meta of the job that the group hides changes nothing that the tasks see.
  schema::Job hidden = base;
  (*hidden.mutable_task_groups(0)->mutable_meta())["a"] = "1";
  EXPECT_EQ(update_kind(base, hidden, "g"), kInPlace);
}

}  // namespace
}  // namespace steppe::model
