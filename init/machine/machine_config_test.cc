#include "init/machine/machine_config.h"

#include <gtest/gtest.h>

#include "init/base/text.h"
#include "init/machine/kernel_arguments.h"
#include "init/machine/remote_sources.h"
#include "init/machine/smbios.h"
#include "init/machine/sources.h"

namespace steppe::machine {
namespace {

constexpr const char* kPem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

std::string faults(const std::string& text) {
  hcl::Diagnostics diagnostics;
  read_machine_config("steppe.hcl", text, diagnostics);
  return diagnostics.text();
}
MachineConfig read(const std::string& text) {
  hcl::Diagnostics diagnostics;
  MachineConfig config = read_machine_config("steppe.hcl", text, diagnostics);
  EXPECT_FALSE(diagnostics.has_errors()) << diagnostics.text();
  return config;
}

constexpr const char* kWhole = R"(
version = 1
identity {
  hostname = "node-1.example.org"
  region = "eu"
  meta = { rack = "r1" }
}
network {
  dns = ["10.0.0.1", "fd00::1"]
  search = ["example.org"]
  dhcp_on_others = false
  link "uplink" {
    mac = "02:00:5E:10:00:01"
    dhcp = false
    addresses = ["10.0.0.7/24", "fd00::7/64"]
    gateway = "10.0.0.1"
    gateway6 = "fd00::1"
    mtu = 9000
    route "192.168.0.0/16" {
      gateway = "10.0.0.2"
      metric = 50
    }
  }
  vlan "v10" {
    parent = "eth0"
    id = 10
  }
  bond "b0" {
    members = ["eth*", "02:00:5e:10:00:02"]
    mode = "lacp"
  }
}
join {
  servers = ["10.0.0.3", "server.example.org:4648", "[fd00::3]:4648"]
  token = "s.secret"
}
time { servers = ["ntp.example.org"] }
disks {
  system {
    path = "/dev/disk/by-path/pci-0000:00:04.0"
    wipe = true
  }
  data { min_size = "64GiB" }
}
keys {
  trusted = [<<EOT
-----BEGIN CERTIFICATE-----
MIIB
-----END CERTIFICATE-----
EOT
  ]
  refused = ["0000000000000000000000000000000000000000000000000000000000000000"]
}
proxy {
  https = "http://proxy:3128"
  except = ["10.0.0.0/8"]
}
console { devices = ["tty0", "ttyS0"] }
security { version = 4 }
agent {
  server { enabled = true }
}
)";

TEST(MachineConfig, ReadsAWholeDocument) {
  MachineConfig config = read(kWhole);
  EXPECT_EQ(config.identity.hostname, "node-1.example.org");
  EXPECT_EQ(config.identity.meta.at("rack"), "r1");
  ASSERT_EQ(config.network.links.size(), 3u);
  const network::LinkSettings& uplink = config.network.links[0];
  EXPECT_EQ(uplink.match.address, "02:00:5e:10:00:01");
  EXPECT_FALSE(uplink.dhcp);
  EXPECT_EQ(uplink.addresses[1].text(), "fd00::7/64");
  ASSERT_EQ(uplink.routes.size(), 3u);
  EXPECT_EQ(uplink.routes[0].destination.text(), "0.0.0.0/0");
  EXPECT_EQ(uplink.routes[1].gateway.text(), "fd00::1");
  EXPECT_EQ(uplink.routes[2].metric, 50u);
  EXPECT_EQ(uplink.mtu, 9000u);
  EXPECT_EQ(config.network.links[1].vlan, (network::Vlan{"eth0", 10}));
  EXPECT_EQ(config.network.links[2].bond->mode, kernel::BondMode::kLacp);
  EXPECT_EQ(config.network.links[2].bond->members[1].address, "02:00:5e:10:00:02");
  EXPECT_FALSE(config.network.others_by_dhcp);
  EXPECT_EQ(config.join.servers.size(), 3u);
  EXPECT_EQ(config.join.token.reveal(), "s.secret");
  EXPECT_TRUE(config.disks.system->wipe);
  EXPECT_EQ(config.disks.data->min_bytes, 64ull << 30);
  EXPECT_EQ(config.keys.trusted.size(), 1u);
  EXPECT_EQ(config.security.version, 4u);
  EXPECT_EQ(trim(config.agent), "server { enabled = true }");
  EXPECT_EQ(config.given.size(), 10u);  // all but ca
}

TEST(MachineConfig, SaysWhatIsWrongAndWhere) {
  struct Case {
    const char* text;
    const char* said;
  };
  const Case cases[] = {
      {"", "steppe.hcl:1,1-1: Unfit value; \"version\": is missing, expected version = 1."},
      {"version = 2", "steppe.hcl:1,11-12: Unfit value; \"version\": is 2, expected a whole number from 1 to 1."},
      {"version = \"1\"", "\"version\": is a string, expected a number."},
      {"version = 1\nidentiy {}", "steppe.hcl:2,1-8: Unknown name; \"identiy\" is not known here; did you mean \"identity\"?"},
      {"version = 1\nidentity { hostname = \"a_b\" }", "\"hostname\": is \"a_b\", expected a host name (RFC 1123)"},
      {"version = 1\nidentity { hostname = 7 }", "\"hostname\": is a number, expected a string."},
      {"version = 1\nidentity {}\nidentity {}", "Repeated block; \"identity\" may stand once."},
      {"version = 1\nidentity \"x\" {}", "\"identity\" takes none."},
      {"version = 1\nidentity { hostname = local.name }", "steppe.hcl:2,23-"},
      {"version = 1\nidentity { hostname = upper(\"a\") }", "steppe.hcl:2,23-"},
      {"version = 1\nnetwork {\n link \"a\" {}\n}", "a device is found by name, mac, or both"},
      {"version = 1\nnetwork {\n link \"a\" {\n  name = \"e/0\"\n }\n}", "\"name\": is \"e/0\", expected a link's name"},
      {"version = 1\nnetwork {\n link \"a\" {\n  name = \"eth0\"\n  addresses = [\"10.0.0.1\"]\n }\n}",
       "expected an address with its prefix length, such as 10.0.0.7/24"},
      {"version = 1\nnetwork {\n link \"a\" {\n  name = \"eth0\"\n  gateway = \"fd00::1\"\n }\n}",
       "expected an IPv4 address (gateway6 takes the other kind)"},
      {"version = 1\nnetwork {\n link \"a\" {\n  name = \"eth0\"\n  route \"10.0.0.0/8\" {\n   gateway = \"fd00::1\"\n  }\n }\n}",
       "is of the other kind of address than its route"},
      {"version = 1\nnetwork {\n vlan \"v\" {\n  parent = \"eth0\"\n  id = 4095\n }\n}",
       "\"id\": is 4095, expected a whole number from 1 to 4094."},
      {"version = 1\nnetwork {\n vlan \"averyveryverylong\" {\n  parent = \"eth0\"\n  id = 1\n }\n}", "expected a link's name: at most 15"},
      {"version = 1\nnetwork {\n bond \"b\" {\n  mode = \"fast\"\n  members = [\"eth0\"]\n }\n}", "expected round-robin, active-backup"},
      {"version = 1\nnetwork {\n bond \"b\" {}\n}", "a bond needs at least one"},
      {"version = 1\nnetwork {\n link {\n  name = \"eth0\"\n }\n}", "Label expected; \"link\" takes one: its name."},
      {"version = 1\njoin { servers = [\"a:b\"] }", "is \"a:b\", expected a host, host:port or [IPv6]:port"},
      {"version = 1\njoin { servers = \"a\" }", "\"servers\""},
      {"version = 1\ndisks {\n system {\n  min_size = \"1GiB\"\n  wipe = true\n }\n}", "\"wipe\": needs the disk named by path or serial."},
      {"version = 1\ndisks {\n system {\n  min_size = \"64 G\"\n }\n}", "expected a size such as 64GiB"},
      {"version = 1\ndisks {\n system {\n  path = \"/dev/../x\"\n }\n}", "expected a path below /dev"},
      {"version = 1\nkeys { trusted = [\"x\"] }", "is no PEM certificate"},
      {"version = 1\nkeys { refused = [\"00\"] }", "the 64 hex digits of a SHA-256"},
      {"version = 1\nproxy { http = \"ftp://x\" }", "expected http://HOST:PORT or https://HOST:PORT"},
      {"version = 1\nsecurity { version = -1 }", "expected a whole number from 0"},
      {"version = 1\nidentity {", "steppe.hcl:"},
      {"version = 1\n\xff", "Not a text"},
  };
  for (const Case& c : cases) EXPECT_NE(faults(c.text).find(c.said), std::string::npos) << c.text << "\n-> " << faults(c.text);
  EXPECT_NE(faults(std::string(kMaxConfigBytes + 1, ' ')).find("Too long"), std::string::npos);
  // All faults at once.
  std::string all = faults("version = 1\nidentity { hostname = 7 }\ntime { servers = [\"a b\"] }\nfoo = 1");
  EXPECT_NE(all.find("hostname"), std::string::npos);
  EXPECT_NE(all.find("a b"), std::string::npos);
  EXPECT_NE(all.find("\"foo\" is not known here"), std::string::npos);
}

TEST(MachineConfig, LetsTheAgentCheckItsOwnBlock) {
  std::string text = "version = 1\n\nagent {\n  datacenter = \"dc1\"\n}\n";
  AgentCheck check = [](const std::string& file, const std::string& agent) -> Result<> {
    size_t at = agent.find("datacenter");
    size_t line = static_cast<size_t>(std::count(agent.begin(), agent.begin() + static_cast<ptrdiff_t>(at), '\n')) + 1;
    return {Code::kInvalid, file + ":" + std::to_string(line)};
  };
  EXPECT_EQ(validate_machine_config("m.hcl", text, check).error().message(), "m.hcl:4");  // the place in the document
  EXPECT_TRUE(validate_machine_config("m.hcl", text, nullptr).ok());
  EXPECT_TRUE(validate_machine_config("m.hcl", "version = 1", check).ok());
  EXPECT_NE(validate_machine_config("m.hcl", "version = 3", check).error().message().find("m.hcl:1,11-12"), std::string::npos);
}

TEST(Urls, NeedTlsOrADigest) {
  std::string digest = "#sha256=" + std::string(64, 'a');
  for (const std::string& good : std::vector<std::string>{"https://host/x", "https://10.0.0.1:8443/x?y=1", "https://[fd00::1]:8443/",
                                                          "http://host/x" + digest, "https://host/x" + digest})
    EXPECT_TRUE(check_url(good).ok()) << good;
  for (const std::string& bad :
       std::vector<std::string>{"http://host/x", "ftp://host/x", "host", "https://", "https:///x", "https://host/a b",
                                "http://host/x#sha256=12", "https://host/x#frag", "http://ho_st/" + digest})
    EXPECT_FALSE(check_url(bad).ok()) << bad;
}

TEST(CommandLine, TakesOurArgumentsAsTheKernelParts) {
  using Settings = std::vector<Setting>;
  EXPECT_EQ(*parse_command_line("console=ttyS0 steppe.hostname=n1 quiet steppe.retry_join=a,b steppe.maintenance\n"),
            (Settings{{"hostname", "n1"}, {"retry_join", "a,b"}, {"maintenance", ""}}));
  EXPECT_EQ(*parse_command_line("steppe.agent=\"a = 1 b\" \"steppe.hostname=x\" s1.efi -- steppe.hostname=y"),
            (Settings{{"agent", "a = 1 b"}, {"hostname", "x"}}));
  EXPECT_EQ(*parse_command_line(""), Settings{});
  EXPECT_EQ(*parse_command_line(std::string_view("steppe.a=1\0", 11)), (Settings{{"a", "1"}}));
  for (const char* bad : {"steppe.=1", "steppe.A=1", "steppe.a b=1 steppe.", "steppe.a=\xff"}) EXPECT_FALSE(parse_command_line(bad).ok()) << bad;
  EXPECT_EQ(parse_command_line(std::string(kMaxCommandLine + 1, 'a')).error().code(), Code::kInvalid);
  std::string many;
  for (size_t i = 0; i <= kMaxArguments; i++) many += "steppe.a=1 ";
  EXPECT_EQ(parse_command_line(many).error().code(), Code::kExhausted);
}

TEST(Smbios, ReadsOemStrings) {
  auto structure = [](std::string strings, int count) { return std::string("\x0b\x05\x00\x0b", 4) + static_cast<char>(count) + std::move(strings); };
  std::string two = structure(std::string("steppe:hostname=n1\0other\0\0", 26), 2);
  EXPECT_EQ(*parse_oem_strings(as_bytes(two)), (std::vector<std::string>{"steppe:hostname=n1", "other"}));
  EXPECT_EQ(*smbios_settings(*parse_oem_strings(as_bytes(two))), (std::vector<Setting>{{"hostname", "n1"}}));
  EXPECT_FALSE(parse_oem_strings(as_bytes(structure(std::string("a\0\0", 3), 2))).ok());
  EXPECT_FALSE(parse_oem_strings(as_bytes(structure("a", 1))).ok());
  EXPECT_FALSE(parse_oem_strings(as_bytes("\x01\x05\x00\x0b\x01")).ok());
  EXPECT_TRUE(parse_oem_strings(as_bytes(structure("", 0)))->empty());
  EXPECT_FALSE(smbios_settings({"steppe:=1"}).ok());
  EXPECT_FALSE(smbios_settings({"steppe:Bad=1"}).ok());
}

TEST(Sources, SettingsBecomeConfiguration) {
  hcl::Diagnostics diagnostics;
  Fragment fragment = fragment_of(Origin::kKernelArguments,
                                  {{"hostname", "n1"},
                                   {"retry_join", "a,b:1"},
                                   {"retry_join", "c"},
                                   {"ip", "eth0:10.0.0.7/24:10.0.0.1"},
                                   {"ip", "eth1:dhcp"},
                                   {"ip", "eth2:[fd00::7/64]:[fd00::1]"},
                                   {"dns", "10.0.0.1"},
                                   {"config", "https://x/y"},
                                   {"agent", "server { enabled = true }"}},
                                  diagnostics);
  EXPECT_EQ(diagnostics.text(), "");
  EXPECT_EQ(fragment.config.join.servers, (std::vector<std::string>{"a", "b:1", "c"}));
  ASSERT_EQ(fragment.config.network.links.size(), 3u);
  EXPECT_EQ(fragment.config.network.links[0].routes[0].gateway.text(), "10.0.0.1");
  EXPECT_TRUE(fragment.config.network.links[1].dhcp);
  EXPECT_EQ(fragment.config.network.links[2].addresses[0].text(), "fd00::7/64");
  EXPECT_EQ(fragment.config.agent, "server { enabled = true }");
  for (const Setting& bad : std::vector<Setting>{{"hostname", "a_b"},
                                                 {"retry_join", ""},
                                                 {"retry_join", "a b"},
                                                 {"ip", "eth0"},
                                                 {"ip", ":dhcp"},
                                                 {"ip", "eth0:10.0.0.1"},
                                                 {"ip", "eth0:10.0.0.1/8:fd00::1"},
                                                 {"ip", "eth0:[fd00::1"},
                                                 {"ip", "eth0:10.0.0.1/8:"},
                                                 {"dns", "x"},
                                                 {"hostnam", "x"}}) {
    hcl::Diagnostics found;
    fragment_of(Origin::kSmbios, {bad}, found);
    EXPECT_TRUE(found.has_errors()) << bad.name << "=" << bad.value;
  }
  EXPECT_TRUE(config_links({{"config", "https://host/x"}}).ok());
  EXPECT_EQ(config_links({{"config", "http://host/x"}}).error().message().find("steppe.config: is \"http://host/x\", expected https"), 0u);
}

TEST(Sources, ADigestMayStandBesideItsUrl) {
  const std::string digest(64, 'a');
  EXPECT_EQ(config_links({{"config", "http://h/x"}, {"config_sha256", digest}})->config, "http://h/x#sha256=" + digest);
  EXPECT_EQ(config_links({{"config", "https://first/"}, {"config", "https://second/"}})->config, "https://first/");
  for (const std::vector<Setting>& wrong : std::vector<std::vector<Setting>>{{{"config_sha256", digest}},
                                                                             {{"config", "http://h/x"}, {"config_sha256", "ab"}},
                                                                             {{"config", "http://h/x#sha256=" + digest}, {"config_sha256", digest}},
                                                                             {{"config_server", "http://h/x#sha256=" + digest}},
                                                                             {{"config", "file:///etc/passwd"}}})
    EXPECT_FALSE(config_links(wrong).ok()) << wrong[0].value;
}

TEST(RemoteSources, AreAskedByAddressUuidAndCloud) {
  const std::string digest(64, 'A'), lower_digest(64, 'a');
  const MachineFacts facts{{"02:00:5e:10:00:01", "02:00:5E:10:00:02"}, "12345678-abcd-0000-0000-0123456789ab", "QEMU"};
  auto urls = [&](const std::vector<Setting>& settings, const MachineFacts& of) {
    std::string out;
    Result<std::vector<RemoteSource>> sources = remote_sources(settings, of);
    if (!sources.ok()) return sources.error().message();
    for (const RemoteSource& source : *sources)
      out += std::string(source.trust == Trust::kLocal ? "local " : "") + std::string(origin_name(source.origin)) + "/" + std::to_string(source.link) + " " +
             (source.url.empty() ? source.name() : source.url) + "\n";
    return out;
  };
  EXPECT_EQ(urls({}, facts), "");
  EXPECT_EQ(urls({{"config", "http://h/x#sha256=" + digest}}, facts), "local kernel arguments/0 http://h/x\n");
  EXPECT_EQ(remote_sources({{"config", "http://h/x#sha256=" + digest}}, facts)->front().sha256, lower_digest);
  EXPECT_EQ(urls({{"config", "https://h/x"}}, facts), "kernel arguments/0 https://h/x\n") << "https says who, not what";
  EXPECT_EQ(urls({{"config", "https://h/${uuid}?m=${mac}"}}, facts),
            "HTTP by MAC/0 https://h/12345678-abcd-0000-0000-0123456789ab?m=02-00-5e-10-00-01\n"
            "HTTP by MAC/0 https://h/12345678-abcd-0000-0000-0123456789ab?m=02-00-5e-10-00-02\n");
  EXPECT_EQ(urls({{"config_server", "https://h/base/"}}, facts),
            "HTTP by MAC/1 https://h/base/mac-02-00-5e-10-00-01\nHTTP by MAC/1 https://h/base/mac-02-00-5e-10-00-02\n"
            "HTTP by UUID/1 https://h/base/uuid-12345678-abcd-0000-0000-0123456789ab\n");
  EXPECT_EQ(urls({{"config_server", "https://h"}}, {}), "") << "nothing to ask by";
  EXPECT_EQ(urls({}, {{}, "", "Amazon EC2"}), "cloud metadata/2 EC2 user data\n");
  EXPECT_EQ(urls({}, {{}, "", "Google"}), "cloud metadata/2 GCE user data\n");
  EXPECT_EQ(urls({{"metadata", "none"}}, {{}, "", "Google"}), "");
  EXPECT_EQ(urls({{"metadata", "ec2"}}, facts), "cloud metadata/2 EC2 user data\n");
  EXPECT_EQ(urls({{"metadata", "azure"}}, facts), "steppe.metadata is \"azure\", expected ec2, gce or none");
  EXPECT_EQ(remote_sources({{"config", "https://h/x?token=secret"}}, facts)->front().name(), "https://h/x");
  MachineFacts many{std::vector<std::string>(40, "02:00:5e:10:00:01"), "", ""};
  EXPECT_EQ(remote_sources({{"config_server", "https://h"}}, many)->size(), kMaxRemoteSources);
}

TEST(Sources, TheFirstOneWithASectionCounts) {
  hcl::Diagnostics diagnostics;
  std::vector<Fragment> fragments = {
      fragment_of(Origin::kFwCfg, "fw_cfg", Trust::kLocal,
                  "version = 1\nidentity { hostname = \"fw\" }\njoin { servers = [\"fw\"] }\ntime { servers = [\"t\"] }", diagnostics),
      fragment_of(Origin::kEspFile, "esp", Trust::kLocal, "version = 1\nidentity { region = \"eu\" }", diagnostics),
      fragment_of(Origin::kKernelArguments, {{"retry_join", "args"}}, diagnostics),
  };
  Merged merged = merge(fragments, diagnostics);
  EXPECT_EQ(diagnostics.text(), "");
  EXPECT_EQ(merged.config.identity.region, "eu");
  EXPECT_EQ(merged.config.identity.hostname, "");  // a section comes whole
  EXPECT_EQ(merged.config.join.servers, std::vector<std::string>{"args"});
  EXPECT_EQ(merged.from.at(Section::kTime), "fw_cfg");
  EXPECT_EQ(merged.from.at(Section::kJoin), "kernel arguments");
  EXPECT_EQ(merged.notes, (std::vector<std::string>{"identity of fw_cfg is hidden by that of esp",
                                                    "join of fw_cfg is hidden by that of kernel arguments"}));
}

TEST(Sources, UnsignedOnesSetNoKeysNoWipeNoSecurityVersion) {
  std::string pem = "[<<EOT\n" + std::string(kPem) + "EOT\n]";
  struct Case {
    std::string block;
    bool local, remote;
  };
  const Case cases[] = {
      {"identity { hostname = \"a\" }", true, true},  {"network { dns = [\"10.0.0.1\"] }", true, true},
      {"join { servers = [\"a\"] }", true, true},     {"time { servers = [\"a\"] }", true, false},
      {"console { quiet = true }", true, false},      {"proxy { http = \"http://a:1\" }", true, false},
      {"agent {}", true, false},                      {"disks {\n system {\n serial = \"x\"\n }\n}", true, false},
      {"disks {\n system {\n serial = \"x\"\n wipe = true\n }\n}", false, false}, {"disks {\n data {\n serial = \"x\"\n wipe = true\n }\n}", false, false},
      {"keys {\n trusted = " + pem + "\n}", false, false}, {"ca {\n certificates = " + pem + "\n}", false, false},
      {"security { version = 1 }", false, false},
  };
  for (const Case& c : cases) {
    for (Trust trust : {Trust::kSigned, Trust::kLocal, Trust::kRemote}) {
      hcl::Diagnostics diagnostics;
      Fragment fragment = fragment_of(Origin::kEspFile, "x", trust, "version = 1\n" + c.block, diagnostics);
      ASSERT_FALSE(diagnostics.has_errors()) << diagnostics.text();
      Merged merged = merge({fragment}, diagnostics);
      bool allowed = trust == Trust::kSigned || (trust == Trust::kLocal ? c.local : c.remote);
      EXPECT_EQ(diagnostics.has_errors(), !allowed) << c.block << " " << static_cast<int>(trust);
      EXPECT_EQ(merged.config.given.size(), allowed ? 1u : 0u) << c.block;
    }
  }
}

}  // namespace
}  // namespace steppe::machine
