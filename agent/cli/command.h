#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "agent/cli/context.h"
#include "agent/cli/flags.h"

namespace steppe::cli {

// Exit codes of the commands: 0 done, 1 refused or failed; `job plan` 0 nothing to do, 1 changes, 255 error.
using Run = io::Task<int> (*)(Context& context, const Flags& flags);

struct Command {
  std::string_view name;       // "job run"
  std::string_view arguments;  // "<path>"
  std::string_view summary;    // one line
  std::vector<Flags::Spec> flags;
  Run run = nullptr;           // null: a group of commands
  std::string_view alias = {}; // another name, "run"
};

// All commands but `agent`, in the order of their names.
std::span<const Command> commands();
// Flags that every command which talks to an agent takes.
const std::vector<Flags::Spec>& common_flags();

std::string help_of(const Command& command, std::string_view program);
std::string help_of_all(std::string_view program);
// Commands whose names begin with `group` and a space.
std::string help_of_group(std::string_view group, std::string_view program);

// What is said of a word that is no command, or no subcommand of `group`: the nearest one there is, and the list.
std::string no_such_command(std::string_view program, std::string_view group, std::string_view word);

// The command that the words name (aliases too), and how many words that took; null when there is none.
struct Found {
  const Command* command = nullptr;
  size_t words = 0;
};
Found find_command(const std::vector<std::string>& words);

// Runs the command that `words` (without the program's name) ask for. What it prints goes to the context's Ui.
io::Task<int> run_command(Context& context, std::string program, std::vector<std::string> words);

// ---- Pieces that several commands share ----

using Spec = Flags::Spec;
inline constexpr auto kSwitch = Flags::Spec::Kind::kSwitch;
inline constexpr auto kText = Flags::Spec::Kind::kText;
inline constexpr auto kList = Flags::Spec::Kind::kList;

// The one object whose id begins with `prefix`, by a list endpoint. Errors name the object: "No job(s) with prefix or ID".
io::Task<Result<std::string>> find_alloc(Context& context, std::string prefix);
io::Task<Result<std::string>> find_node(Context& context, std::string prefix);
io::Task<Result<std::string>> find_eval(Context& context, std::string prefix);
io::Task<Result<std::string>> find_deployment(Context& context, std::string prefix);
// The node that the agent itself is.
io::Task<Result<std::string>> own_node(Context& context);
struct JobName {
  std::string id;
  std::string space;
};
io::Task<Result<JobName>> find_job(Context& context, std::string prefix);

// The query of a request in this namespace; "" leaves it to the server.
http::Query in_space(const std::string& space);

// Follows an evaluation to its end as `job run` shows it; 0 when all was placed, 2 when something was not, 1 on errors.
io::Task<int> monitor_eval(Context& context, std::string eval_id, bool verbose);

// Prints the error in the form "Error <doing>: <why>" and gives 1.
int fail(Context& context, std::string_view doing, const Error& error);
int usage(Context& context, std::string_view what);

}  // namespace steppe::cli
