#include <gtest/gtest.h>

#include <algorithm>

#include "agent/config/load.h"

namespace steppe::config {
namespace {

struct Loaded {
  AgentConfig config;
  std::vector<std::string> warnings;
  std::string error;
};

Loaded load_texts(const std::vector<std::string>& texts) {
  Loaded loaded;
  std::vector<File> files;
  for (const std::string& text : texts) files.push_back({"file" + std::to_string(files.size()) + ".hcl", text});
  auto result = load(files, &loaded.config, &loaded.warnings);
  if (!result.ok()) loaded.error = result.error().message();
  return loaded;
}

constexpr const char* kHcl = R"(
# A client and server, as people write it.
datacenter = "dc7"
data_dir   = "/var/lib/nomad"
log_level  = "DEBUG"
bind_addr  = "{{ GetInterfaceIP \"eth0\" }}"
ports { http = 5646, rpc = 5647 }
advertise {
  http = "10.0.0.5"
}
http_api_response_headers {
  "Access-Control-Allow-Origin" = "*"
}
server {
  enabled          = true
  bootstrap_expect = 3
  encrypt          = "c2VjcmV0"
  node_gc_threshold = "48h"
  retry_join = ["10.0.0.6"]
  server_join {
    retry_join     = ["10.0.0.7"]
    retry_interval = "15s"
  }
  default_scheduler_config {
    scheduler_algorithm = "spread"
    preemption_config { batch_scheduler_enabled = true }
  }
}
client {
  enabled = true
  servers = ["10.0.0.5:4647"]
  meta {
    rack   = "r1"
    "a.b"  = 2
  }
  options = {
    "driver.raw_exec.enable" = "1"
  }
  reserved {
    cpu            = 500
    reserved_ports = "22,80"
  }
  host_volume "data" {
    path      = "/srv/data"
    read_only = true
  }
  host_network "private" { cidr = "10.0.0.0/8" }
  drain_on_shutdown { deadline = "5m" }
  fingerprint "env_aws" { retry_attempts = 3 }
  cpu_disable_dmidecode = true
}
plugin "docker" {
  config {
    allow_privileged = true
    volumes { enabled = true }
    gc {
      image_delay = "1h"
      dangling_containers { enabled = false }
    }
  }
}
plugin "raw_exec" { config { enabled = true } }
acl { enabled = true }
telemetry {
  prometheus_metrics = true
  statsd_address     = "127.0.0.1:8125"
}
consul { address = "1.2.3.4:8500" }
limits { http_max_conns_per_client = 0 }
)";

// The same in JSON.
constexpr const char* kJson = R"({
  "//": "a comment",
  "datacenter": "dc7", "data_dir": "/var/lib/nomad", "log_level": "DEBUG", "bind_addr": "{{ GetInterfaceIP \"eth0\" }}",
  "ports": {"http": 5646, "rpc": 5647}, "advertise": [{"http": "10.0.0.5"}],
  "http_api_response_headers": {"Access-Control-Allow-Origin": "*"},
  "server": {"enabled": true, "bootstrap_expect": 3, "encrypt": "c2VjcmV0", "node_gc_threshold": "48h", "retry_join": ["10.0.0.6"],
    "server_join": {"retry_join": ["10.0.0.7"], "retry_interval": "15s"},
    "default_scheduler_config": {"scheduler_algorithm": "spread", "preemption_config": {"batch_scheduler_enabled": true}}},
  "client": {"enabled": true, "servers": ["10.0.0.5:4647"], "meta": {"rack": "r1", "a.b": 2}, "options": {"driver.raw_exec.enable": "1"},
    "reserved": {"cpu": 500, "reserved_ports": "22,80"}, "host_volume": [{"data": {"path": "/srv/data", "read_only": true}}],
    "host_network": {"private": {"cidr": "10.0.0.0/8"}}, "drain_on_shutdown": {"deadline": "5m"},
    "fingerprint": {"env_aws": {"retry_attempts": 3}}, "cpu_disable_dmidecode": true},
  "plugin": [{"docker": {"config": {"allow_privileged": true, "volumes": {"enabled": true},
      "gc": {"image_delay": "1h", "dangling_containers": {"enabled": false}}}}}, {"raw_exec": [{"config": [{"enabled": true}]}]}],
  "acl": {"enabled": true}, "telemetry": {"prometheus_metrics": true, "statsd_address": "127.0.0.1:8125"},
  "consul": {"address": "1.2.3.4:8500"}, "limits": {"http_max_conns_per_client": 0}
})";

TEST(Config, ReadsHcl) {
  Loaded loaded = load_texts({kHcl});
  ASSERT_EQ(loaded.error, "");
  const AgentConfig& c = loaded.config;
  EXPECT_EQ(c.datacenter, "dc7");
  EXPECT_EQ(c.region, "global");
  EXPECT_EQ(c.bind_addr, "{{ GetInterfaceIP \"eth0\" }}");
  EXPECT_EQ(c.ports.http, 5646);
  EXPECT_EQ(c.ports.serf, 4648);
  EXPECT_EQ(c.http_api_response_headers.at("Access-Control-Allow-Origin"), "*");
  EXPECT_EQ(c.server.encrypt.reveal(), "c2VjcmV0");
  EXPECT_EQ(c.server.node_gc_threshold, hours(48));
  EXPECT_EQ(c.server.join.retry_join, (TextList{"10.0.0.6", "10.0.0.7"}));
  EXPECT_EQ(c.server.join.retry_interval, seconds(15));
  EXPECT_EQ(c.server.scheduler.algorithm, "spread");
  EXPECT_TRUE(c.server.scheduler.preempt_batch);
  EXPECT_EQ(c.client.meta.at("a.b"), "2");
  EXPECT_EQ(c.client.options.at("driver.raw_exec.enable"), "1");
  EXPECT_EQ(c.client.reserved.cpu, 500);
  EXPECT_TRUE(c.client.host_volumes.at("data").read_only);
  EXPECT_EQ(c.client.host_networks.at("private").cidr, "10.0.0.0/8");
  EXPECT_TRUE(c.client.drain_on_shutdown);
  EXPECT_EQ(c.client.drain_deadline, minutes(5));
  EXPECT_EQ(c.limits.http_max_conns_per_client, 0);
  const auto& docker = c.plugins.at("docker").config;
  EXPECT_TRUE(std::get<bool>(docker.at("allow_privileged").value));
  const auto& gc = std::get<drivers::ConfigMap>(docker.at("gc").value);
  EXPECT_FALSE(std::get<bool>(std::get<drivers::ConfigMap>(gc.at("dangling_containers").value).at("enabled").value));
  EXPECT_EQ(loaded.warnings,
            (std::vector<std::string>{"acl.enabled", "client.cpu_disable_dmidecode", "client.fingerprint",
                                      "consul.address", "telemetry.statsd_address"}));
}

TEST(Config, JsonSaysTheSame) {
  Loaded hcl = load_texts({kHcl}), json = load_texts({kJson});
  ASSERT_EQ(json.error, "");
  EXPECT_EQ(flatten(hcl.config), flatten(json.config));
  EXPECT_EQ(hcl.warnings, json.warnings);
  EXPECT_GT(flatten(json.config).size(), 150u);
  EXPECT_EQ(flatten(json.config).at("server.encrypt"), "<redacted>");
  EXPECT_EQ(flatten(json.config).at("plugin.docker.config.gc.image_delay"), "1h");
}

TEST(Config, LaterFilesWinAndMerge) {
  Loaded loaded = load_texts({
      "log_level = \"INFO\"\nclient {\n  meta { a = 1, b = 2 }\n  servers = [\"s1\"]\n  node_class = \"x\"\n}\nserver "
      "{ enabled_schedulers = [\"batch\"] }\nplugin \"p\" { config { a = 1, b { c = 2 } } }",
      "{\"log_level\": \"WARN\", \"client\": {\"meta\": {\"b\": 3, \"c\": 4}, \"servers\": [\"s2\"]}, \"server\": "
      "{\"enabled_schedulers\": [\"service\"]}, \"plugin\": {\"p\": {\"config\": {\"b\": {\"d\": 5}}}}}",
  });
  ASSERT_EQ(loaded.error, "");
  EXPECT_EQ(loaded.config.log_level, "WARN");
  EXPECT_EQ(loaded.config.client.meta, (TextMap{{"a", "1"}, {"b", "3"}, {"c", "4"}}));
  EXPECT_EQ(loaded.config.client.servers, (TextList{"s1", "s2"}));
  EXPECT_EQ(loaded.config.client.node_class, "x");
  EXPECT_EQ(loaded.config.server.enabled_schedulers, (TextList{"service"}));
  EXPECT_EQ(flatten(loaded.config).at("plugin.p.config.b.c"), "2");
  EXPECT_EQ(flatten(loaded.config).at("plugin.p.config.b.d"), "5");
}

TEST(Config, FaultsNameTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"datacentre = \"x\"",
       "file0.hcl:1,1-11: Unknown configuration key; \"datacentre\" is not a key of the agent's configuration. Did you "
       "mean \"datacenter\"?"},
      {"client {\n  node_clas = 1\n}", "\"client.node_clas\" is not a key"},
      {"clint {}", "Did you mean \"client\"?"},
      {"ports { http = 70000 }", "a whole number from 0 to 65535 is required, but found 70000"},
      {"ports { http = \"web\" }", "Unsuitable value for \"ports.http\": a number is required"},
      {"ports = 5", "a block is required: ports { … }"},
      {"server { node_gc_threshold = \"1 day\" }", "a duration such as"},
      {"server { node_gc_threshold = \"-1h\" }", "a duration such as"},
      {"server { raft_multiplier = 0 }", "from 1 to 10"},
      {"client { servers = \"x\" }", "a list is required"},
      {"client { meta = 5 }", "client.meta"},
      {"client { meta { a { b = 1 } } }", "holds only names and texts"},
      {"client \"x\" {}", "No labels are expected"},
      {"plugin { args = [] }", "needs one label"},
      {"region = europe", "A text needs quotes"},
      {"region = upper(\"x\")", "no function named"},
      {"server {", "no closing brace"},
      {"{\"region\": }", "Invalid JSON"},
      {"{\"region\": \"a\", \"region\": \"b\"}", "given twice"},
      {"{\"client\": [1, {}]}", "either objects or plain values"},
      {"[1]", "file0.hcl:1,"},
      {"{} x", "Invalid JSON"},
  };
  for (auto& [text, expected] : cases) {
    Loaded loaded = load_texts({text});
    EXPECT_NE(loaded.error.find(expected), std::string::npos)
        << text << "\nexpected: " << expected << "\nfound: " << loaded.error;
  }
  Loaded both = load_texts({"a = 1", "b = 2"});
  EXPECT_NE(both.error.find("file0.hcl"), std::string::npos);
  EXPECT_NE(both.error.find("file1.hcl"), std::string::npos);
}

TEST(Config, HostileTextsGetAnError) {
  std::string deep, json;
  for (int i = 0; i < 10000; ++i) deep += "client {\n", json += "{\"client\":";
  EXPECT_NE(load_texts({deep}).error.find("Nesting too deep"), std::string::npos);
  EXPECT_NE(load_texts({json}).error, "");
  EXPECT_NE(load_texts({std::string("region = \"\0\"", 12)}).error, "");
}

TEST(Config, Check) {
  AgentConfig config;
  EXPECT_TRUE(check(config, true).ok());
  EXPECT_NE(check(config, false).error().message().find("Must specify \"data_dir\""), std::string::npos);
  EXPECT_NE(check(config, false).error().message().find("Must specify either server, client or dev mode"),
            std::string::npos);
  config.data_dir = "relative";
  config.log_level = "LOUD";
  config.client.min_dynamic_port = 40000;
  config.datacenter = "dc*";
  config.acl.enabled = config.tls.http = true;
  std::string faults = check(config, true).error().message();
  for (const char* part : {"absolute path: got relative", "LOUD", "min_dynamic_port 40000", "wildcard", "acl.enabled: this version has no ACLs", "tls.http: this version speaks plain HTTP"})
    EXPECT_NE(faults.find(part), std::string::npos) << faults;
}

TEST(Config, DirectoriesAreReadInOrder) {
  EXPECT_EQ(config_files_of({"b.hcl", "a.json", "x.txt", ".hidden.hcl", "c.hcl~", "#d.hcl#"}),
            (std::vector<std::string>{"a.json", "b.hcl"}));
}

TEST(Config, ReloadTellsWhatChanges) {
  AgentConfig before = load_texts({kHcl}).config, after = before;
  EXPECT_TRUE(compare(before, after).empty());
  after.log_level = "INFO";
  after.client.meta.erase("rack");
  after.client.node_class = "gpu";
  after.server.encrypt = Secret("other");
  after.plugins.erase("docker");
  Changes changes = compare(before, after);
  EXPECT_EQ(changes.applied, (std::vector<std::string>{"client.meta.rack", "log_level"}));
  EXPECT_NE(std::ranges::find(changes.need_restart, "server.encrypt"), changes.need_restart.end());
  EXPECT_NE(std::ranges::find(changes.need_restart, "client.node_class"), changes.need_restart.end());
  EXPECT_EQ(changes.need_restart.size(), 7u);
}

}  // namespace
}  // namespace steppe::config
