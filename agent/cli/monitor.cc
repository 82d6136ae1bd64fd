#include <format>
#include <map>
#include <set>

#include "agent/cli/command.h"
#include "agent/cli/show.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/io/wait.h"

namespace steppe::cli {

namespace {

// What was told already, so that a look tells the news only.
class Teller {
 public:
  Teller(Context& context, bool verbose) : context_(context), verbose_(verbose) {}

  void head(std::string_view text) { context_.ui().line(context_.ui().bold(std::format("==> {}: {}", stamp(), text))); }
  void tell(std::string_view text) { context_.ui().line(std::format("    {}: {}", stamp(), text)); }

  void eval(const schema::Evaluation& eval) {
    if (!triggered_) {
      triggered_ = true;
      if (!eval.job_id().empty()) tell(std::format("Evaluation triggered by job \"{}\"", eval.job_id()));
    }
    if (!eval.deployment_id().empty() && deployment_ != eval.deployment_id()) {
      deployment_ = eval.deployment_id();
      tell(std::format("Evaluation within deployment: \"{}\"", short_id(deployment_, verbose_)));
    }
    if (status_ != eval.status()) {
      if (!status_.empty()) tell(std::format("Evaluation status changed: \"{}\" -> \"{}\"", status_, eval.status()));
      status_ = eval.status();
    }
  }

  void alloc(const schema::AllocListStub& stub) {
    const auto [known, fresh] = allocs_.emplace(stub.id(), stub.client_status());
    if (fresh) {
      const bool earlier = stub.create_index() < stub.modify_index() && stub.client_status() != "pending";
      tell(std::format("Allocation \"{}\" {}: node \"{}\", group \"{}\"", short_id(stub.id(), verbose_), earlier ? "modified" : "created", short_id(stub.node_id(), verbose_), stub.task_group()));
    } else if (known->second != stub.client_status()) {
      tell(std::format("Allocation \"{}\" status changed: \"{}\" -> \"{}\"{}", short_id(stub.id(), verbose_), known->second, stub.client_status(),
                       stub.client_description().empty() ? "" : std::format(" ({})", stub.client_description())));
      known->second = stub.client_status();
    }
  }

 private:
  std::string stamp() const { return date(context_.now_ns()); }

  Context& context_;
  const bool verbose_;
  bool triggered_ = false;
  std::string status_;
  std::string deployment_;
  std::map<std::string, std::string> allocs_;
};

void tell_failures(Context& context, const schema::Evaluation& eval, Teller& teller, bool verbose) {
  const bool failed = eval.failed_tg_allocs().size() > 0;
  teller.head(std::format("Evaluation \"{}\" finished with status \"{}\"{}", short_id(eval.id(), verbose), eval.status(), failed ? " but failed to place all allocations:" : ""));
  if (!failed) return;
  for (const auto& [group, metric] : sorted(eval.failed_tg_allocs())) {
    const auto count = metric.coalesced_failures() + 1;
    teller.tell(std::format("Task Group \"{}\" (failed to place {} allocation{}):", group, count, count == 1 ? "" : "s"));
    context.ui().line(show_metric(metric, false, "      "));
  }
  if (!eval.blocked_eval().empty()) teller.tell(std::format("Evaluation \"{}\" waiting for additional capacity to place remainder", short_id(eval.blocked_eval(), verbose)));
}

}  // namespace

io::Task<int> monitor_eval(Context& context, std::string eval_id, bool verbose) {
  Teller teller(context, verbose);
  while (!eval_id.empty()) {
    teller.head(std::format("Monitoring evaluation \"{}\"", short_id(eval_id, verbose)));
    schema::Evaluation eval;
    uint64_t round = 0;
    do {
      eval.Clear();
      Result<> got = co_await context.get_into("/v1/evaluation/" + eval_id, {}, &eval);
      if (!got.ok()) co_return fail(context, "reading evaluation", got.error());
      schema::EvalAllocationsReply allocs;
      got = co_await context.get_into("/v1/evaluation/" + eval_id + "/allocations", {}, &allocs, "Allocations");
      if (!got.ok()) co_return fail(context, "reading allocations", got.error());
      teller.eval(eval);
      for (const schema::AllocListStub& stub : allocs.allocations()) teller.alloc(stub);
      const bool over = eval.status() == "complete" || eval.status() == "failed" || eval.status() == "canceled";
      if (over) break;
      // Short at first: most evaluations are over in milliseconds.
      const auto pause = std::chrono::milliseconds(++round < 10 ? 50 : 1000);
      static_cast<void>(co_await io::sleep_for(context.loop(), pause, {}));
    } while (true);
    tell_failures(context, eval, teller, verbose);
    if (eval.failed_tg_allocs().size() > 0) co_return 2;
    if (eval.status() != "complete") co_return 1;
    eval_id = eval.next_eval();
    if (!eval_id.empty() && eval.wait() > 0) co_return 0;
  }
  co_return 0;
}

}  // namespace steppe::cli
