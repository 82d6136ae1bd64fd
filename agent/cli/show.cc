#include "agent/cli/show.h"

#include <algorithm>
#include <format>
#include <vector>

#include "agent/cli/ui.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"
#include "init/base/text.h"

namespace steppe::cli {

namespace {

std::string plural(int64_t count, std::string_view noun) { return std::format("{} {}{}", count, noun, count == 1 ? "" : "s"); }

}  // namespace

std::string show_metric(const schema::AllocMetric& metric, bool scores, std::string_view indent) {
  std::vector<std::string> lines;
  const auto add = [&](std::string text) { lines.push_back(std::string(indent) + "* " + std::move(text)); };
  if (metric.nodes_evaluated() == 0) add("No nodes were eligible for evaluation");
  for (const auto& [dc, available] : sorted(metric.nodes_available())) {
    if (available == 0) add(std::format("No nodes are available in datacenter \"{}\"", dc));
  }
  for (const auto& [name, count] : sorted(metric.class_filtered())) add(std::format("Class \"{}\": {} excluded by filter", name, plural(count, "node")));
  for (const auto& [name, count] : sorted(metric.constraint_filtered())) add(std::format("Constraint \"{}\": {} excluded by filter", name, plural(count, "node")));
  if (metric.nodes_exhausted() > 0) add(std::format("Resources exhausted on {}", plural(metric.nodes_exhausted(), "node")));
  for (const auto& [name, count] : sorted(metric.class_exhausted())) add(std::format("Class \"{}\" exhausted on {}", name, plural(count, "node")));
  for (const auto& [name, count] : sorted(metric.dimension_exhausted())) add(std::format("Dimension \"{}\" exhausted on {}", name, plural(count, "node")));
  for (const std::string& quota : metric.quota_exhausted()) add(std::format("Quota limit hit \"{}\"", quota));
  std::string out = join(lines, "\n");
  if (!scores || metric.score_meta_data().empty()) return out;
  std::vector<Row> rows{{"Node"}};
  for (const auto& [name, value] : sorted(metric.score_meta_data(0).scores())) rows[0].push_back(name);
  rows[0].push_back("final score");
  for (const schema::NodeScoreMeta& meta : metric.score_meta_data()) {
    Row row{short_id(meta.node_id(), false)};
    for (size_t i = 1; i + 1 < rows[0].size(); ++i) {
      const auto found = meta.scores().find(rows[0][i]);
      row.push_back(std::format("{:.3g}", found == meta.scores().end() ? 0 : found->second));
    }
    row.push_back(std::format("{:.3g}", meta.norm_score()));
    rows.push_back(std::move(row));
  }
  if (!out.empty()) out.append("\n");
  return out.append(table(rows));
}

std::string show_allocs(const google::protobuf::RepeatedPtrField<schema::AllocListStub>& stubs, int64_t now_ns, bool verbose) {
  if (stubs.empty()) return "No allocations placed";
  std::vector<const schema::AllocListStub*> order;
  for (const schema::AllocListStub& stub : stubs) order.push_back(&stub);
  std::ranges::stable_sort(order, [](const auto* a, const auto* b) { return a->create_time() > b->create_time(); });
  std::vector<Row> rows;
  if (verbose) rows.push_back({"ID", "Eval ID", "Node ID", "Node Name", "Task Group", "Version", "Desired", "Status", "Created", "Modified"});
  else rows.push_back({"ID", "Node ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"});
  for (const schema::AllocListStub* stub : order) {
    Row row{short_id(stub->id(), verbose)};
    if (verbose) row.push_back(stub->eval_id());
    row.push_back(short_id(stub->node_id(), verbose));
    if (verbose) row.push_back(stub->node_name());
    row.insert(row.end(), {stub->task_group(), std::to_string(stub->job_version()), stub->desired_status(), stub->client_status(),
                           age(stub->create_time(), now_ns, verbose), age(stub->modify_time(), now_ns, verbose)});
    rows.push_back(std::move(row));
  }
  return table(rows);
}

std::string show_deployment(const schema::Deployment& deployment, bool verbose) {
  std::string out = key_values({{"ID", short_id(deployment.id(), verbose)}, {"Status", deployment.status()}, {"Description", deployment.status_description()}});
  if (deployment.task_groups().empty()) return out;
  const auto groups = sorted(deployment.task_groups());
  const bool canaries = std::ranges::any_of(groups, [](const auto& group) { return group.second.desired_canaries() > 0; });
  const bool reverts = std::ranges::any_of(groups, [](const auto& group) { return group.second.auto_revert(); });
  Row head{"Task Group"};
  if (reverts) head.push_back("Auto Revert");
  if (canaries) head.push_back("Promoted");
  head.push_back("Desired");
  if (canaries) head.push_back("Canaries");
  head.insert(head.end(), {"Placed", "Healthy", "Unhealthy", "Progress Deadline"});
  std::vector<Row> rows{head};
  for (const auto& [name, state] : groups) {
    Row row{name};
    if (reverts) row.push_back(state.auto_revert() ? "true" : "false");
    if (canaries) row.push_back(state.desired_canaries() == 0 ? "N/A" : state.promoted() ? "true" : "false");
    row.push_back(std::to_string(state.desired_total()));
    if (canaries) row.push_back(state.desired_canaries() == 0 ? "N/A" : std::to_string(state.desired_canaries()));
    row.insert(row.end(), {std::to_string(state.placed_allocs()), std::to_string(state.healthy_allocs()), std::to_string(state.unhealthy_allocs()),
                           state.require_progress_by() == 0 ? "N/A" : date(state.require_progress_by())});
    rows.push_back(std::move(row));
  }
  return out.append("\n\nDeployed\n").append(table(rows));
}

std::string show_summary(const schema::JobSummary& summary) {
  std::vector<Row> rows{{"Task Group", "Queued", "Starting", "Running", "Failed", "Complete", "Lost", "Unknown"}};
  for (const auto& [group, counts] : sorted(summary.summary())) {
    rows.push_back({group, std::to_string(counts.queued()), std::to_string(counts.starting()), std::to_string(counts.running()), std::to_string(counts.failed()),
                    std::to_string(counts.complete()), std::to_string(counts.lost()), std::to_string(counts.unknown())});
  }
  return table(rows);
}

namespace {

// The lines of a diff, each with its mark and depth.
class DiffWriter {
 public:
  DiffWriter(bool verbose, const Ui& ui) : verbose_(verbose), ui_(ui) {}

  std::string take() { return std::move(out_); }

  void job(const schema::JobDiff& diff) {
    line(diff.type(), 0, std::format("Job: \"{}\"", diff.id()));
    if (diff.type() != "Edited" && !verbose_) {
      groups(diff);
      return;
    }
    fields(diff.fields(), 0);
    objects(diff.objects(), 0);
    groups(diff);
  }

 private:
  void groups(const schema::JobDiff& diff) {
    for (const schema::TaskGroupDiff& group : diff.task_groups()) {
      std::vector<std::string> updates;
      for (const auto& [kind, count] : sorted(group.updates())) updates.push_back(std::format("{} {}", count, kind));
      line(group.type(), 0, std::format("Task Group: \"{}\"{}", group.name(), updates.empty() ? "" : " (" + join(updates, ", ") + ")"));
      if (group.type() == "Edited" || verbose_) {
        fields(group.fields(), 1);
        objects(group.objects(), 1);
      }
      for (const schema::TaskDiff& task : group.tasks()) this->task(task);
    }
    out_.append("\n");
  }

  void task(const schema::TaskDiff& task) {
    const std::vector<std::string> notes(task.annotations().begin(), task.annotations().end());
    if (task.type() == "None" && notes.empty() && !verbose_) return;
    line(task.type(), 1, std::format("Task: \"{}\"{}", task.name(), notes.empty() ? "" : " (" + join(notes, ", ") + ")"));
    if (task.type() == "None" || (task.type() != "Edited" && !verbose_)) return;
    fields(task.fields(), 2);
    objects(task.objects(), 2);
  }

  template <class Fields>
  void fields(const Fields& fields, int depth) {
    size_t longest = 0;
    for (const schema::FieldDiff& field : fields) longest = std::max(longest, field.name().size());
    for (const schema::FieldDiff& field : fields) {
      if (field.type() == "None" && !verbose_) continue;
      std::string text = field.name() + ":" + std::string(longest - field.name().size() + 1, ' ');
      if (field.type() == "Edited") text += std::format("\"{}\" => \"{}\"", field.old_value(), field.new_value());
      else text += std::format("\"{}\"", field.type() == "Deleted" ? field.old_value() : field.new_value());
      const std::vector<std::string> notes(field.annotations().begin(), field.annotations().end());
      if (!notes.empty()) text += " (" + join(notes, ", ") + ")";
      line(field.type(), depth + 1, text);
    }
  }

  template <class Objects>
  void objects(const Objects& objects, int depth) {
    for (const schema::ObjectDiff& object : objects) {
      if (object.type() == "None" && !verbose_) continue;
      line(object.type(), depth + 1, object.name() + " {");
      fields(object.fields(), depth + 1);
      this->objects(object.objects(), depth + 1);
      line("None", depth + 1, "}");
    }
  }

  void line(std::string_view type, int depth, std::string_view text) {
    std::string mark = "    ";
    if (type == "Added") mark = ui_.green("+") + "   ";
    if (type == "Deleted") mark = ui_.red("-") + "   ";
    if (type == "Edited") mark = ui_.yellow("+/-") + " ";
    out_.append(mark).append(static_cast<size_t>(depth) * 2, ' ').append(text).append("\n");
  }

  const bool verbose_;
  const Ui& ui_;
  std::string out_;
};

}  // namespace

std::string show_diff(const schema::JobDiff& diff, bool verbose, const Ui& ui) {
  DiffWriter writer(verbose, ui);
  writer.job(diff);
  return writer.take();
}

}  // namespace steppe::cli
