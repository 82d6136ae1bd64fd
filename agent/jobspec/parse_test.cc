#include "agent/jobspec/parse.h"

#include <gtest/gtest.h>

#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"

namespace steppe::jobspec {
namespace {

std::string repeat(std::string_view text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

// A job whose one task has `meta` set to the given text.
std::string with_meta(const std::string& meta, const std::string& before = "") {
  return before + "\njob \"j\" {\n  meta {\n" + meta +
         "\n  }\n  group \"g\" {\n    task \"t\" {\n      driver = \"exec\"\n    }\n  }\n}\n";
}

std::string meta_of(const std::string& text, const ParseOptions& options = {}) {
  auto job = parse("t.hcl", text, options);
  if (!job.ok()) return "error: " + job.error().message();
  std::map<std::string, std::string> sorted(job->meta().begin(), job->meta().end());
  std::string out;
  for (const auto& [key, value] : sorted) out += (out.empty() ? "" : " ") + key + "=" + value;
  return out;
}

void expect_error(const std::string& text, std::string_view expected, const ParseOptions& options = {}) {
  auto job = parse("t.hcl", text, options);
  ASSERT_FALSE(job.ok()) << text;
  EXPECT_NE(job.error().message().find(expected), std::string::npos)
      << text << "\nexpected: " << expected << "\nfound: " << job.error().message();
}

TEST(Variables, StrongerSourcesWin) {
  std::string text = with_meta("v = var.v", "variable \"v\" {\n  type = string\n  default = \"default\"\n}");
  ParseOptions options;
  EXPECT_EQ(meta_of(text, options), "v=default");
  options.environment = {{"NOMAD_VAR_v", "environment"}, {"NOMAD_VAR_other_job", "x"}, {"v", "no"}};
  EXPECT_EQ(meta_of(text, options), "v=environment");
  options.var_files = {{"a.hcl", "v = \"file 1\""}, {"b.hcl", "v = \"file 2\""}};
  EXPECT_EQ(meta_of(text, options), "v=file 2");
  options.var_flags = {"v=flag 1", "v=flag=2"};
  EXPECT_EQ(meta_of(text, options), "v=flag=2");
}

TEST(Variables, AreConvertedToTheirTypes) {
  std::string declare =
      "variable \"list\" { type = list(number) }\nvariable \"obj\" {\n  type = object({ a = string, b = "
      "optional(number, 3) })\n}\n"
      "variable \"flag\" { type = bool }\nvariable \"free\" {}\nvariable \"count\" { type = number }\n";
  std::string text = with_meta(
      "list = join(\"-\", var.list)\nobj = \"${var.obj.a}${var.obj.b}\"\nflag = var.flag ? \"yes\" : \"no\"\nfree = "
      "var.free\ncount = var.count + 1",
      declare);
  ParseOptions options;
  options.var_flags = {"list=[1, \"2\"]", "obj={a=5}", "flag=true", "free=[not hcl", "count=41"};
  EXPECT_EQ(meta_of(text, options), "count=42 flag=yes free=[not hcl list=1-2 obj=53");
  options.var_flags[0] = "list=[\"x\"]";
  expect_error(text,
               "The value for list is not compatible with the variable's type constraint: item 0: a number is required",
               options);
  options.var_flags[0] = "list=[1";
  expect_error(text, "<value for var.list from arguments>:1,", options);
  options.var_flags[0] = "list=[1]";
  options.var_flags.push_back("cuont=5");
  expect_error(text, "Did you mean \"count\"?", options);
  options.strict = false;
  Findings findings;
  EXPECT_TRUE(parse("t.hcl", text, options, &findings).ok());
  EXPECT_NE(findings.warnings.find("Undefined -var variable"), std::string::npos);
}

TEST(Variables, MissingAndWrongOnesAreErrors) {
  expect_error(with_meta("v = var.v", "variable \"v\" { type = string }"), "Unset variable \"v\"");
  expect_error(with_meta("v = var.v", "variable \"v\" {\n  type = number\n  default = \"x\"\n}"),
               "This default value is not compatible");
  expect_error(with_meta("v = var.w", "variable \"v\" { default = 1 }"), "does not have an attribute named \"w\"");
  expect_error(with_meta("", "variable \"v\" {\n  defualt = 1\n}"), "\"defualt\" is not expected here");
  expect_error(with_meta("", "variable \"v v\" {}"), "Invalid variable name");
  expect_error(with_meta("", "variable \"v\" { default = 1 }\nvariables {\n  v = 2\n}"),
               "Duplicate v variable definition");
  ParseOptions options;
  options.var_files = {{"vars.hcl", "variable \"v\" {}\n"}};
  expect_error(with_meta(""), "Variable declaration in a .var file", options);
  options.var_files = {{"vars.hcl", "v = [\n"}};
  expect_error(with_meta(""), "vars.hcl:", options);
  options.var_files.clear();
  options.var_flags = {"novalue"};
  expect_error(with_meta(""), "write -var name=value", options);
}

TEST(Variables, AreValidated) {
  std::string declare =
      "variable \"v\" {\n  default = \"abc\"\n  validation {\n    condition = strlen(var.v) < 4\n    error_message = "
      "\"Too long.\"\n  }\n}";
  EXPECT_EQ(meta_of(with_meta("v = var.v", declare)), "v=abc");
  ParseOptions options;
  options.var_flags = {"v=abcd"};
  expect_error(with_meta("v = var.v", declare), "", {.var_flags = {"v=abcd"}});
  expect_error(with_meta("v = var.v", declare), "Invalid value for cmd variable; var.v: Too long.", options);
  expect_error(
      with_meta(
          "",
          "variable \"v\" {\n  default = 1\n  validation {\n    condition = true\n    error_message = \"x\"\n  }\n}"),
      "must refer to var.v");
  expect_error(with_meta("",
                         "variable \"v\" {\n  default = 1\n  validation {\n    condition = var.v == var.w\n    "
                         "error_message = \"x\"\n  }\n}"),
               "can only refer to the variable itself");
  expect_error(with_meta("", "variable \"v\" {\n  default = 1\n  validation {\n    condition = var.v > 0\n  }\n}"),
               "\"error_message\" is required");
}

TEST(Locals, AreCalculatedInTheOrderTheyNeed) {
  EXPECT_EQ(meta_of(with_meta("a = local.a\nall = join(\",\", keys(local))",
                              "locals {\n  a = \"${local.b}!\"\n  b = local.list[1]\n}\nlocals {\n  list = [for x in "
                              "[1, 2]: x * local.factor]\n  factor = 10\n}")),
            "a=20! all=a,b,factor,list");
  expect_error(with_meta("a = local.a", "locals {\n  a = local.b\n  b = \"${local.c}\"\n  c = local.a\n}"),
               "local.a -> local.b -> local.c -> local.a");
  expect_error(with_meta("a = local.a", "locals {\n  a = local.nosuch\n}"),
               "does not have an attribute named \"nosuch\"");
  expect_error(with_meta("", "locals {\n  a = 1\n}\nlocals {\n  a = 2\n}"), "Duplicate a definition");
  std::string chain = "locals {\n  v0 = 1\n";
  for (int i = 1; i < 5000; ++i) chain += "  v" + std::to_string(i) + " = local.v" + std::to_string(i - 1) + "\n";
  expect_error(with_meta("a = local.v4999", chain + "}"), "locals build on one another");
}

TEST(References, OfRunTimeStayText) {
  EXPECT_EQ(meta_of(with_meta("a = \"${attr.kernel.name}\"\nb = \"${NOMAD_PORT_http}:${env[\"HOME\"]}\"\nc = "
                              "node.unique.id\nd = \"$${x}\"\ne = \"${meta.a-b}\"")),
            "a=${attr.kernel.name} b=${NOMAD_PORT_http}:${env[\"HOME\"]} c=${node.unique.id} d=${x} e=${meta.a-b}");
}

TEST(Dynamic, ExpandsAtEveryDepth) {
  std::string text = R"(
job "j" {
  dynamic "group" {
    for_each = ["a", "b"]
    labels   = ["grp-${group.value}"]
    content {
      count = group.key + 1
      dynamic "task" {
        for_each = { x = 1, y = 2 }
        iterator = it
        labels   = ["${group.value}-${it.key}"]
        content {
          driver = "exec"
          config {
            command = "/bin/${it.key}"
            dynamic "mount" {
              for_each = [it.value, 9]
              content {
                size = mount.value
              }
            }
          }
          dynamic "constraint" {
            for_each = []
            content {}
          }
        }
      }
    }
  }
})";
  auto job = parse("t.hcl", text, {});
  ASSERT_TRUE(job.ok()) << job.error().message();
  ASSERT_EQ(job->task_groups_size(), 2);
  EXPECT_EQ(job->task_groups(1).name(), "grp-b");
  EXPECT_EQ(job->task_groups(1).count(), 2);
  ASSERT_EQ(job->task_groups(1).tasks_size(), 2);
  const auto& task = job->task_groups(1).tasks(1);
  EXPECT_EQ(task.name(), "b-y");
  EXPECT_EQ(schema::write_field_json(task, *task.GetDescriptor()->FindFieldByName("config")),
            R"({"command":"/bin/y","mount":[{"size":2},{"size":9}]})");
}

TEST(Dynamic, FaultsAreErrors) {
  auto wrap = [](std::string inner) { return "job \"j\" {\n  dynamic \"group\" {\n" + inner + "\n  }\n}"; };
  expect_error(wrap("content {}"), "for_each is missing");
  expect_error(wrap("for_each = []"), "content { } is missing");
  expect_error(wrap("for_each = 5\ncontent {}"), "Cannot use a value of type number in for_each");
  expect_error(wrap("for_each = []\nbogus = 1\ncontent {}"), "\"bogus\" is not expected here");
  expect_error(wrap("for_each = [1]\ncontent {}"), "Missing name for group");
  expect_error(wrap("for_each = [1]\nlabels = [null]\ncontent {}"), "Every label must be a string");
}

TEST(Decode, UnknownNamesComeWithSuggestions) {
  auto in_task = [](std::string inner) {
    return "job \"j\" {\n  group \"g\" {\n    task \"t\" {\n" + inner + "\n    }\n  }\n}";
  };
  expect_error("job \"j\" {\n  datacentres = []\n}",
               "t.hcl:2,3-14: Unsupported argument; An argument named \"datacentres\" is not expected here. Did you "
               "mean \"datacenters\"?");
  expect_error("job \"j\" {\n  gruop \"x\" {}\n}", "Did you mean \"group\"?");
  expect_error(in_task("resource {}"), "Did you mean \"resources\"?");
  expect_error(in_task("resources = {}"), "Did you mean to define a block of type \"resources\"?");
  expect_error(in_task("driver {}"), "Write driver = …");
  expect_error(in_task("lifecycle {\n hook_ = \"x\"\n}"), "The argument \"hook\" is required in a lifecycle block");
  expect_error("jbo \"j\" {}", "Did you mean \"job\"?");
  expect_error("x = 1\njob \"j\" {}", "An argument named \"x\" is not expected here");
  expect_error("", "A job block is required");
  expect_error("job \"a\" {}\njob \"b\" {}", "Only one block of type \"job\"");
  expect_error("job {}", "Missing name for job");
  expect_error("job \"a\" \"b\" {}", "Extraneous label for job");
}

TEST(Decode, WrongTypesAreErrors) {
  auto in_group = [](std::string inner) { return "job \"j\" {\n  group \"g\" {\n" + inner + "\n  }\n}"; };
  expect_error(in_group("count = \"many\""), "Unsuitable value for \"count\": a number is required");
  expect_error(in_group("count = 1.5"), "a whole number is required");
  expect_error(in_group("shutdown_delay = \"5 minutes\""), "a duration such as \"30s\"");
  expect_error(in_group("shutdown_delay = null"), "a duration such as");
  expect_error(in_group("spread { weight = 300 }"), "300 is outside the range from -128 to 127");
  expect_error(in_group("meta {\n  a = [1]\n}"), "Unsuitable value for \"a\" of meta: a string is required");
  expect_error(in_group("meta = 5"), "a map is required");
  expect_error(in_group("meta = { a = 1 }\nmeta {\n  b = 2\n}"), "Duplicate meta block");
  expect_error(in_group("update {}\nupdate {}"), "Only one update block is allowed. Another was defined at t.hcl:3");
  expect_error(in_group("volume \"a\" {}\nvolume \"a\" {}"), "Another volume block is named \"a\"");
  expect_error(in_group("scaling {}"), "\"max\" is required in a scaling block");
  expect_error(in_group("task \"t\" {\n  logs {\n    enabled = true\n    disabled = false\n  }\n}"),
               "Only one of \"enabled\" and \"disabled\"");
  expect_error(in_group("task \"t\" {\n  scaling \"disk\" {}\n}"), "must be \"cpu\" or \"mem\"");
  expect_error("job \"j\" {\n  datacenters = \"dc1\"\n}", "a list of strings is required, but found string");
  expect_error("job \"j\" {\n  priority = \"high\"\n  all_at_once = 3\n  type = []\n}",
               "Unsuitable value for \"type\"");
}

TEST(Decode, SmallForms) {
  auto job = parse("t.hcl", R"(
job "label" {
  id       = "own-id"
  priority = "55"
  group "g" {
    shutdown_delay = 1000000000
    constraint { distinct_hosts = true }
    constraint {
      attribute    = "${meta.x}"
      set_contains_any = "a,b"
    }
    network {
      port "a" { static = 80 }
      port "b" {}
      port "c" { static = "8080" }
    }
    vault { role = "group" }
    task "t" {
      logs { enabled = false }
      identity { name = "x" }
      identity { env = true }
    }
    task "u" {
      vault { role = "own" }
    }
  }
  task "alone" { driver = "exec" }
})",
                   {});
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(job->id(), "own-id");
  EXPECT_EQ(job->name(), "label");
  EXPECT_EQ(job->priority(), 55);
  ASSERT_EQ(job->task_groups_size(), 2);
  EXPECT_EQ(job->task_groups(0).name(), "alone");
  const auto& group = job->task_groups(1);
  EXPECT_EQ(group.shutdown_delay(), 1000000000);
  EXPECT_EQ(group.constraints(0).operand(), "distinct_hosts");
  EXPECT_EQ(group.constraints(1).operand(), "set_contains_any");
  EXPECT_EQ(group.networks(0).reserved_ports_size(), 2);
  EXPECT_EQ(group.networks(0).dynamic_ports(0).label(), "b");
  EXPECT_TRUE(group.tasks(0).log_config().disabled());
  EXPECT_TRUE(group.tasks(0).identity().env());
  EXPECT_EQ(group.tasks(0).identities(0).name(), "x");
  EXPECT_EQ(group.tasks(0).vault().role(), "group");
  EXPECT_EQ(group.tasks(1).vault().role(), "own");
  EXPECT_FALSE(job->has_vault());
}

// Shapes as Nomad's parser makes them of the same text.
TEST(Decode, DriverConfigKeepsItsShapes) {
  auto job = parse("t.hcl", R"(
job "j" {
  group "g" {
    task "t" {
      config {
        n     = 1.0
        m     = 1e3
        neg   = -1
        l     = [1, "a", true, null, { x = 1 }]
        o     = { a = { b = 1 } }
        empty = []
        eo    = {}
        p     = true ? { a = 1 } : { a = 2 }
        q     = [{ a = { b = 1 } }]
        blk {
          x { y = 1 }
        }
        blk {
          x { y = 2 }
        }
        lab "foo" "bar" { z = 1 }
        e {}
      }
    }
  }
})",
                   {});
  ASSERT_TRUE(job.ok()) << job.error().message();
  const auto& task = job->task_groups(0).tasks(0);
  EXPECT_EQ(schema::write_field_json(task, *task.GetDescriptor()->FindFieldByName("config")),
            R"({"blk":[{"x":[{"y":1}]},{"x":[{"y":2}]}],"e":[{}],"empty":[],"eo":[{}],"l":[1,"a",true,null,{"x":1}],)"
            R"("lab":[{"foo":[{"bar":[{"z":1}]}]}],"m":1000,"n":1,"neg":-1,"o":[{"a":{"b":1}}],"p":{"a":1},"q":[{"a":{"b":1}}]})");
}

TEST(Limits, HostileFilesGetAnError) {
  for (std::string open : {"a {\n", "a = [", "a = {b = ", "a = \"${", "a = f("})
    expect_error("job \"j\" {\n" + repeat(open, 10000), "t.hcl:");
  expect_error("job \"j\" {\n  meta {\n    a = \"" + repeat("x", 1000000) + "\n", "t.hcl:3,");
  expect_error(repeat("variable \"v\" {}\n", 20000), "and ");
  std::string blowup = "locals {\n  l0 = [1,1,1,1,1,1,1,1,1,1]\n";
  for (int i = 1; i < 12; ++i)
    blowup += "  l" + std::to_string(i) + " = [for x in range(10): local.l" + std::to_string(i - 1) + "]\n";
  expect_error(with_meta("a = jsonencode(local.l11)", blowup + "}"), "Value too large");
  std::string groups = "job \"j\" {\n";
  for (int i = 0; i < 4; ++i)
    groups +=
        "dynamic \"group\" {\nfor_each = range(1000)\nlabels = [\"x\"]\ncontent {\n" +
        repeat("dynamic \"task\" {\nfor_each = range(1000)\nlabels = [\"t\"]\ncontent { driver = \"exec\" }\n}\n", 4) +
        "}\n}\n";
  expect_error(groups + "}", "Evaluation limit reached");
  EXPECT_FALSE(parse("t.hcl", std::string("job \"j\" {\n\0}", 12), {}).ok());
  EXPECT_FALSE(parse("t.hcl", "job \"j\" {\n\xFF}", {}).ok());
}

TEST(Waiting, NamesWhatNoPartActsOn) {
  auto job = parse("t.hcl", R"(
job "j" {
  type = "batch"
  periodic { cron = "* * * * *" }
  parameterized {}
  group "g" {
    network { mode = "bridge" }
    service {}
    volume "kept" {
      type   = "host"
      source = "here"
    }
    volume "remote" {
      type   = "csi"
      source = "there"
    }
    task "t" {
      driver = "docker"
      vault {}
    }
    task "fine" {
      driver = "raw_exec"
    }
  }
})",
                   {});
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(not_yet_acted_on(*job),
            (std::vector<std::string>{"group g > task t > driver = \"docker\"", "group g > task t > vault",
                                      "group g > network > mode = \"bridge\"", "group g > service",
                                      "group g > volume remote > type = \"csi\"", "parameterized"}));
}

TEST(Waiting, NamesWhatTemplatesAndArtifactsAskFor) {
  auto job = parse("t.hcl", R"(
job "j" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      artifact {
        source = "http://127.0.0.1/a"
        chown  = true
      }
      template {
        data        = "{{/* known */}}{{ env \"A\" }}{{- \"text\" -}}"
        destination = "local/a"
      }
      template {
        data        = "x {{ env \"A\" }} {{ range services }}{{ .Name }}{{ end }}"
        destination = "local/b"
      }
      template {
        data            = "{{ as it stands }} <<key>>"
        destination     = "local/c"
        left_delimiter  = "<<"
        right_delimiter = ">>"
        uid             = 7
      }
    }
  }
})",
                   {});
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(not_yet_acted_on(*job),
            (std::vector<std::string>{"group g > task t > template > {{ range services }}", "group g > task t > template > <<key>>",
                                      "group g > task t > template > uid", "group g > task t > artifact > chown"}));
}

// What a server adds to a job that it keeps is no wish of its author.
TEST(Waiting, LeavesDefaultsAlone) {
  constexpr std::string_view kKept = R"({"ID":"j","Type":"service","Multiregion":null,"TaskGroups":[{"Name":"g","Services":null,"Consul":null,
    "EphemeralDisk":{"Migrate":false,"SizeMB":300},"Tasks":[{"Name":"t","Driver":"exec","Vault":null,"Actions":[],
      "Identity":{"Name":"default","Audience":["nomadproject.io"],"ChangeMode":"","ChangeSignal":"","Env":false,"File":false,"Filepath":"","ServiceName":"","TTL":0},
      "Resources":{"CPU":100,"MemoryMB":300,"SecretsMB":0}}]}]})";
  schema::Job job;
  ASSERT_TRUE(schema::read_json(kKept, &job).ok());
  EXPECT_EQ(not_yet_acted_on(job), std::vector<std::string>());
  schema::Task& task = *job.mutable_task_groups(0)->mutable_tasks(0);
  task.mutable_identity()->set_file(true);
  task.mutable_resources()->set_secrets_mb(5);
  EXPECT_EQ(not_yet_acted_on(job), (std::vector<std::string>{"group g > task t > resources > secrets", "group g > task t > identity"}));
  task.mutable_identity()->set_file(false);
  task.mutable_identity()->add_audience("other.example");
  task.mutable_resources()->set_secrets_mb(0);
  EXPECT_EQ(not_yet_acted_on(job), std::vector<std::string>{"group g > task t > identity"});
}

TEST(Variables, AValueThatCannotBeUsedIsOneError) {
  for (const char* type : {"number", "list(string)"}) {
    ParseOptions options;
    options.var_flags = {"n=abc"};
    const auto job = parse("t.hcl", std::format("variable \"n\" {{\n  type = {}\n}}\njob \"j\" {{\n  meta {{\n    a = var.n\n  }}\n  group \"g\" {{\n    task \"t\" {{\n      driver = \"exec\"\n    }}\n  }}\n}}\n", type), options);
    ASSERT_FALSE(job.ok());
    EXPECT_NE(job.error().message().find("<value for var.n from arguments>"), std::string::npos) << job.error().message();
    EXPECT_EQ(job.error().message().find("Unset variable"), std::string::npos) << job.error().message();
  }
}

}  // namespace
}  // namespace steppe::jobspec
