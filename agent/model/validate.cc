#include "agent/model/validate.h"

#include <map>
#include <set>

#include "agent/model/alloc_status.h"
#include "agent/model/constraint.h"
#include "agent/model/cron.h"
#include "agent/model/quoted.h"
#include "agent/model/validate_parts.h"
#include "agent/schema/job.pb.h"
#include "init/base/text.h"

namespace steppe::model {
namespace parts {

void Findings::nest(std::string title, const Findings& inner) {
  if (!inner.empty()) list_.push_back(std::move(title) + ": " + join_errors(inner.list()));
}

std::string duration_text(int64_t ns) { return format_duration(Duration(ns)); }

void validate_constraints(const google::protobuf::RepeatedPtrField<schema::Constraint>& constraints, Level level,
                          Findings* out) {
  for (int i = 0; i < constraints.size(); ++i) {
    const schema::Constraint& constraint = constraints[i];
    Findings inner;
    if (constraint.operand().empty()) inner.add("Missing constraint operand");
    const auto valid = validate_operand(constraint.operand(), constraint.l_target(), constraint.r_target());
    if (!valid.ok()) inner.add("{}", valid.error().message());
    out->nest(std::format("Constraint {} validation failed", i + 1), inner);
    if (level == Level::kTask && (constraint.operand() == kDistinctHosts || constraint.operand() == kDistinctProperty)) {
      out->add("Constraint {} has disallowed Operand at task level: {}", i + 1, constraint.operand());
    }
  }
}

void validate_affinities(const google::protobuf::RepeatedPtrField<schema::Affinity>& affinities, bool system,
                         Findings* out) {
  if (system) {
    if (!affinities.empty()) out->add("System jobs may not have an affinity block");
    return;
  }
  for (int i = 0; i < affinities.size(); ++i) {
    const schema::Affinity& affinity = affinities[i];
    Findings inner;
    if (affinity.operand() == kDistinctHosts || affinity.operand() == kDistinctProperty) {
      inner.add("Unknown affinity operator {}", go_quoted(affinity.operand()));
    } else if (const auto valid = validate_operand(affinity.operand(), affinity.l_target(), affinity.r_target());
               !valid.ok()) {
      inner.add("{}", valid.error().message());
    }
    inner.require(affinity.weight() >= -100 && affinity.weight() <= 100,
                  "Affinity weight must be within the range [-100,100]");
    inner.require(affinity.weight() != 0, "Affinity weight cannot be zero");
    out->nest(std::format("Affinity {} validation failed", i + 1), inner);
  }
}

namespace {

void validate_spread(const schema::Spread& spread, Findings* out) {
  out->require(!spread.attribute().empty(), "Missing spread attribute");
  out->require(spread.weight() > 0 && spread.weight() <= 100,
               "Spread block must have a positive weight from 0 to 100");
  std::set<std::string_view> seen;
  int64_t sum = 0;
  for (const auto& target : spread.spread_target()) {
    if (!seen.insert(target.value()).second) out->add("Spread target value {} already defined", go_quoted(target.value()));
    if (target.percent() < 0 || target.percent() > 100) {
      out->add("Spread target percentage for value {} must be between 0 and 100", go_quoted(target.value()));
    }
    sum += target.percent();
  }
  if (sum > 100) out->add("Sum of spread target percentages must not be greater than 100%; got {}%", sum);
}

}  // namespace

void validate_spreads(const google::protobuf::RepeatedPtrField<schema::Spread>& spreads, bool system, Findings* out) {
  if (system) {
    if (!spreads.empty()) out->add("System jobs may not have a spread block");
    return;
  }
  for (int i = 0; i < spreads.size(); ++i) {
    Findings inner;
    validate_spread(spreads[i], &inner);
    out->nest(std::format("Spread {} validation failed", i + 1), inner);
  }
}

}  // namespace parts

namespace {

using parts::Findings;

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

void validate_identity(const schema::Job& job, const JobLimits& limits, Findings* out) {
  out->require(!job.id().empty(), "Missing job ID");
  out->require(job.id().find(' ') == std::string::npos, "Job ID contains a space");
  out->require(!has_nul(job.id()), "Job ID contains a null character");
  out->require(!job.name().empty(), "Missing job name");
  out->require(!has_nul(job.name()), "Job Name contains a null character");
  out->require(!job.namespace_().empty(), "Job must be in a namespace");
  static const std::set<std::string_view> kTypes = {"service", "batch", "system", "sysbatch"};
  if (!kTypes.contains(job.type())) out->add("Invalid job type: {}", go_quoted(job.type()));
  if (job.priority() < 1 || job.priority() > limits.max_priority) {
    out->add("Job priority must be between [1, {}]", limits.max_priority);
  }
  out->require(!job.datacenters().empty() || job.has_multiregion(), "Missing job datacenters");
  for (const auto& datacenter : job.datacenters()) {
    out->require(!datacenter.empty(), "Job datacenter must be non-empty string");
  }
  if (job.ui().description().size() > 1000) {
    out->add("UI description must be under 1000 characters, currently {}", job.ui().description().size());
  }
}

void validate_group_list(const schema::Job& job, const JobLimits& limits, Findings* out) {
  out->require(!job.task_groups().empty(), "Missing job task groups");
  const bool system = job.type() == "system" || job.type() == "sysbatch";
  std::map<std::string_view, int> first;
  int64_t total = 0;
  for (int i = 0; i < job.task_groups_size(); ++i) {
    const schema::TaskGroup& group = job.task_groups(i);
    if (group.name().empty()) {
      out->add("Job task group {} missing name", i + 1);
    } else if (const auto [found, fresh] = first.emplace(group.name(), i); !fresh) {
      out->add("Job task group {} redefines '{}' from group {}", i + 1, group.name(), found->second + 1);
    }
    if (system && group.count() > 1) {
      out->add("Job task group {} has count {}. Count cannot exceed 1 with system scheduler", group.name(), group.count());
    }
    if (group.count() > 0 && total <= limits.max_count) total += std::min(group.count(), limits.max_count + 1);
  }
  if (total > limits.max_count) out->add("total count was greater than configured job_max_count: {} > {}", total, limits.max_count);
  for (const auto& group : job.task_groups()) {
    Findings inner;
    parts::validate_group(job, group, &inner);
    out->nest(std::format("Task group {} validation failed", group.name()), inner);
  }
}

void validate_periodic(const schema::PeriodicConfig& periodic, Findings* out) {
  if (!periodic.enabled()) return;
  if (periodic.spec_type() != "cron") {
    out->add("Unknown specification type {}", go_quoted(periodic.spec_type()));
    return;
  }
  out->require(!periodic.spec().empty() || !periodic.specs().empty(), "Must specify a spec");
  out->require(periodic.spec().empty() || periodic.specs().empty(), "Only cron or crons may be used");
  const auto check = [out](const std::string& text) {
    const auto parsed = CronExpression::parse(text);
    if (!parsed.ok()) out->add("Invalid cron spec {}: {}", go_quoted(text), parsed.error().message());
  };
  if (!periodic.spec().empty()) check(periodic.spec());
  for (const auto& spec : periodic.specs()) check(spec);
  if (const auto zone = find_time_zone(periodic.time_zone()); !zone.ok()) {
    out->add("Invalid time zone {}: {}", go_quoted(periodic.time_zone()), zone.error().message());
  }
}

void validate_parameterized(const schema::ParameterizedJobConfig& config, Findings* out) {
  static const std::set<std::string_view> kPayloads = {"optional", "required", "forbidden"};
  if (!kPayloads.contains(config.payload())) out->add("Unknown payload requirement: {}", go_quoted(config.payload()));
  const std::set<std::string_view> required(config.meta_required().begin(), config.meta_required().end());
  std::vector<std::string> both;
  for (const auto& key : config.meta_optional()) {
    if (required.contains(key)) both.push_back(key);
  }
  if (!both.empty()) {
    out->add("Required and optional meta keys should be disjoint. Following keys exist in both: [{}]", join(both, " "));
  }
}

void validate_kinds(const schema::Job& job, Findings* out) {
  const bool batch = job.type() == "batch" || job.type() == "sysbatch";
  if (is_periodic(job)) {
    out->require(batch, "Periodic can only be used with \"batch\" or \"sysbatch\" scheduler");
  }
  if (job.has_periodic()) validate_periodic(job.periodic(), out);
  if (job.has_parameterized_job()) {
    out->require(batch, "Parameterized job can only be used with \"batch\" or \"sysbatch\" scheduler");
    validate_parameterized(job.parameterized_job(), out);
    return;
  }
  for (const auto& group : job.task_groups()) {
    for (const auto& task : group.tasks()) {
      if (!task.has_dispatch_payload() || job.dispatched()) continue;
      out->add("Task {} in group {} has a dispatch payload, but the job is not parameterized", go_quoted(task.name()),
               go_quoted(group.name()));
    }
  }
}

Findings warnings_of(const schema::Job& job) {
  Findings out;
  int promoting = 0;
  int updated = 0;
  for (const auto& group : job.task_groups()) {
    Findings inner;
    parts::warn_group(job, group, &inner);
    out.nest(std::format("Group {} has warnings", go_quoted(group.name())), inner);
    promoting += group.update().auto_promote();
    updated += group.update().max_parallel() > 0;
  }
  if (promoting > 0 && promoting < updated) {
    out.add("auto_promote must be true for all groups to enable automatic promotion");
  }
  return out;
}

}  // namespace

std::string join_errors(const std::vector<std::string>& errors) {
  if (errors.empty()) return {};
  std::string out = errors.size() == 1 ? "1 error occurred:" : std::format("{} errors occurred:", errors.size());
  for (const std::string& error : errors) out += "\n\t* " + error;
  return out + "\n\n";
}

std::string Verdict::error_text() const { return join_errors(errors); }

std::string Verdict::warning_text() const {
  if (warnings.empty()) return {};
  std::string out = std::format("{} warning(s):\n", warnings.size());
  for (const std::string& warning : warnings) out += "\n* " + warning;
  return out;
}

Verdict validate(const schema::Job& job, const JobLimits& limits) {
  Findings findings;
  const bool system = job.type() == "system";
  validate_identity(job, limits, &findings);
  parts::validate_constraints(job.constraints(), parts::Level::kJob, &findings);
  parts::validate_affinities(job.affinities(), system, &findings);
  parts::validate_spreads(job.spreads(), system, &findings);
  validate_group_list(job, limits, &findings);
  validate_kinds(job, &findings);
  return {.errors = findings.take(), .warnings = warnings_of(job).take()};
}

Result<> validate_update(const schema::Job& old_job, const schema::Job& new_job) {
  std::vector<std::string> errors;
  const auto refuse = [&](bool bad, std::string text) {
    if (bad) errors.push_back(std::move(text));
  };
  refuse(old_job.namespace_() != new_job.namespace_(), "cannot change the namespace of a job");
  refuse(old_job.id() != new_job.id(), "cannot change the ID of a job");
  refuse(old_job.type() != new_job.type(), std::format("cannot update job from type {} to {}", go_quoted(old_job.type()), go_quoted(new_job.type())));
  refuse(old_job.parent_id() != new_job.parent_id(), "cannot change the parent of a job");
  refuse(is_periodic(old_job) && !new_job.has_periodic(), "cannot update periodic job to being non-periodic");
  refuse(is_periodic(new_job) && !old_job.has_periodic(), "cannot update non-periodic job to being periodic");
  refuse(is_parameterized(old_job) && !is_parameterized(new_job), "cannot update parameterized job to being non-parameterized");
  refuse(is_parameterized(new_job) && !is_parameterized(old_job), "cannot update non-parameterized job to being parameterized");
  if (old_job.dispatched() != new_job.dispatched()) errors.push_back("field 'Dispatched' is read-only");
  if (errors.empty()) return {};
  return Error(Code::kInvalid, errors.size() == 1 ? errors.front() : join_errors(errors));
}

}  // namespace steppe::model
