#pragma once

#include "agent/cli/command.h"

namespace steppe::cli {

// One function a command; the table of registry.cc says with which words and flags.
#define STEPPE_CLI_COMMANDS(X)                                                                                              \
  X(job_run) X(job_validate) X(job_plan) X(job_status) X(job_stop) X(job_history) X(job_inspect) X(job_revert) X(job_init)  \
  X(job_allocs) X(job_deployments) X(job_eval) X(job_periodic_force) X(alloc_status) X(alloc_logs) X(alloc_fs) X(alloc_exec) \
  X(alloc_restart) X(alloc_signal) X(alloc_stop) X(node_status) X(node_drain) X(node_eligibility) X(eval_status) X(eval_list) \
  X(deployment_fail) X(deployment_list) X(deployment_pause) X(deployment_promote) X(deployment_resume) X(deployment_status) \
  X(job_promote) X(job_start) X(config_validate) X(machine_info) X(machine_dmesg) X(machine_logs) X(machine_services) X(machine_disks) X(machine_mounts) \
  X(machine_processes) X(machine_time) X(machine_slots) X(machine_reboot) X(machine_poweroff) X(machine_stage) X(machine_try) X(machine_bless) \
  X(machine_revert) X(machine_forgive) X(machine_validate) X(server_members) X(status) X(version) X(system_gc) X(system_reconcile)           \
  X(agent_info) X(operator_api) X(operator_metrics)
#define STEPPE_CLI_DECLARE(name) io::Task<int> name(Context& context, const Flags& flags);
STEPPE_CLI_COMMANDS(STEPPE_CLI_DECLARE)
#undef STEPPE_CLI_DECLARE

// Prints a message as pretty JSON and gives 0.
int print_json(Context& context, const google::protobuf::Message& message, std::string_view list_field = {});

}  // namespace steppe::cli
