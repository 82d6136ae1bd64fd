#include "agent/model/validate.h"

#include <functional>
#include <string>
#include <vector>

#include "agent/model/canonicalize.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "gtest/gtest.h"

namespace steppe::model {
namespace {

schema::Job job(const std::string& type = "service") {
  schema::Job made;
  const auto result = schema::read_json(
      R"({"ID":"web","Type":")" + type + R"(","TaskGroups":[{"Name":"g","Networks":[{"DynamicPorts":[{"Label":"http"}]}],
            "Volumes":{"data":{"Type":"host","Source":"d"}},
            "Services":[{"Name":"s","PortLabel":"http","Checks":[{"Type":"http","Path":"/","Interval":1000000000,"Timeout":1000000000}]}],
            "Tasks":[{"Name":"t","Driver":"exec","VolumeMounts":[{"Volume":"data","Destination":"/d"}]}]}]})",
      &made);
  EXPECT_TRUE(result.ok()) << result.error().message();
  canonicalize(&made);
  return made;
}

using Change = std::function<void(schema::Job&)>;
struct Row {
  const char* expected;
  Change change;
};

schema::TaskGroup& group(schema::Job& j) { return *j.mutable_task_groups(0); }
schema::Task& task(schema::Job& j) { return *group(j).mutable_tasks(0); }

TEST(Validate, AcceptsGoodJobs) {
  for (const char* type : {"service", "batch", "system", "sysbatch"}) {
    const Verdict verdict = validate(job(type));
    EXPECT_TRUE(verdict.ok()) << type << verdict.error_text();
    EXPECT_EQ(verdict.error_text(), "");
    EXPECT_EQ(verdict.warning_text(), "");
  }
}

// Of drivers that are not built here nothing is known: their nodes may have them.
TEST(Validate, ConfigOfUnknownDriversIsLeftAlone) {
  schema::Job docker = job();
  task(docker).set_driver("docker");
  (*task(docker).mutable_config())["image"].set_text("redis:7");
  EXPECT_TRUE(validate(docker).ok()) << validate(docker).error_text();
}

constexpr int64_t kSecond = 1'000'000'000;

// Each change alone makes the job bad, with this text somewhere in the answer.
const std::vector<Row> kTable = {
    {"Missing job ID", [](schema::Job& j) { j.set_id(""); }},
    {"Job ID contains a space", [](schema::Job& j) { j.set_id("a b"); }},
    {"Job ID contains a null character", [](schema::Job& j) { j.set_id(std::string("a\0b", 3)); }},
    {"Invalid job type: \"cron\"", [](schema::Job& j) { j.set_type("cron"); }},
    {"Job priority must be between [1, 100]", [](schema::Job& j) { j.set_priority(101); }},
    {"Job priority must be between [1, 100]", [](schema::Job& j) { j.set_priority(-1); }},
    {"Job datacenter must be non-empty string", [](schema::Job& j) { j.add_datacenters(""); }},
    {"Missing job datacenters", [](schema::Job& j) { j.clear_datacenters(); }},
    {"Missing job task groups", [](schema::Job& j) { j.clear_task_groups(); }},
    {"Job task group 2 redefines 'g' from group 1", [](schema::Job& j) { *j.add_task_groups() = group(j); }},
    {"Job task group 1 missing name", [](schema::Job& j) { group(j).set_name(""); }},
    {"total count was greater than configured job_max_count", [](schema::Job& j) { group(j).set_count(50001); }},
    {"total count was greater than configured job_max_count", [](schema::Job& j) { group(j).set_count(INT64_MAX); }},
    {"Task group count can't be negative", [](schema::Job& j) { group(j).set_count(-1); }},
    {"Missing tasks for task group", [](schema::Job& j) { group(j).clear_tasks(); }},
    {"Constraint 1 validation failed: 1 error occurred:\n\t* Unknown constraint type \"like\"",
     [](schema::Job& j) {
       auto* c = j.add_constraints();
       c->set_operand("like");
       c->set_l_target("a");
       c->set_r_target("b");
     }},
    {"has disallowed Operand at task level: distinct_hosts", [](schema::Job& j) { task(j).add_constraints()->set_operand("distinct_hosts"); }},
    {"Affinity weight cannot be zero",
     [](schema::Job& j) {
       auto* a = j.add_affinities();
       a->set_operand("=");
       a->set_l_target("a");
       a->set_r_target("b");
       a->set_weight(0);
     }},
    {"Sum of spread target percentages must not be greater than 100%; got 120%",
     [](schema::Job& j) {
       auto* s = j.add_spreads();
       s->set_attribute("${node.datacenter}");
       s->set_weight(50);
       for (const char* dc : {"a", "b"}) {
         auto* t = s->add_spread_target();
         t->set_value(dc);
         t->set_percent(60);
       }
     }},
    {"Unsupported restart mode: \"never\"", [](schema::Job& j) { group(j).mutable_restart_policy()->set_mode("never"); }},
    {"Interval can not be less than 5s (got 1s)", [](schema::Job& j) { group(j).mutable_restart_policy()->set_interval(kSecond); }},
    {"Nomad can't restart the TaskGroup g 200 times in an interval of 30m0s with a delay of 15s",
     [](schema::Job& j) { group(j).mutable_restart_policy()->set_attempts(200); }},
    {"Restart policy \"delay\" with 0 attempts is ambiguous",
     [](schema::Job& j) {
       group(j).mutable_restart_policy()->set_attempts(0);
       group(j).mutable_restart_policy()->set_mode("delay");
     }},
    {"Delay cannot be less than 5s (got 1s)", [](schema::Job& j) { group(j).mutable_reschedule_policy()->set_delay(kSecond); }},
    {"Invalid delay function \"linear\"", [](schema::Job& j) { group(j).mutable_reschedule_policy()->set_delay_function("linear"); }},
    {"is ambiguous", [](schema::Job& j) { group(j).mutable_reschedule_policy()->set_attempts(2); }},
    {"Nomad can only make 2 attempts in 1m0s with initial delay 30s, delay function \"constant\"",
     [](schema::Job& j) {
       auto* r = group(j).mutable_reschedule_policy();
       r->set_unlimited(false);
       r->set_attempts(3);
       r->set_interval(60 * kSecond);
       r->set_delay_function("constant");
     }},
    {"Set the interval to at least 3m30s to accommodate 3 attempts",
     [](schema::Job& j) {
       auto* r = group(j).mutable_reschedule_policy();
       r->set_unlimited(false);
       r->set_attempts(3);
       r->set_interval(60 * kSecond);
     }},
    {"Healthy deadline must be less than progress deadline", [](schema::Job& j) { group(j).mutable_update()->set_progress_deadline(1); }},
    {"Auto Promote requires a Canary count greater than zero", [](schema::Job& j) { group(j).mutable_update()->set_auto_promote(true); }},
    {"Minimum healthy time must be less than healthy deadline: 10m0s > 5m0s",
     [](schema::Job& j) { group(j).mutable_update()->set_min_healthy_time(600 * kSecond); }},
    {"minimum DiskMB value is 10; got 9", [](schema::Job& j) { group(j).mutable_ephemeral_disk()->set_size_mb(9); }},
    {"log storage (100 MB) must be less than requested disk capacity (50 MB)",
     [](schema::Job& j) { group(j).mutable_ephemeral_disk()->set_size_mb(50); }},
    {"max_run_duration can only be used with batch", [](schema::Job& j) { group(j).set_max_run_duration(kSecond); }},
    {"Port label http already in use by taskgroup network",
     [](schema::Job& j) { group(j).mutable_networks(0)->add_dynamic_ports()->set_label("http"); }},
    {"Static port 80 already reserved by taskgroup network:a",
     [](schema::Job& j) {
       for (const char* label : {"a", "b"}) {
         auto* port = group(j).mutable_networks(0)->add_reserved_ports();
         port->set_label(label);
         port->set_value(80);
       }
     }},
    {"(70000) cannot be greater than 65535",
     [](schema::Job& j) {
       auto* port = group(j).mutable_networks(0)->add_reserved_ports();
       port->set_label("x");
       port->set_value(70000);
     }},
    {"Invalid network mode \"ipvlan\"", [](schema::Job& j) { group(j).mutable_networks(0)->set_mode("ipvlan"); }},
    {"Only one network block is allowed in a group, found 2", [](schema::Job& j) { group(j).add_networks(); }},
    {"Task 2 redefines 't' from task 1", [](schema::Job& j) { *group(j).add_tasks() = task(j); }},
    {"Only one task may be marked as leader",
     [](schema::Job& j) {
       task(j).set_leader(true);
       *group(j).add_tasks() = task(j);
     }},
    {"Task group must have at least one main task", [](schema::Job& j) { task(j).mutable_lifecycle()->set_hook("prestart"); }},
    {"Task name cannot include slashes", [](schema::Job& j) { task(j).set_name("../x"); }},
    {"Task name cannot be \"alloc\"", [](schema::Job& j) { task(j).set_name("alloc"); }},
    {"begin with a dot", [](schema::Job& j) { task(j).set_name(".."); }},
    {"begin with a dot", [](schema::Job& j) { task(j).set_name(".hidden"); }},
    {"Task name cannot be longer than 128 bytes", [](schema::Job& j) { task(j).set_name(std::string(129, 'x')); }},
    {"Task name cannot include control characters", [](schema::Job& j) { task(j).set_name("a\nb"); }},
    {"Missing task driver", [](schema::Job& j) { task(j).set_driver(""); }},
    {"Task group g validation failed: 1 error occurred:\n\t* Task t validation failed: 1 error occurred:\n\t* config: driver \"exec\" has no key \"comand\"; "
     "it has args, cap_add, cap_drop, command, ipc_mode, pid_mode, work_dir, writable_root",
     [](schema::Job& j) { (*task(j).mutable_config())["comand"].set_text("/bin/true"); }},
    {"driver \"raw_exec\" has no key \"cap_add\"",
     [](schema::Job& j) {
       task(j).set_driver("raw_exec");
       (*task(j).mutable_config())["cap_add"].mutable_list();
     }},
    {"2 errors occurred:\n\t* config: driver \"mock_driver\" has no key \"a\"",
     [](schema::Job& j) {
       task(j).set_driver("mock_driver");
       for (const char* key : {"b", "run_for", "a"}) (*task(j).mutable_config())[key].set_text("1s");
     }},
    {"minimum CPU value is 1; got 0", [](schema::Job& j) { task(j).mutable_resources()->set_cpu(0); }},
    {"Task can only ask for 'cpu' or 'cores' resource, not both.", [](schema::Job& j) { task(j).mutable_resources()->set_cores(2); }},
    {"minimum MemoryMB value is 10; got 9", [](schema::Job& j) { task(j).mutable_resources()->set_memory_mb(9); }},
    {"MemoryMaxMB value (200) should be larger than MemoryMB value (300)", [](schema::Job& j) { task(j).mutable_resources()->set_memory_max_mb(200); }},
    {"maximum MemoryMB value is 1073741824; got 9223372036854775807",
     [](schema::Job& j) { task(j).mutable_resources()->set_memory_mb(INT64_MAX); }},
    {"log storage (1073741824 MB) must be less than",
     [](schema::Job& j) {
       task(j).mutable_log_config()->set_max_files(INT64_MAX);
       task(j).mutable_log_config()->set_max_file_size_mb(INT64_MAX);
     }},
    {"Nomad can only make 1 attempts in 1m0s",
     [](schema::Job& j) {
       auto* r = group(j).mutable_reschedule_policy();
       r->set_unlimited(false);
       r->set_attempts(10000);
       r->set_interval(60 * kSecond);
       r->set_max_delay(INT64_MAX);
     }},
    {"invalid hook: before", [](schema::Job& j) { task(j).mutable_lifecycle()->set_hook("before"); }},
    {"Artifact 1 validation failed: 2 errors occurred:\n\t* source must be specified", [](schema::Job& j) { task(j).add_artifacts(); }},
    {"destination escapes allocation directory",
     [](schema::Job& j) {
       auto* a = task(j).add_artifacts();
       a->set_getter_source("http://x");
       a->set_getter_mode("any");
       a->set_relative_dest("local/../../../etc");
     }},
    {"invalid checksum",
     [](schema::Job& j) {
       auto* a = task(j).add_artifacts();
       a->set_getter_source("http://x");
       a->set_getter_mode("any");
       (*a->mutable_getter_options())["checksum"] = "sha256:abc";
     }},
    {"Must specify a source path or have an embedded template", [](schema::Job& j) { task(j).add_templates()->set_perms("0644"); }},
    {"Failed to parse \"0999\" as octal", [](schema::Job& j) { task(j).add_templates()->set_perms("0999"); }},
    {"Volume Mount (0) references undefined volume other", [](schema::Job& j) { task(j).mutable_volume_mounts(0)->set_volume("other"); }},
    {"Task group volume validation for data failed", [](schema::Job& j) { (*group(j).mutable_volumes())["data"].set_type("nfs"); }},
    {"Service name must be valid per RFC 1123", [](schema::Job& j) { group(j).mutable_services(0)->set_name("a_b"); }},
    {"port label \"nope\" referenced by services s does not exist", [](schema::Job& j) { group(j).mutable_services(0)->set_port_label("nope"); }},
    {"invalid check type (\"udp\"), must be one of", [](schema::Job& j) { group(j).mutable_services(0)->mutable_checks(0)->set_type("udp"); }},
    {"http type must have http path", [](schema::Job& j) { group(j).mutable_services(0)->mutable_checks(0)->set_path(""); }},
    {"timeout (1ms) is lower than required minimum timeout 1s", [](schema::Job& j) { group(j).mutable_services(0)->mutable_checks(0)->set_timeout(1'000'000); }},
    {"Periodic can only be used with \"batch\" or \"sysbatch\" scheduler",
     [](schema::Job& j) {
       j.mutable_periodic()->set_spec("@daily");
       canonicalize(&j);
     }},
    {"Invalid cron spec \"61 * * * *\"",
     [](schema::Job& j) {
       j.mutable_periodic()->set_spec("61 * * * *");
       canonicalize(&j);
     }},
    {"Unknown payload requirement: \"maybe\"", [](schema::Job& j) { j.mutable_parameterized_job()->set_payload("maybe"); }},
    {"Following keys exist in both: [a]",
     [](schema::Job& j) {
       j.mutable_parameterized_job()->add_meta_required("a");
       j.mutable_parameterized_job()->add_meta_optional("a");
     }},
    {"maximum count must not be less than minimum count",
     [](schema::Job& j) {
       group(j).mutable_scaling()->set_min(3);
       group(j).mutable_scaling()->set_max(2);
     }},
    {"Disconnect cannot be configured with both lost_after and stop_on_client_after",
     [](schema::Job& j) {
       group(j).mutable_disconnect()->set_lost_after(1);
       group(j).mutable_disconnect()->set_stop_on_client_after(1);
       group(j).mutable_disconnect()->set_reconcile("best_score");
     }},
    {"must have at least one audience", [](schema::Job& j) { task(j).add_identities()->set_name("aws"); }},
};

TEST(Validate, Table) {
  for (const Row& row : kTable) {
    schema::Job changed = job();
    row.change(changed);
    const std::string text = validate(changed).error_text();
    EXPECT_NE(text.find(row.expected), std::string::npos) << row.expected << "\n--- is not in ---\n" << text;
  }
}

TEST(Validate, ByType) {
  auto system = job("system");
  group(system).set_count(2);
  system.add_affinities();
  system.add_spreads();
  const std::string text = validate(system).error_text();
  EXPECT_NE(text.find("Count cannot exceed 1 with system scheduler"), std::string::npos) << text;
  EXPECT_NE(text.find("System jobs may not have an affinity block"), std::string::npos);
  EXPECT_NE(text.find("System jobs may not have a spread block"), std::string::npos);
  auto batch = job("batch");
  *group(batch).mutable_update() = job().task_groups(0).update();
  *group(batch).mutable_migrate() = job().task_groups(0).migrate();
  EXPECT_NE(validate(batch).error_text().find("Job type \"batch\" does not allow update block"), std::string::npos);
  EXPECT_NE(validate(batch).error_text().find("Job type \"batch\" does not allow migrate block"), std::string::npos);
}

TEST(Validate, CollectsEverythingInOneText) {
  schema::Job bad = job();
  bad.set_priority(0);
  task(bad).set_driver("");
  task(bad).mutable_resources()->set_memory_mb(1);
  EXPECT_EQ(validate(bad).error_text(),
            "2 errors occurred:\n\t* Job priority must be between [1, 100]\n\t* Task group g validation failed: 1 error "
            "occurred:\n\t* Task t validation failed: 2 errors occurred:\n\t* Missing task driver\n\t* minimum MemoryMB value "
            "is 10; got 1\n\n\n\n\n\n");
}

TEST(Validate, Warnings) {
  schema::Job doubtful = job();
  group(doubtful).mutable_update()->set_max_parallel(6);
  group(doubtful).set_count(3);
  group(doubtful).set_max_client_disconnect(1);
  const Verdict verdict = validate(doubtful);
  EXPECT_TRUE(verdict.ok()) << verdict.error_text();
  EXPECT_EQ(verdict.warning_text(),
            "1 warning(s):\n\n* Group \"g\" has warnings: 2 errors occurred:\n\t* Update max parallel count is greater than task "
            "group count (6 > 3). A destructive change would result in the simultaneous replacement of all allocations.\n\t* "
            "MaxClientDisconnect is ignored: use disconnect.lost_after\n\n");
}

TEST(Validate, AnyJobIsSafeToJudge) {
  EXPECT_FALSE(validate(schema::Job()).ok());
  schema::Job empty;
  empty.add_task_groups()->add_tasks();
  EXPECT_FALSE(validate(empty).ok());
  canonicalize(&empty);
  EXPECT_FALSE(validate(empty).ok());
}

TEST(ValidateUpdate, WhatMayNotChange) {
  const auto text = [](const Change& change, const char* type = "batch") {
    schema::Job changed = job(type);
    change(changed);
    const auto result = validate_update(job(type), changed);
    return result.ok() ? std::string() : result.error().message();
  };
  EXPECT_EQ(text([](schema::Job& j) { j.set_priority(3); }), "");
  EXPECT_EQ(text([](schema::Job& j) { j.set_type("service"); }), "cannot update job from type \"batch\" to \"service\"");
  EXPECT_EQ(text([](schema::Job& j) { j.mutable_periodic()->set_enabled(true); }), "cannot update non-periodic job to being periodic");
  EXPECT_EQ(text([](schema::Job& j) { j.mutable_parameterized_job(); }),
            "cannot update non-parameterized job to being parameterized");
  EXPECT_NE(text([](schema::Job& j) { j.set_namespace_("other"); }), "");
}

}  // namespace
}  // namespace steppe::model
