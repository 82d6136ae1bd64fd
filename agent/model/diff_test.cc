#include "agent/model/diff.h"

#include <string>

#include "agent/model/canonicalize.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"
#include "gtest/gtest.h"

namespace steppe::model {
namespace {

schema::Job job() {
  schema::Job made;
  const auto result = schema::read_json(
      R"({"ID":"web","Datacenters":["dc1"],"Meta":{"a":"1"},"Constraints":[{"LTarget":"x","RTarget":"y"}],
          "TaskGroups":[{"Name":"g","Count":2,"Networks":[{"DynamicPorts":[{"Label":"http"}]}],"Services":[{"Name":"s","Tags":["a"]}],
            "Tasks":[{"Name":"t","Driver":"exec","Config":{"command":"x","args":["1","2"]},"Env":{"K":"v"}}]}]})",
      &made);
  EXPECT_TRUE(result.ok()) << result.error().message();
  canonicalize(&made);
  return made;
}

// One change a line: "path type old -> new".
void print(const std::string& path, const auto& node, std::string* out) {
  for (const auto& field : node.fields()) {
    *out += path + "." + field.name() + " " + field.type() + " " + field.old_value() + " -> " + field.new_value();
    for (const auto& annotation : field.annotations()) *out += " (" + annotation + ")";
    *out += "\n";
  }
  for (const auto& object : node.objects()) {
    *out += path + "/" + object.name() + " " + object.type() + "\n";
    print(path + "/" + object.name(), object, out);
  }
}

std::string text(const schema::JobDiff& diff) {
  std::string out = "job " + diff.type() + "\n";
  print("", diff, &out);
  for (const auto& group : diff.task_groups()) {
    if (group.type() == "None") continue;
    out += group.name() + " " + group.type() + "\n";
    print(group.name(), group, &out);
    for (const auto& task : group.tasks()) {
      if (task.type() == "None") continue;
      out += group.name() + ":" + task.name() + " " + task.type();
      for (const auto& annotation : task.annotations()) out += " (" + annotation + ")";
      out += "\n";
      print(group.name() + ":" + task.name(), task, &out);
    }
  }
  return out;
}

std::string diff(const schema::Job* a, const schema::Job* b, DiffContext context = DiffContext::kChangesOnly) {
  schema::JobDiff out;
  const auto result = diff_jobs(a, b, context, &out);
  if (!result.ok()) return result.error().message();
  annotate_diff(nullptr, &out);
  return text(out);
}

TEST(Diff, Nothing) {
  const auto a = job();
  auto b = a;
  b.set_version(4);
  b.set_modify_index(9);
  b.set_status("running");
  b.set_submit_time(77);
  EXPECT_EQ(diff(&a, &b), "job None\n");
}

TEST(Diff, ChangesAtEachLevel) {
  const auto a = job();
  auto b = a;
  b.set_priority(70);
  b.add_datacenters("dc2");
  (*b.mutable_meta())["a"] = "2";
  (*b.mutable_meta())["b"] = "3";
  b.clear_constraints();
  auto& group = *b.mutable_task_groups(0);
  group.set_count(5);
  group.mutable_networks(0)->mutable_dynamic_ports(0)->set_to(80);
  group.mutable_services(0)->add_tags("b");
  auto& task = *group.mutable_tasks(0);
  (*task.mutable_config())["args"].mutable_list()->mutable_items(1)->set_text("3");
  (*task.mutable_config())["args"].mutable_list()->add_items()->set_text("4");
  task.mutable_env()->erase("K");
  task.mutable_resources()->set_cpu(200);
  EXPECT_EQ(diff(&a, &b), R"(job Edited
.Meta[a] Edited 1 -> 2
.Meta[b] Added  -> 3
.Priority Edited 50 -> 70
/Constraint Deleted
/Constraint.LTarget Deleted x -> 
/Constraint.Operand Deleted = -> 
/Constraint.RTarget Deleted y -> 
/Datacenters Edited
/Datacenters.Datacenters Added  -> dc2
g Edited
g.Count Edited 2 -> 5 (forces create)
g/Network Edited
g/Network/Dynamic Port Edited
g/Network/Dynamic Port.To Edited 0 -> 80
g/Service Edited
g/Service/Tags Edited
g/Service/Tags.Tags Added  -> b
g:t Edited (forces create/destroy update)
g:t.Env[K] Deleted v -> 
g:t/Config Edited
g:t/Config.args[1] Edited 2 -> 3
g:t/Config.args[2] Added  -> 4
g:t/Resources Edited
g:t/Resources.CPU Edited 100 -> 200
)");
}

TEST(Diff, InPlace) {
  const auto a = job();
  auto b = a;
  b.mutable_task_groups(0)->set_count(1);
  auto& task = *b.mutable_task_groups(0)->mutable_tasks(0);
  task.set_kill_timeout(7);
  task.mutable_log_config()->set_max_files(3);
  EXPECT_EQ(diff(&a, &b), R"(job Edited
g Edited
g.Count Edited 2 -> 1 (forces destroy)
g:t Edited (forces in-place update)
g:t.KillTimeout Edited 5000000000 -> 7
g:t/LogConfig Edited
g:t/LogConfig.MaxFiles Edited 10 -> 3
)");
}

TEST(Diff, ContextShowsTheRestOfAChangedObject) {
  const auto a = job();
  auto b = a;
  b.mutable_task_groups(0)->mutable_tasks(0)->mutable_log_config()->set_max_files(3);
  const std::string out = diff(&a, &b, DiffContext::kContextual);
  EXPECT_NE(out.find("g:t/LogConfig.MaxFileSizeMB None 10 -> 10\n"), std::string::npos) << out;
  EXPECT_NE(out.find("g:t/LogConfig.MaxFiles Edited 10 -> 3\n"), std::string::npos) << out;
  EXPECT_NE(out.find(".Priority None 50 -> 50\n"), std::string::npos) << out;
  EXPECT_EQ(out.find("RestartPolicy"), std::string::npos) << out;
}

TEST(Diff, AppearingAndGoing) {
  const auto a = job();
  const std::string added = diff(nullptr, &a);
  EXPECT_NE(added.find("job Added\n"), std::string::npos);
  EXPECT_NE(added.find("g.Count Added  -> 2\n"), std::string::npos) << added;
  EXPECT_NE(added.find("g:t Added (forces create)\n"), std::string::npos) << added;
  const std::string gone = diff(&a, nullptr);
  EXPECT_NE(gone.find("g:t Deleted (forces destroy)\n"), std::string::npos) << gone;
  auto b = a;
  b.mutable_task_groups(0)->add_tasks()->set_name("u");
  EXPECT_NE(diff(&a, &b).find("g:u Added (forces create/destroy update)\n"), std::string::npos) << diff(&a, &b);
  b.set_id("other");
  EXPECT_EQ(diff(&a, &b), "can not diff jobs with different IDs: \"web\" and \"other\"");
}

TEST(Diff, UpdatesComeFromTheScheduler) {
  const auto a = job();
  auto b = a;
  b.set_priority(51);
  schema::JobDiff out;
  ASSERT_TRUE(diff_jobs(&a, &b, DiffContext::kChangesOnly, &out).ok());
  schema::PlanAnnotations annotations;
  auto& updates = (*annotations.mutable_desired_tg_updates())["g"];
  updates.set_in_place_update(2);
  updates.set_place(1);
  annotate_diff(&annotations, &out);
  EXPECT_EQ(out.task_groups(0).updates().at("in-place update"), 2u);
  EXPECT_EQ(out.task_groups(0).updates().at("create"), 1u);
  EXPECT_EQ(out.task_groups(0).updates().size(), 2u);
}

}  // namespace
}  // namespace steppe::model
