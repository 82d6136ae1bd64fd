#include <algorithm>
#include <format>

#include "agent/cli/commands.h"
#include "agent/cli/job_file.h"
#include "init/base/text.h"
#include "init/hcl/diagnostic.h"

namespace steppe::cli {

namespace {

std::vector<Spec> with(std::vector<Spec> more, std::vector<Spec> base = {}) {
  base.insert(base.end(), more.begin(), more.end());
  return base;
}

const Spec kDetach{"detach", kSwitch, "return at once, print the evaluation's id"};
const Spec kVerbose{"verbose", kSwitch, "full ids and more details"};
const Spec kJson{"json", kSwitch, "print JSON"};
const Spec kTemplate{"t", kText, "not offered: use -json with a JSON tool"};
const Spec kUi{"ui", kSwitch, "kept for compatibility: there is no page to open yet"};
const Spec kTail{"n", kText, "how many lines from the end (default 200)"};
const Spec kReason{"reason", kText, "why, kept with the machine's log"};
const Spec kDowngrade{"downgrade", kSwitch, "allow an image older than the good ones"};
const Spec kTask{"task", kText, "name of the task"};
const Spec kGroup{"group", kText, "name of the group, with -job"};
const Spec kJob{"job", kSwitch, "the argument is a job: any of its allocations"};

std::vector<Command> machine_commands() {
  return {
      {"machine", "", "the machine itself, where the whole operating system is Steppe"},
      {"machine bless", "", "the image on trial is good: keep it", {}, machine_bless},
      {"machine disks", "", "list disks and partitions", {kJson}, machine_disks},
      {"machine dmesg", "", "print the kernel's log", {kJson, kTail}, machine_dmesg},
      {"machine forgive", "<digest>", "an image whose trial failed may be staged again", {}, machine_forgive},
      {"machine info", "", "show image, kernel, memory and state", {kJson}, machine_info},
      {"machine logs", "", "print the log of the machine's services", {kJson, kTail}, machine_logs},
      {"machine mounts", "", "list mounted file systems", {kJson}, machine_mounts},
      {"machine poweroff", "", "power the machine off, in order", {kReason}, machine_poweroff},
      {"machine processes", "", "list processes", {kJson}, machine_processes},
      {"machine reboot", "", "reboot the machine, in order", {kReason}, machine_reboot},
      {"machine revert", "", "go back from the running image to the one before", {}, machine_revert},
      {"machine services", "", "list what PID 1 keeps running", {kJson}, machine_services},
      {"machine slots", "", "list the images on the machine's disk", {kJson}, machine_slots},
      {"machine stage", "<path>", "put a signed image into a slot: the next start tries it", {kDowngrade}, machine_stage},
      {"machine time", "", "show the clock and how well it is kept", {kJson}, machine_time},
      {"machine try", "<version>", "try an image at the next start that lies in a slot", {kDowngrade}, machine_try},
      {"machine validate", "<path>", "check a machine's configuration as a node does", {}, machine_validate},
  };
}

std::vector<Command> cluster_commands() {
  const std::vector<Spec> tail{{"n", kText, "how many lines from the end"}, {"c", kText, "how many bytes from the end"}, {"tail", kSwitch, "only the end"}, {"f", kSwitch, "follow"}};
  return {
      {"agent-info", "", "show what the agent says about itself", {kJson, kTemplate}, agent_info},
      {"alloc", "", "allocations: what runs where"},
      {"alloc exec", "<allocation> <command> [args...]", "run a command inside a task", with({kJob, kTask, kGroup, {"i", kSwitch, "pass standard input (default true)"}, {"t", kSwitch, "use a terminal (default: when there is one)"}, {"e", kText, "escape character, kept for compatibility"}}), alloc_exec, "exec"},
      {"alloc fs", "<allocation> [path]", "look at an allocation's files", with({kVerbose, kJob, kGroup, {"H", kSwitch, "sizes in bytes"}, {"stat", kSwitch, "show the file's properties"}}, tail), alloc_fs, "fs"},
      {"alloc logs", "<allocation> [task]", "print a task's output", with({kVerbose, kJob, kTask, kGroup, {"stderr", kSwitch, "standard error"}, {"stdout", kSwitch, "standard output (default)"}}, tail), alloc_logs, "logs"},
      {"alloc restart", "<allocation> [task]", "restart tasks where they are", {kVerbose, kTask, {"all-tasks", kSwitch, "also those that have ended"}}, alloc_restart},
      {"alloc signal", "<allocation> [task]", "send a signal to tasks", {kVerbose, kTask, {"s", kText, "the signal, SIGKILL by default"}}, alloc_signal},
      {"alloc status", "[allocation]", "show an allocation and its tasks", {kVerbose, kJson, kTemplate, {"short", kSwitch, "only the outline"}, {"stats", kSwitch, "resource usage"}, kUi}, alloc_status, "alloc-status"},
      {"alloc stop", "<allocation>", "stop an allocation and place it anew", {kDetach, kVerbose, {"no-shutdown-delay", kSwitch, "do not wait for the shutdown delay"}}, alloc_stop},
      {"config", "", "the agent's configuration"},
      {"config validate", "<path>...", "check configuration files, or directories of them", {}, config_validate},
      {"deployment", "", "deployments: how updates proceed"},
      {"deployment fail", "<deployment>", "give a deployment up", {kDetach, kVerbose}, deployment_fail},
      {"deployment list", "", "list deployments", {kVerbose, kJson, kTemplate, {"filter", kText, "filter expression"}}, deployment_list},
      {"deployment pause", "<deployment>", "halt a deployment", {kVerbose}, deployment_pause},
      {"deployment promote", "<deployment>", "go on from a deployment's canaries", {kDetach, kVerbose, {"group", kList, "only this group; may be repeated"}}, deployment_promote},
      {"deployment resume", "<deployment>", "go on with a deployment that was paused", {kDetach, kVerbose}, deployment_resume},
      {"deployment status", "[deployment]", "show a deployment", {kVerbose, kJson, kTemplate, kUi}, deployment_status},
      {"eval", "", "evaluations: what the scheduler considers"},
      {"eval list", "", "list evaluations", {kVerbose, kJson, kTemplate, {"job", kText, "only of this job"}, {"status", kText, "only with this status"}, {"filter", kText, "filter expression"}, {"per-page", kText, "page size"}, {"page-token", kText, "where to go on"}, kUi}, eval_list},
      {"eval status", "<evaluation>", "show an evaluation", {kVerbose, kJson, kTemplate, {"monitor", kSwitch, "follow it to its end"}, kUi}, eval_status, "eval-status"},
      {"job", "", "jobs: what shall run"},
      {"job allocs", "<job>", "list a job's allocations", {kVerbose, kJson, kTemplate, {"all", kSwitch, "also of earlier jobs of the name"}}, job_allocs},
      {"job deployments", "<job>", "list a job's deployments", {kVerbose, kJson, kTemplate, {"all", kSwitch, "also of earlier jobs of the name"}, {"latest", kSwitch, "only the last"}}, job_deployments},
      {"job eval", "<job>", "make the scheduler look at a job again", {kDetach, kVerbose, {"force-reschedule", kSwitch, "place failed allocations now"}}, job_eval},
      {"job history", "<job>", "show a job's versions", {kJson, kTemplate, {"p", kSwitch, "with diffs"}, {"full", kSwitch, "with the whole job"}, {"version", kText, "only this one"}, {"diff-version", kText, "with -p: compare with this one"}, {"diff-tag", kText, "with -p: compare with the one of this tag"}}, job_history},
      {"job init", "[filename]", "write an example job file", {{"short", kSwitch, "without comments"}}, job_init, "init"},
      {"job inspect", "<job>", "print a job as JSON", {kJson, kTemplate, {"hcl", kSwitch, "its source"}, {"with-vars", kSwitch, "with -hcl: and the variables that it was run with"}, {"version", kText, "this version"}}, job_inspect, "inspect"},
      {"job periodic", "", "periodic jobs"},
      {"job periodic force", "<job>", "launch a periodic job now", {kDetach, kVerbose}, job_periodic_force},
      {"job plan", "<path>", "show what running a job would change", with({kVerbose, {"diff", kSwitch, "show the diff (default true)"}, {"policy-override", kSwitch, "kept for compatibility"}, {"json-output", kSwitch, "print JSON"}, kTemplate}, job_file_flags()), job_plan, "plan"},
      {"job promote", "<job>", "go on from the canaries of a job's last deployment", {kDetach, kVerbose, {"group", kList, "only this group; may be repeated"}}, job_promote},
      {"job revert", "<job> <version>", "go back to an earlier version", {kDetach, kVerbose}, job_revert},
      {"job run", "<path>", "run or update a job", with({kDetach, kVerbose, {"output", kSwitch, "print the job as JSON, do not run it"}, {"check-index", kText, "only if the job was not changed since"}, {"eval-priority", kText, "priority of the evaluation"}, {"preserve-counts", kSwitch, "keep the counts that scaling set"}, {"preserve-resources", kSwitch, "keep the resources in force"}, {"policy-override", kSwitch, "kept for compatibility"}, kUi}, job_file_flags()), job_run, "run"},
      {"job start", "<job>", "run a job again that was stopped", {kDetach, kVerbose}, job_start, "start"},
      {"job status", "[job]", "list jobs, or show one", {kVerbose, kJson, kTemplate, {"short", kSwitch, "only the outline"}, {"evals", kSwitch, "with evaluations"}, {"all-allocs", kSwitch, "also of earlier jobs of the name"}, kUi}, job_status},
      {"job stop", "<job>...", "stop jobs", {kDetach, kVerbose, {"purge", kSwitch, "forget the job too"}, {"global", kSwitch, "in all regions"}, {"yes", kSwitch, "do not ask"}, {"no-shutdown-delay", kSwitch, "do not wait for the shutdown delay"}, {"eval-priority", kText, "priority of the evaluation"}}, job_stop, "stop"},
      {"job validate", "<path>", "check a job file", job_file_flags(), job_validate, "validate"},
      {"node", "", "nodes: the machines"},
      {"node drain", "[node]", "move a node's allocations elsewhere, or take that back", {{"enable", kSwitch, "begin a drain"}, {"disable", kSwitch, "end it: the node takes allocations again"}, {"deadline", kText, "how long it may take before all that is left is stopped (default 1h)"}, {"no-deadline", kSwitch, "as long as it takes"}, {"force", kSwitch, "stop everything at once"}, {"ignore-system", kSwitch, "leave allocations of system jobs"}, {"keep-ineligible", kSwitch, "with -disable: the node takes none yet"}, {"self", kSwitch, "the agent's own node"}, {"detach", kSwitch, "return at once, do not follow it"}, {"monitor", kSwitch, "only follow a drain that is under way"}, {"m", kText, "a message that is kept with the drain"}, {"meta", kList, "key=value, kept with the drain; may be repeated"}, {"yes", kSwitch, "do not ask"}}, node_drain, "node-drain"},
      {"node eligibility", "[node]", "let a node take allocations, or not", {{"enable", kSwitch, "it may"}, {"disable", kSwitch, "it may not"}, {"self", kSwitch, "the agent's own node"}}, node_eligibility},
      {"node status", "[node]", "list nodes, or show one", {kVerbose, kJson, kTemplate, {"short", kSwitch, "only the outline"}, {"os", kSwitch, "with the operating system"}, {"quiet", kSwitch, "ids only"}, {"allocs", kSwitch, "count running allocations"}, {"self", kSwitch, "the agent's own node"}, {"stats", kSwitch, "resource usage"}, {"filter", kText, "filter expression"}, {"per-page", kText, "page size"}, {"page-token", kText, "where to go on"}, kUi}, node_status, "node-status"},
      {"operator", "", "tools for operators"},
      {"operator api", "<path>", "call the HTTP API", {{"X", kText, "method"}, {"d", kText, "body"}, {"verbose", kSwitch, "kept for compatibility"}}, operator_api},
      {"operator metrics", "", "print metrics", {{"format", kText, "prometheus"}, {"pretty", kSwitch, "indented"}, kJson, kTemplate}, operator_metrics},
      {"server", "", "servers"},
      {"server members", "", "list servers", {kVerbose, kJson, kTemplate, {"detailed", kSwitch, "kept for compatibility"}, kUi}, server_members, "server-members"},
      {"status", "[id]", "show whatever the id names", {kVerbose, kJson, {"short", kSwitch, "only the outline"}, {"evals", kSwitch, "with evaluations"}, {"all-allocs", kSwitch, "also of earlier jobs of the name"}, kUi}, status},
      {"system", "", "the cluster as a whole"},
      {"system gc", "", "collect garbage now", {}, system_gc},
      {"system reconcile", "", "repairs"},
      {"system reconcile summaries", "", "compute the jobs' summaries anew", {}, system_reconcile},
      {"version", "", "print the version", {}, version},
  };
}

std::vector<Command> make_commands() {
  std::vector<Command> all = cluster_commands(), machine = machine_commands();
  all.insert(std::ranges::find(all, "node", &Command::name), machine.begin(), machine.end());
  return all;
}

}  // namespace

std::span<const Command> commands() {
  static const std::vector<Command> all = make_commands();
  return all;
}

const std::vector<Spec>& common_flags() {
  static const std::vector<Spec> flags{{"address", kText, "the agent, http://127.0.0.1:4646 by default; STEPPE_ADDR, NOMAD_ADDR"},
                                       {"region", kText, "region; STEPPE_REGION, NOMAD_REGION"},
                                       {"namespace", kText, "namespace; STEPPE_NAMESPACE, NOMAD_NAMESPACE"},
                                       {"token", kText, "token; STEPPE_TOKEN, NOMAD_TOKEN"},
                                       {"no-color", kSwitch, "no colours; NOMAD_CLI_NO_COLOR"},
                                       {"force-color", kSwitch, "colours even without a terminal"},
                                       {"ca-cert", kText, "kept for TLS"}, {"ca-path", kText, "kept for TLS"}, {"client-cert", kText, "kept for TLS"}, {"client-key", kText, "kept for TLS"},
                                       {"tls-server-name", kText, "kept for TLS"}, {"tls-skip-verify", kSwitch, "kept for TLS"}, {"insecure", kSwitch, "kept for TLS"}};
  return flags;
}

std::string help_of(const Command& command, std::string_view program) {
  std::string out = std::format("Usage: {} {} [options] {}\n\n  {}\n", program, command.name, command.arguments, command.summary);
  std::vector<Row> rows;
  for (const Spec& spec : command.flags) rows.push_back({std::format("    -{}{}", spec.name, spec.kind == kSwitch ? "" : "=<value>"), std::string(spec.help)});
  if (!rows.empty()) out += "\nOptions:\n" + table(rows) + "\n";
  rows.clear();
  for (const Spec& spec : common_flags()) rows.push_back({std::format("    -{}{}", spec.name, spec.kind == kSwitch ? "" : "=<value>"), std::string(spec.help)});
  return out + "\nGeneral options:\n" + table(rows);
}

std::string help_of_all(std::string_view program) {
  std::vector<Row> rows{{"    agent", "run an agent"}, {"    image", "make images and look into them, where the builder (steppe-image) is"}};
  for (const Command& command : commands()) {
    if (command.name.find(' ') == std::string_view::npos) rows.push_back({std::format("    {}", command.name), std::string(command.summary)});
    if (!command.alias.empty() && command.alias.find('-') == std::string_view::npos) rows.push_back({std::format("    {}", command.alias), std::format("the same as {}", command.name)});
  }
  std::ranges::sort(rows);
  return std::format("Usage: {} [-version] [-help] <command> [args]\n\nCommands:\n{}", program, table(rows));
}

std::string help_of_group(std::string_view group, std::string_view program) {
  std::vector<Row> rows;
  for (const Command& command : commands()) {
    if (command.name.starts_with(std::string(group) + " ")) rows.push_back({std::format("    {}", command.name.substr(group.size() + 1)), std::string(command.summary)});
  }
  return std::format("Usage: {} {} <subcommand> [options] [args]\n\nSubcommands:\n{}", program, group, table(rows));
}

namespace {

// The words that one may write behind these words: names of subcommands or, behind none, of commands.
std::vector<std::string_view> words_behind(std::string_view group) {
  std::vector<std::string_view> names;
  if (group.empty()) names.insert(names.end(), {"agent", "image"});
  for (const Command& command : commands()) {
    if (group.empty()) {
      if (command.name.find(' ') == std::string_view::npos) names.push_back(command.name);
      if (!command.alias.empty()) names.push_back(command.alias);
    } else if (command.name.starts_with(std::string(group) + " ")) {
      names.push_back(command.name.substr(group.size() + 1));
    }
  }
  return names;
}

}  // namespace

std::string no_such_command(std::string_view program, std::string_view group, std::string_view word) {
  const std::string name = std::string(program) + (group.empty() ? "" : " ") + std::string(group);
  std::string out = std::format("{}: no such {} \"{}\"", name, group.empty() ? "command" : "subcommand", printable(word));
  // What exists at the other level: "steppe restart" is "steppe alloc restart".
  std::string_view near = hcl::nearest_name(word, words_behind(group));
  std::string whole = near.empty() ? "" : name + " " + std::string(near);
  for (const Command& command : commands()) {
    if (whole.empty() && command.run != nullptr && command.name.ends_with(" " + std::string(word))) whole = std::string(program) + " " + std::string(command.name);
  }
  if (!whole.empty()) out += std::format("; did you mean \"{}\"?", whole);
  return out + "\n\n" + (group.empty() ? help_of_all(program) : help_of_group(group, program));
}

Found find_command(const std::vector<std::string>& words) {
  Found best;
  std::string name;
  for (size_t count = 1; count <= std::min<size_t>(3, words.size()); ++count) {
    if (words[count - 1].starts_with("-")) break;
    name += (count > 1 ? " " : "") + words[count - 1];
    for (const Command& command : commands()) {
      if (command.name == name || (count == 1 && command.alias == name)) best = {&command, count};
    }
  }
  return best;
}

io::Task<int> run_command(Context& context, std::string program, std::vector<std::string> words) {
  context.set_program(program);
  const Found found = find_command(words);
  if (found.command == nullptr) {
    context.ui().error(words.empty() ? help_of_all(program) : no_such_command(program, "", words[0]));
    co_return 127;
  }
  const Command& command = *found.command;
  words.erase(words.begin(), words.begin() + static_cast<ptrdiff_t>(found.words));
  const bool help = !words.empty() && (words[0] == "-h" || words[0] == "-help" || words[0] == "--help");
  if (command.run == nullptr) {
    if (!words.empty() && !words[0].starts_with("-")) {
      context.ui().error(no_such_command(program, command.name, words[0]));
      co_return 127;
    }
    context.ui().line(help_of_group(command.name, program));
    co_return help ? 0 : 1;
  }
  if (help) {
    context.ui().line(help_of(command, program));
    co_return 0;
  }
  Result<Flags> flags = Flags::parse(with(common_flags(), command.flags), words);
  if (!flags.ok()) {
    context.ui().error(flags.error().message() + "\n" + help_of(command, program));
    co_return 1;
  }
  if (flags->given("t") && command.run != alloc_exec) {
    context.ui().error("-t: Go templates are not offered yet; -json prints all that there is");
    co_return 1;
  }
  if (Result<> configured = context.configure(*flags); !configured.ok()) co_return fail(context, "initializing client", configured.error());
  co_return co_await command.run(context, *flags);
}

}  // namespace steppe::cli
